import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { checkEnvironment } from "../../../environment/check";
import { formatPath } from "../../../environment/origin";
import { formatProblem } from "../../../environment/problem";
import type { EnvironmentFile } from "../../../environment/schema";
import { rawEnvironment, root } from "../../support/environment";
import { applyEdit, ruleFixtures, type Edit, type InvalidEdit } from "../../support/fixtures";

type Key = string | number;
const bases = ["home", "lab"] as const;

/** Every place of a file, sections and entries included. */
function* places(value: unknown, path: readonly Key[] = []): Generator<readonly Key[]> {
  if (path.length > 0) yield path;
  if (typeof value !== "object" || value === null) return;
  for (const [key, child] of Object.entries(value))
    yield* places(child, [...path, Array.isArray(value) ? Number(key) : key]);
}

function replaced(raw: unknown, path: readonly Key[], value: unknown): unknown {
  const copy = structuredClone(raw) as Record<Key, unknown>;
  const owner = path.slice(0, -1).reduce<Record<Key, unknown>>((at, key) => at[key] as Record<Key, unknown>, copy);
  owner[path.at(-1) ?? ""] = value;
  return copy;
}

function edited(change: (file: EnvironmentFile & Record<string, unknown>) => void): readonly string[] {
  const raw = structuredClone(rawEnvironment("home")) as EnvironmentFile & Record<string, unknown>;
  change(raw);
  return checkEnvironment(raw).problems.map(formatProblem);
}

describe("environment/check", () => {
  const usual = new Map(
    bases.map((base) => [base, checkEnvironment(rawEnvironment(base)).problems.map(formatProblem)]),
  );

  it("gives the environment with its defaults when nothing is wrong", () => {
    const { environment } = checkEnvironment(rawEnvironment("home"));
    assert.equal(environment?.longhorn.reservedPercent, 30);
    assert.equal(environment?.volumes[0]?.stage, "copy");
    assert.equal(environment?.nodes[0]?.protect, true);
    assert.equal(environment?.nodes[0]?.restart, false);
  });

  it("gives the environment beside the problems when only its values do not go together", () => {
    const { environment, problems } = checkEnvironment(
      applyEdit({ title: "", base: "home", set: { "nodes[0].vmId": 101 } }),
    );
    assert.equal(environment?.nodes[0]?.vmId, 101);
    assert.equal(problems.filter(({ severity }) => severity === "error").length, 1);
  });

  describe("form", () => {
    const { invalid } = parse(
      readFileSync(join(root, "test", "fixtures", "environment", "form", "schema.yaml"), "utf8"),
    ) as { invalid: readonly InvalidEdit[] };
    for (const edit of invalid) {
      it(`objects to ${edit.title}`, () => {
        const { environment, problems } = checkEnvironment(applyEdit(edit));
        assert.equal(environment, undefined);
        const lines = problems.map(formatProblem).filter((line) => !usual.get(edit.base)?.includes(line));
        assert.deepEqual(lines, edit.lines);
      });
    }

    it("never prints what the fixtures hold as secrets", () => {
      const lines = invalid.flatMap((edit) => checkEnvironment(applyEdit(edit)).problems.map(formatProblem));
      assert.deepEqual(
        lines.filter((line) => /hunter2|01234567-89ab|BEGIN OPENSSH/.test(line)),
        [],
      );
    });

    for (const raw of [undefined, null, "text", 5, [], () => undefined]) {
      it(`takes ${String(raw) || "an empty list"} without throwing`, () => {
        const { environment, problems } = checkEnvironment(raw);
        assert.equal(environment, undefined);
        assert.deepEqual([...new Set(problems.map(({ rule }) => rule))], ["schema"]);
        assert.deepEqual([...new Set(problems.map(({ path }) => path))], ["home-cluster"]);
      });
    }
  });

  describe("with an error in the form", () => {
    it("still runs the rules on the rest, and names entries by their index in the file", () => {
      assert.deepEqual(
        edited((file) => {
          Object.assign(file.nodes[0] ?? {}, { cores: "four" });
          Object.assign(file.nodes[1] ?? {}, { vmId: 103 });
          Object.assign(file.nodes[2]?.cards[0] ?? {}, { mac: 1 });
          Object.assign(file.nodes[2]?.cards[1] ?? {}, { address: "192.168.41.23" });
        }),
        [
          "nodes[0].cores: four: must be a whole number, not text: write it in digits",
          "nodes[2].cards[0].mac: 1: must be text, not a number: write it in quotes, or YAML reads it as a number",
          "nodes[1].vmId: 103: is the vmId of old node rancheros-3 already (oldNodes[2].vmId): choose an id that no machine in this file has or had",
          "nodes[2].cards[1].address: 192.168.41.23: lies outside network dmz (192.168.40.0/24): choose an address in 192.168.40.0/24, or name the network that it is in",
        ],
      );
    });

    it("names plain entries of a list by their index in the file, too", () => {
      assert.deepEqual(
        edited((file) => {
          Object.assign(file.networks[0] ?? {}, { dhcp: ["none", "192.168.11.1-192.168.11.9"] });
        }),
        [
          "networks[0].dhcp[0]: none: must be a range such as 192.168.10.100-192.168.10.199: write it in that form",
          "networks[0].dhcp[1]: 192.168.11.1-192.168.11.9: lies outside network servers (192.168.10.0/24): write the part of 192.168.10.0/24 that its DHCP server hands out",
          ...(usual.get("home") ?? []),
        ],
      );
    });

    it("still counts entries in which only a part cannot be used", () => {
      assert.deepEqual(
        edited((file) => {
          Object.assign(file.nodes[0]?.cards[0] ?? {}, { mac: "none" });
          Object.assign(file.nodes[1] ?? {}, { roles: ["worker"], dataDisc: 1 });
          Object.assign(file.oldNodes?.[0] ?? {}, { roles: ["worker"] });
        }),
        [
          'nodes[0].cards[0].mac: none: must be a MAC address in upper case (lower case would show as a change in every preview): for example "BC:24:11:00:10:21"',
          "nodes[1].dataDisc: (a number, not shown): there is no such key here, so it would do nothing: did you mean dataDisk? (keys here: name, host, vmId, cores, memory, systemDisk, dataDisk, storageTags, roles, labels, cards, protect, restart)",
          "nodes: 2 with role etcd: once the old nodes are gone, losing one of 2 members stops the cluster: give the role etcd to 3 or 5 of the new nodes",
          "oldNodes[2]: rancheros-3: once it has left, 2 etcd members are there, and losing one more stops the cluster: give the role etcd to more of the new nodes",
        ],
      );
    });

    it("drops an unknown key and judges what stands beside it", () => {
      assert.deepEqual(
        edited((file) => {
          Object.assign(file.volumes?.[0] ?? {}, { sise: "20Gi", size: "1Gi" });
        }),
        [
          "volumes[0].sise: (text, not shown): there is no such key here, so it would do nothing: did you mean size? (keys here: namespace, claim, oldSize, size, newClaim, accessMode, stage, switch, hash, attempt)",
          ...(usual.get("home") ?? []),
          "volumes[0].size: 1Gi: is smaller than the old volume (10Gi): write 10Gi or more",
        ],
      );
    });

    it("skips just the rules that need a section which cannot be used", () => {
      assert.deepEqual(
        edited((file) => {
          file.ingress = undefined as never;
          file.longhorn.host = 5 as never;
          file.longhorn.replicas = 4;
          Object.assign(file.cluster.rancher, { version: "v2.12.0", url: 1 });
          Object.assign(file.nodes[0] ?? {}, { vmId: 101 });
        }),
        [
          "cluster.rancher.url: 1: must be text, not a number: write it in quotes, or YAML reads it as a number",
          "longhorn.host: 5: must be text, not a number: write it in quotes, or YAML reads it as a number",
          "ingress: (missing): is required, as a mapping: add ingress",
          "cluster.rancher.version: v2.12.0: Rancher 2.12 and later do not manage RKE1 clusters, so a live one runs under 2.11 at most: write the version that Rancher's start page shows, or the cluster's true distribution",
          "nodes[0].vmId: 101: is the vmId of old node rancheros-1 already (oldNodes[0].vmId): choose an id that no machine in this file has or had",
          ...(usual.get("home") ?? []),
          "longhorn.replicas: 4: 3 of the nodes have a dataDisk, and two replicas never share one: every volume would stay degraded: write 3, or give more nodes a dataDisk",
        ],
      );
    });

    const kinds = [3.5, {}, null, ""];
    /** Makes every wanted place of a file unusable, one at a time, and expects that nothing but the form is objected to. */
    const accuseNothing = (raw: unknown, wanted: (path: readonly Key[]) => boolean): void => {
      const before = checkEnvironment(raw);
      assert.deepEqual(before.problems.filter(({ severity }) => severity === "error").map(formatProblem), []);
      const usualHere = before.problems.map(formatProblem);
      for (const [index, path] of [...places(raw)].filter(wanted).entries()) {
        const { environment, problems } = checkEnvironment(replaced(raw, path, kinds[index % kinds.length]));
        // A few places take an empty mapping or any text; the rules judge those like any other value.
        if (environment !== undefined || path.at(-1) === "ingress") continue;
        const rest = problems.filter(({ rule }) => rule !== "schema").map(formatProblem);
        const unusual = rest.filter((line) => !usualHere.includes(line));
        assert.deepEqual(unusual, [], formatPath(path));
        assert.ok(
          problems.some(({ rule }) => rule === "schema"),
          formatPath(path),
        );
      }
    };

    for (const base of bases) {
      it(`accuses nothing else, wherever in ${base} the error is`, () => {
        accuseNothing(rawEnvironment(base), () => true);
      });
    }

    const tight: readonly Edit[] = [
      {
        title: "one node does all",
        base: "home",
        set: {
          "nodes[1].roles": ["etcd"],
          "nodes[2].roles": ["etcd"],
          "nodes[0].dataDisk": 150,
          "longhorn.replicas": 1,
        },
        remove: [
          "nodes[1].dataDisk",
          "nodes[2].dataDisk",
          "nodes[1].cards[1]",
          "nodes[2].cards[1]",
          "networks[1].gateway",
        ],
      },
      {
        title: "every disk is needed",
        base: "home",
        set: {
          "nodes[0].dataDisk": 100,
          "nodes[1].dataDisk": 100,
          "nodes[2].dataDisk": 100,
          "longhorn.replicas": 2,
        },
      },
      {
        title: "names depend on their neighbours",
        base: "home",
        set: { "volumes[0].claim": "a-b", "volumes[1].claim": "a-b", "volumes[2].claim": "b", "volumes[3].claim": "b" },
        push: { volumes: { namespace: "a", claim: "b", oldSize: "1Gi", size: "1Gi" } },
      },
    ];
    for (const edit of tight) {
      it(`accuses nothing else where ${edit.title}`, () => {
        accuseNothing(
          applyEdit(edit),
          ([section]) => section === "nodes" || section === "volumes" || section === "networks",
        );
      });
    }

    it("still sees what every rule sees, with an error elsewhere", () => {
      // The user of the UI's basic auth is a value that no rule reads.
      for (const { rule, invalid } of ruleFixtures()) {
        const [edit] = invalid;
        assert.ok(edit, rule);
        const raw = replaced(applyEdit(edit), ["longhorn", "user"], "a:b");
        const lines = checkEnvironment(raw)
          .problems.filter((problem) => problem.rule === rule)
          .map(formatProblem);
        assert.deepEqual(lines, edit.lines, rule);
      }
    });
  });

  it("lets an error that is not about the file through: it is a defect of a rule", () => {
    const broken = (): never => {
      throw new TypeError("a defect");
    };
    assert.throws(() => checkEnvironment(rawEnvironment("home"), [broken]), /a defect/);
  });
});
