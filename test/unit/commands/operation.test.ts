import assert from "node:assert/strict";
import { main, type OperationParts } from "../../../commands/operation";
import { checkout, type Surroundings } from "../../../commands/validate";
import { pretendClients } from "../../../rehearsal/home/clients";
import { VirtualClock } from "../../../rehearsal/home/clock";
import { buildHome } from "../../../rehearsal/home/build";
import type { Access } from "../../../operations/access";
import { environment } from "../../support/environment";

function surroundings(): Surroundings & { readonly lines: string[]; readonly errors: string[] } {
  const lines: string[] = [];
  const errors: string[] = [];
  return {
    ...checkout(),
    lines,
    errors,
    out: (line) => void lines.push(line),
    error: (line) => void errors.push(line),
  };
}

describe("npm run operation (does not prove the live systems)", () => {
  const home = buildHome(environment("home"));
  let given: Access | undefined;
  const parts = (input: unknown): OperationParts => ({
    input: async () => JSON.stringify(input),
    secrets: (_, wanted) => Object.fromEntries(wanted.map((key) => [key, `the ${key}`])),
    connect: (access) => {
      given = access;
      return pretendClients(home, new VirtualClock(home.now));
    },
  });

  it("runs the verb with the access of the environment, and only that which it needs", async () => {
    const where = surroundings();
    const input = {
      nodes: [{ name: "debian-1", host: "pve", vmId: 201 }],
      tag: "home-cluster-home",
      oldNodes: ["rancheros-1"],
    };
    assert.equal(await main(["home", "check-vm-ids"], where, parts(input)), 0);
    assert.deepEqual(
      where.lines.map((line) => JSON.parse(line) as unknown),
      [{ vmIds: { "debian-1": 201 } }],
    );
    assert.deepEqual(given, { proxmox: { endpoint: "https://pve.home.example.org:8006/", token: "the proxmoxToken" } });
  });

  it("a verb that is none, or none at all, is a usage error that lists the verbs", async () => {
    for (const args of [["home", "no-such"], ["home"], [], ["home", "keep", "more"]]) {
      const where = surroundings();
      assert.equal(await main(args, where, parts({})), 2);
      assert.match(where.errors.join("\n"), /Verbs: keep, .*check-vm-ids/);
    }
  });

  it("an environment that is refused is refused here", async () => {
    await assert.rejects(main(["nowhere", "check-vm-ids"], surroundings(), parts({})), /refused, nothing was touched/);
  });
});
