import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main, type RetireParts } from "../../../commands/retire";
import { checkout, type Surroundings } from "../../../commands/validate";
import type { Access } from "../../../operations/access";
import { retireOldNode } from "../../../operations/rancheros/retire-old-node";
import { root } from "../../support/environment";
import { counted, migratedHome, nodeIn, setPhase, vmOf, type MigratedHome } from "../../support/migrated-home";

function surroundings(): Surroundings & { readonly lines: string[]; readonly errors: string[] } {
  const lines: string[] = [];
  const errors: string[] = [];
  const [out, error] = [(line: string) => void lines.push(line), (line: string) => void errors.push(line)];
  return { ...checkout(), lines, errors, out, error };
}

describe("npm run retire (does not prove the live systems: test/cluster/retirement.test.ts)", () => {
  let at: MigratedHome;
  let given: Access[];
  beforeEach(async () => {
    at = await migratedHome();
    given = [];
  });
  const parts: RetireParts = {
    secrets: (_, wanted) => Object.fromEntries(wanted.map((key) => [key, `the ${key}`])),
    connect: (access) => {
      given.push(access);
      return counted(at.clients, (_, name) => assert.match(name, /read|list|nodes|version|vmIdFree|snapshots/, name));
    },
  };

  it("--check says that nothing stands against it, with the access of the environment, and changes nothing", async () => {
    const before = structuredClone(at.home);
    const where = surroundings();
    assert.equal(await main(["home", "--check"], where, parts), 0);
    assert.deepEqual(where.errors, []);
    assert.deepEqual(where.lines, [
      "home: nothing stands against retiring rancheros-1, rancheros-2, rancheros-3; `pulumi up -s home-rancheros` records what was looked at, " +
        "`pulumi destroy -s home-rancheros` retires them",
    ]);
    assert.deepEqual(at.home, before);
    const [access] = given;
    assert.deepEqual(
      [access?.proxmox?.token, access?.rancher?.token, access?.kubernetes?.kubeconfig, access?.ssh],
      ["the proxmoxToken", "the rancherToken", "the kubeconfig", undefined],
    );
  });

  it("--check reports every finding over all nodes at once, and exits with 1", async () => {
    setPhase(at.home, "games", "valheim-server-data", "warm");
    vmOf(at.home, "rancheros-3").protection = true;
    const before = structuredClone(at.home);
    const where = surroundings();
    assert.equal(await main(["home", "--check"], where, parts), 1);
    assert.deepEqual(where.lines, []);
    const [report = ""] = where.errors;
    assert.match(report, /home-rancheros: no old node was retired, nothing was touched/);
    assert.match(report, /2 things stand against it/);
    assert.match(report, /volume games\/valheim-server-data is not switched/);
    assert.match(report, /rancheros-3: machine 103 is protected in Proxmox/);
    assert.deepEqual(at.home, before);
  });

  it("--check is refused while a system does not answer, with exit 1", async () => {
    at.clients.rancher.version = () => Promise.reject(new Error("401"));
    const where = surroundings();
    assert.equal(await main(["home", "--check"], where, parts), 1);
    assert.match(where.errors.join("\n"), /nothing was touched, because Rancher does not answer as it should/);
  });

  it("an environment whose old nodes are all retired has nothing to check, and no secret is asked for", async () => {
    const folder = mkdtempSync(join(tmpdir(), "retire-"));
    const file = readFileSync(join(root, "Pulumi.home.yaml"), "utf8");
    writeFileSync(join(folder, "Pulumi.home.yaml"), file.replaceAll(/(- \{name: rancheros-\d,)/g, "$1 retired: true,"));
    const where = { ...surroundings(), folder };
    assert.equal(await main(["home", "--check"], where, parts), 0);
    assert.deepEqual(where.lines, ["home: every old node of the file is retired"]);
    assert.deepEqual(given, []);
    rmSync(folder, { recursive: true });
  });

  describe("--purge", () => {
    let folder: string;
    /** After a retirement with `machines: keep` of the first two, which the file then calls retired. */
    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), "retire-"));
      const file = readFileSync(join(root, "Pulumi.home.yaml"), "utf8");
      writeFileSync(
        join(folder, "Pulumi.home.yaml"),
        file.replaceAll(/(- \{name: rancheros-[12],)/g, "$1 retired: true,"),
      );
      for (const input of at.inputs.slice(0, 2)) await retireOldNode.run({ ...input, machines: "keep" }, at.clients);
    });
    afterEach(() => rmSync(folder, { recursive: true }));
    const writing: RetireParts = { ...parts, connect: () => at.clients };
    const machines = (): string[] =>
      at.home.proxmox.vms.map(({ name }) => name).filter((name) => /^rancheros/.test(name));

    it("deletes what was kept of retired nodes alone, and does nothing the second time", async () => {
      assert.deepEqual(machines(), ["rancheros-1", "rancheros-2", "rancheros-3"]);
      for (const time of [1, 2]) {
        const where = { ...surroundings(), folder };
        assert.equal(await main(["home", "--purge"], where, writing), 0, `${time}: ${where.errors.join("\n")}`);
        assert.deepEqual(where.lines, [
          "home: machine 101 of rancheros-1 is gone",
          "home: machine 102 of rancheros-2 is gone",
        ]);
        assert.deepEqual(machines(), ["rancheros-3"]);
      }
    });

    const refusals: readonly (readonly [string, () => unknown, RegExp])[] = [
      [
        "another name",
        () => (vmOf(at.home, "rancheros-1").name = "nas-2"),
        /its name is nas-2, recorded is rancheros-1/,
      ],
      [
        "another MAC",
        () => (vmOf(at.home, "rancheros-1").macs = ["02:00:00:00:00:09"]),
        /its first MAC is 02:00:00:00:00:09/,
      ],
      [
        "a machine that runs again",
        () => (vmOf(at.home, "rancheros-1").status = "running"),
        /it runs, and a retirement had switched it off/,
      ],
      [
        "a machine that is protected",
        () => (vmOf(at.home, "rancheros-1").protection = true),
        /qm set 101 --protection 0/,
      ],
      ["a machine on another host", () => (vmOf(at.home, "rancheros-1").host = "pve-9"), /is not on host/],
      [
        "a node of the cluster that has its address",
        () => {
          const [first] = at.inputs;
          const node = nodeIn(at.home, "debian-1");
          for (const entry of node.status?.addresses ?? []) entry.address = first?.address ?? "";
        },
        /the cluster's node debian-1 has its name or its address/,
      ],
    ];
    for (const [title, breaks, says] of refusals) {
      it(`${title} under the id: nothing is deleted, and the command to go on is said`, async () => {
        await breaks();
        const before = structuredClone(at.home);
        const where = { ...surroundings(), folder };
        assert.equal(await main(["home", "--purge"], where, writing), 1);
        assert.match(where.errors.join("\n"), /machine 101 on pve is not deleted, nothing was touched/);
        assert.match(where.errors.join("\n"), says);
        assert.match(where.errors.join("\n"), /then `npm run retire -- home --purge`/);
        assert.deepEqual(at.home, before);
      });
    }

    it("a file without a retired node purges none, and asks for no secret", async () => {
      const where = surroundings();
      assert.equal(await main(["home", "--purge"], where, parts), 0);
      assert.deepEqual(where.lines, ["home: no old node of the file is `retired`, so none is purged"]);
      assert.deepEqual(given, []);
    });
  });

  it("anything else is a usage error", async () => {
    for (const args of [
      [],
      ["home"],
      ["--check"],
      ["home", "lab", "--check"],
      ["home", "--chek"],
      ["home", "--check", "--purge"],
      ["--purge"],
    ]) {
      const where = surroundings();
      assert.equal(await main(args, where, parts), 2, args.join(" "));
      assert.match(where.errors.join("\n"), /^usage: npm run retire -- <environment> --check/);
    }
    assert.deepEqual(given, []);
  });
});
