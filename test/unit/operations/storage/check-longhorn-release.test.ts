import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StoredObject } from "../../../../operations/clients";
import { longhornSettings } from "../../../../operations/kinds";
import { Refusal } from "../../../../operations/refusal";
import { checkLonghornRelease } from "../../../../operations/storage/check-longhorn-release";
import { helmSecret, storageHome, type HelmRecord } from "../../../support/longhorn";

const declared = { name: "longhorn", namespace: "longhorn-system", chart: "longhorn", version: "1.12.1" };

/** What the check says of a declaration where these revisions live. */
async function check(
  records: readonly HelmRecord[],
  change: Partial<typeof declared & { path: string }> = {},
  others: readonly StoredObject[] = [],
): Promise<unknown> {
  const clients = storageHome();
  for (const object of [...records.map(helmSecret), ...others]) await clients.kubernetes.create(object);
  return checkLonghornRelease.run({ ...declared, ...change }, clients);
}

/** That it is refused, with these words in what, why and next. */
async function refused(answer: Promise<unknown>, what: RegExp, why: RegExp, next: RegExp): Promise<void> {
  await assert.rejects(answer, (error: unknown) => {
    assert.ok(error instanceof Refusal);
    assert.match(error.parts.what, what);
    assert.match(error.parts.why, why);
    assert.match(error.parts.next, next);
    return true;
  });
}

const accepted = { chart: "longhorn", version: "1.12.1" };
const crd =
  "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: volumes.longhorn.io\n";
const unrelated: HelmRecord = { name: "metallb", namespace: "metallb-system", chart: "metallb", version: "0.16.1" };

describe("check-longhorn-release (records as Helm 3 writes them; does not prove that Helm accepts the release)", () => {
  describe("lets pass", () => {
    const cases: Record<string, readonly HelmRecord[]> = {
      "a cluster without any release": [],
      "a cluster with other releases only": [unrelated],
      "the same version": [{}],
      "a record that is not compressed": [{ compressed: false }],
      "a newer patch": [{ version: "1.12.0" }],
      "one minor version on": [{ version: "1.11.3" }],
      "one minor version on, older revisions further back": [
        { version: "1.10.2", status: "superseded" },
        { version: "1.11.3", revision: 2 },
      ],
      "revision 10 after revision 9, which text would sort the other way round": [
        { version: "1.9.0", revision: 9, status: "superseded" },
        { version: "1.11.3", revision: 10 },
      ],
      "a failed first installation of the same version": [{ status: "failed" }],
      "a failed upgrade to the same version": [
        { version: "1.11.3", status: "deployed" },
        { revision: 2, status: "failed" },
      ],
      "an uninstalled release of which Helm kept the history": [{ version: "1.6.0", status: "uninstalled" }],
      "Longhorn's own chart, whose appVersion has a v": [{ appVersion: "v1.12.1" }],
    };
    for (const [title, records] of Object.entries(cases)) {
      it(title, async () => assert.deepEqual(await check(records), accepted));
    }

    it("going back from an upgrade that failed in its pre-upgrade hook, which changed nothing", async () => {
      const hook = 'Upgrade "longhorn" failed: pre-upgrade hooks failed: job longhorn-pre-upgrade failed';
      const records = [{ version: "1.12.1" }, { version: "1.13.0", revision: 2, status: "failed", description: hook }];
      assert.deepEqual(await check(records), accepted);
    });
  });

  describe("refuses, with the reason,", () => {
    it("a release under another name, found by its chart", () =>
      refused(
        check([{ name: "longhorn-4f2a91c3" }]),
        /release longhorn-4f2a91c3 in namespace longhorn-system .*declared is longhorn in longhorn-system/,
        /cannot be renamed.*CRDs and with them every volume/,
        /helm -n longhorn-system status longhorn-4f2a91c3/,
      ));

    it("a release in another namespace", () =>
      refused(check([{ namespace: "storage" }]), /in namespace storage/, /every volume/, /helm -n storage status/));

    it("a changed name in the declaration", () =>
      refused(
        check([{}], { name: "storage" }),
        /declared is storage in longhorn-system/,
        /every volume/,
        /declare what/,
      ));

    it("a changed namespace in the declaration", () =>
      refused(
        check([{}], { namespace: "storage" }),
        /declared is longhorn in storage/,
        /every volume/,
        /declare what/,
      ));

    it("a second release with Longhorn's CRDs under a chart of any name", () =>
      refused(
        check([{ name: "storage", namespace: "apps", chart: "our-storage", version: "3.0.0", manifest: crd }]),
        /release storage in namespace apps \(chart our-storage 3.0.0\)/,
        /every volume/,
        /helm -n apps status storage/,
      ));

    it("a changed chart in the declaration", () =>
      refused(
        check([{}], { chart: "longhorn-next" }),
        /installed from chart longhorn 1.12.1; declared is longhorn-next 1.12.1/,
        /CRDs among them.*every volume/,
        /longhorn.chart in the environment file/,
      ));

    it("the chart of Rancher's Apps, which has the same name", () =>
      refused(
        check([{ version: "105.1.2+up1.8.2", appVersion: "v1.8.2" }]),
        /installed from chart longhorn 105.1.2\+up1.8.2/,
        /every volume/,
        /declare the chart/,
      ));

    it("a release of our name that is something else", () =>
      refused(check([{ chart: "rook" }]), /installed from chart rook/, /CRDs/, /declare the chart/));

    for (const from of ["1.12.2", "1.13.0", "2.0.0"]) {
      it(`going back from ${from}`, () =>
        refused(
          check([{ version: from }]),
          new RegExp(`Longhorn ${from} lives there; declared is 1.12.1`),
          /does not go back/,
          new RegExp(`versions.ts to ${from} or newer`),
        ));
    }

    for (const [from, next] of [
      ["1.10.2", "1.11.x"],
      ["1.6.4", "1.7.x"],
    ]) {
      it(`skipping a minor version from ${from}`, () =>
        refused(
          check([{ version: from ?? "" }]),
          new RegExp(`Longhorn ${from} lives there`),
          /one minor version at a time/,
          new RegExp(`newest ${next}`),
        ));
    }

    it("a new major version, of which nothing is known", () =>
      refused(check([{}], { version: "2.0.0" }), /declared is 2.0.0/, /one minor version/, /1.13.x/));

    it("going back from an upgrade that failed half-way", () =>
      refused(
        check([{ version: "1.12.1" }, { version: "1.13.0", revision: 2, status: "failed" }]),
        /Longhorn 1.13.0 lives there/,
        /does not go back/,
        /1.13.0 or newer/,
      ));

    it("going on from an upgrade that failed half-way, past the version that still runs", () =>
      refused(
        check([{ version: "1.10.2" }, { version: "1.11.3", revision: 2, status: "failed" }]),
        /Longhorn 1.10.2 lives there/,
        /one minor version/,
        /1.11.x/,
      ));

    it("what Longhorn says of itself, where Helm's record is older", () =>
      refused(
        check([{}], {}, [
          {
            ...longhornSettings,
            metadata: { name: "current-longhorn-version", namespace: "longhorn-system" },
            value: "v1.13.1",
          } as StoredObject,
        ]),
        /Longhorn 1.13.1 lives there/,
        /does not go back/,
        /1.13.1 or newer/,
      ));

    it("a version that is none", () =>
      refused(check([{}], { version: "latest" }), /Longhorn latest/, /cannot be told/, /such as 1.12.1/));

    for (const status of ["pending-install", "pending-upgrade", "pending-rollback"]) {
      it(`a release that is ${status}, with the next command`, () =>
        refused(
          check([{ status: "deployed" }, { status, revision: 2 }]),
          new RegExp(`revision 2 is ${status}`),
          /running, or was cut off/,
          /kubectl -n longhorn-system delete secret sh\.helm\.release\.v1\.longhorn\.v2/,
        ));
    }

    it("a release that is half uninstalled", () =>
      refused(
        check([{ status: "uninstalling" }]),
        /being uninstalled/,
        /half-removed/,
        /helm -n longhorn-system rollback longhorn/,
      ));

    it("a record that cannot be read, without quoting it", async () => {
      const broken = helmSecret();
      broken.data = { release: Buffer.from("hidden-value").toString("base64") };
      const answer = check([], {}, [broken]);
      await refused(
        answer,
        /sh\.helm\.release\.v1\.longhorn\.v1/,
        /overlooked/,
        /helm -n longhorn-system history longhorn/,
      );
      await assert.rejects(answer, (error: Error) => !error.message.includes("hidden-value"));
    });
  });

  it("looks at Secrets of Helm's type alone, whatever their labels", async () => {
    const other = { ...helmSecret({ version: "1.2.0" }), type: "Opaque" };
    assert.deepEqual(await check([], {}, [other]), accepted);
  });

  it("changes nothing in the cluster", async () => {
    const clients = storageHome();
    await clients.kubernetes.create(helmSecret());
    const before = JSON.stringify(clients);
    await checkLonghornRelease.run(declared, clients);
    assert.equal(JSON.stringify(clients), before);
  });
});

describe("check-longhorn-release with a chart by path", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "chart-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  /** A chart folder, as `helm create` lays it out. */
  function chartFolder(text: string): string {
    const path = join(folder, "longhorn");
    mkdirSync(path);
    writeFileSync(join(path, "Chart.yaml"), text);
    return path;
  }

  it("takes name and version from its Chart.yaml, not from versions.ts", async () => {
    const path = chartFolder("name: longhorn\nversion: 1.12.3\nappVersion: v1.12.3\n");
    assert.deepEqual(await check([{}], { path }), { chart: path, version: "1.12.3" });
  });

  it("refuses a version in it that goes back", async () =>
    refused(
      check([{}], { path: chartFolder("name: longhorn\nversion: 1.11.0\n") }),
      /declared is 1.11.0/,
      /does not go back/,
      /1.12.1/,
    ));

  it("refuses another chart, even where nothing is installed yet", () =>
    refused(
      check([], { path: chartFolder("name: rook\nversion: 1.0.0\n") }),
      /holds the chart rook/,
      /declared is the chart longhorn/,
      /put the longhorn chart there/,
    ));

  it("refuses a path without a chart", () =>
    refused(
      check([], { path: folder }),
      /longhorn\.chart\.path .*no chart can be read/,
      /Chart\.yaml/,
      /pulumi preview/,
    ));
});
