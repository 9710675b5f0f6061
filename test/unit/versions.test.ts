import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readLeaves } from "../../commands/pin/source";
import { layers, type Layer } from "../../environment/stack";
import { record, type Recording } from "../../rehearsal/record";
import {
  debianFileName,
  debianImage,
  imageReference,
  refuseUnresolved,
  unresolved,
  unresolvedPaths,
  versions,
} from "../../versions";
import { root } from "../support/environment";
import { keepingWarnings } from "../support/warnings";

const source = readFileSync(join(root, "versions.ts"), "utf8");

/** Everything that `npm run pin` looks up. */
const pinned = ["images.copy.digest", "images.verify.digest", "debian.build", "debian.sha512"] as const;

/** Runs `body` with exactly these paths unresolved, and puts back what stood there. */
async function withUnresolved<T>(paths: readonly string[], body: () => Promise<T>): Promise<T> {
  const before = structuredClone(versions);
  const { copy, verify } = versions.images;
  const value = (path: string): string => (paths.includes(path) ? unresolved : `made-up-${path}`);
  copy.digest = value("images.copy.digest");
  verify.digest = value("images.verify.digest");
  versions.debian.build = value("debian.build");
  versions.debian.sha512 = value("debian.sha512");
  try {
    return await body();
  } finally {
    Object.assign(copy, before.images.copy);
    Object.assign(verify, before.images.verify);
    Object.assign(versions.debian, before.debian);
  }
}

/** Asks for a layer as the dispatcher does; returns the recording and what was warned. */
async function asked(layer: Layer, preview: boolean): Promise<{ recording: Recording; warnings: readonly string[] }> {
  const { result, warnings } = await keepingWarnings(() => record(() => refuseUnresolved(layer), { preview }));
  return { recording: result, warnings };
}

describe("versions.ts", () => {
  describe("unresolvedPaths", () => {
    it("finds every unresolved value at any depth, and nothing else", () => {
      assert.deepEqual(
        unresolvedPaths({
          a: unresolved,
          b: { c: [unresolved, "x"], d: { e: unresolved } },
          f: null,
          g: 3,
          h: "resolved",
        }),
        ["a", "b.c.0", "b.d.e"],
      );
      assert.deepEqual(unresolvedPaths({}), []);
    });

    it("finds of the real versions only what npm run pin looks up", () => {
      assert.deepEqual(
        unresolvedPaths().filter((path) => !(pinned as readonly string[]).includes(path)),
        [],
      );
    });
  });

  describe("refuseUnresolved", () => {
    const needs: Record<Layer, readonly string[]> = {
      nodes: ["debian.build", "debian.sha512"],
      services: [],
      volumes: ["images.copy.digest", "images.verify.digest"],
      rancheros: [],
    };

    for (const layer of layers) {
      for (const path of pinned) {
        const needed = needs[layer].includes(path);
        it(`${needed ? "refuses" : "allows"} an update of ${layer} while ${path} is unresolved`, async () => {
          const { recording, warnings } = await withUnresolved([path], () => asked(layer, false));
          assert.deepEqual(warnings, []);
          if (!needed) return assert.equal(recording.error, undefined);
          assert.match(
            String(recording.error),
            new RegExp(`versions\\.ts: ${path.replaceAll(".", "\\.")} not resolved`),
          );
          assert.match(String(recording.error), /run `npm run pin` and commit the result/);
        });
      }

      it(`${needs[layer].length > 0 ? "only warns" : "says nothing"} in a preview of ${layer} while all are unresolved`, async () => {
        const { recording, warnings } = await withUnresolved(pinned, () => asked(layer, true));
        assert.equal(recording.error, undefined);
        assert.deepEqual(
          warnings.map((line) => line.replace(/, so this layer.*: run/, "; run")),
          needs[layer].length === 0
            ? []
            : [`versions.ts: ${needs[layer].join(", ")} not resolved; run \`npm run pin\` and commit the result`],
        );
      });

      it(`says nothing about ${layer} once everything is resolved`, async () => {
        for (const preview of [false, true]) {
          const { recording, warnings } = await withUnresolved([], () => asked(layer, preview));
          assert.deepEqual([recording.error, warnings], [undefined, []]);
        }
      });
    }

    it("names every missing value at once", async () => {
      const { recording } = await withUnresolved(pinned, () => asked("nodes", false));
      assert.match(String(recording.error), /debian\.build, debian\.sha512 not resolved/);
    });
  });

  describe("names", () => {
    const debian = { release: "trixie", version: "13", build: "20260101-0000", sha512: "made-up" };

    it("gives Debian's image its published place, its name and its checksum", () => {
      assert.deepEqual(debianImage(debian), {
        url: "https://cloud.debian.org/images/cloud/trixie/20260101-0000/debian-13-genericcloud-amd64-20260101-0000.qcow2",
        fileName: "debian-13-genericcloud-amd64-20260101-0000.qcow2",
        sha512: "made-up",
      });
      assert.equal(debianFileName(debian), debianImage(debian).fileName);
    });

    it("names the build of versions.ts unless told otherwise", () => {
      assert.deepEqual(debianImage(), debianImage(versions.debian));
    });

    it("puts tag and digest into an image's reference", () => {
      assert.equal(
        imageReference({ repository: "r.example.org/a/b", tag: "1.2", digest: "d" }),
        "r.example.org/a/b:1.2@d",
      );
    });
  });

  /** Read from the text: a rehearsal in this process may have put stand-ins into the object. */
  describe("as committed", () => {
    const values = readLeaves(source).map(({ path, value }) => [path, value] as const);
    const forms: Record<string, RegExp> = {
      "images.*.repository": /^[a-z0-9.-]+\.[a-z]+\/[a-z0-9./_-]+$/,
      // No tag that moves.
      "images.*.tag": /^(?!latest$|stable$|edge$|main$)\w[\w.-]{0,127}$/,
      "images.*.digest": /^(unresolved|sha256:[0-9a-f]{64})$/,
      "charts.*.repository": /^https:\/\//,
      "charts.*.chart": /^[a-z0-9-]+$/,
      "charts.*.version": /^\d+\.\d+\.\d+$/,
      "debian.release": /^[a-z]+$/,
      "debian.version": /^\d+$/,
      "debian.build": /^(unresolved|\d{8}-\d+)$/,
      "debian.sha512": /^(unresolved|[0-9a-f]{128})$/,
    };
    for (const [path, value] of values) {
      it(`${path} has its form, and nothing stands in for what was not looked up`, () => {
        const form = forms[path.replace(/^(images|charts)\.[^.]+\./, "$1.*.")];
        assert.ok(form, "a value of a kind that this test does not know");
        assert.match(value, form);
      });
    }
  });

  describe("its renovate markers (does not prove what Renovate does with them)", () => {
    const { customManagers } = JSON.parse(readFileSync(join(root, "renovate.json"), "utf8")) as {
      customManagers: { matchStrings: string[]; managerFilePatterns: string[] }[];
    };
    const found = (text: string): Record<string, string | undefined>[] =>
      customManagers.flatMap(({ matchStrings }) =>
        matchStrings.flatMap((pattern) =>
          [...text.matchAll(new RegExp(pattern, "g"))].map(({ groups }) => ({ ...groups })),
        ),
      );

    it("are on every chart and image, and name what the entry itself names", () => {
      const { charts, images } = versions;
      assert.deepEqual(
        found(source).map(({ datasource, depName, registryUrl, currentValue }) => [
          datasource,
          depName,
          registryUrl,
          currentValue,
        ]),
        [
          ...Object.values(charts).map(({ chart, repository, version }) => ["helm", chart, repository, version]),
          ...Object.values(images).map(({ repository, tag }) => ["docker", repository, undefined, tag]),
        ],
      );
    });

    it("give Renovate the digest once there is one", () => {
      const digest = `sha256:${"0".repeat(64)}`;
      assert.deepEqual(
        found(source.replaceAll("digest: unresolved", `digest: "${digest}"`)).map(({ currentDigest }) => currentDigest),
        [...Object.values(versions.charts).map(() => undefined), ...Object.values(versions.images).map(() => digest)],
      );
    });

    it("are looked for in versions.ts alone", () => {
      const [pattern = ""] = customManagers.flatMap(({ managerFilePatterns }) => managerFilePatterns);
      const match = new RegExp(pattern.slice(1, -1));
      assert.deepEqual(
        ["versions.ts", "test/unit/versions.test.ts", "environment/rules/versions.ts"].filter((file) =>
          match.test(file),
        ),
        ["versions.ts"],
      );
    });
  });
});
