import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main, type RetireParts } from "../../../commands/retire";
import { checkout, type Surroundings } from "../../../commands/validate";
import type { Access } from "../../../operations/access";
import { root } from "../../support/environment";
import { counted, migratedHome, setPhase, vmOf, type MigratedHome } from "../../support/migrated-home";

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

  it("anything else is a usage error", async () => {
    for (const args of [[], ["home"], ["--check"], ["home", "lab", "--check"], ["home", "--chek"]]) {
      const where = surroundings();
      assert.equal(await main(args, where, parts), 2, args.join(" "));
      assert.match(where.errors.join("\n"), /^usage: npm run retire -- <environment> --check/);
    }
    assert.deepEqual(given, []);
  });
});
