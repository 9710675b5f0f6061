import assert from "node:assert/strict";
import { sshClient } from "../../../operations/clients/ssh";
import { systemClock } from "../../../operations/clients/clock";
import { buildHome, uuidOf } from "../../../rehearsal/home/build";
import type { Vm } from "../../../rehearsal/home/state";
import { environment } from "../../support/environment";
import { sshKeys } from "../../support/ssh-keys";
import { Guests } from "./guests";

describe("guests: our SSH client against Debian's sshd (does not prove what the scripts do: that is the pretend guest's)", () => {
  const home = buildHome(environment("home"));
  const keys = sshKeys();
  let guests: Guests;
  const vm: Vm = {
    ...{ vmId: 201, name: "debian-1", host: "pve", status: "running", tags: [], macs: [], protection: false },
    ...{ disks: [40], memory: 12, uuid: uuidOf(201, 1) },
    config: {
      ipconfig0: "ip=192.168.10.21/24,gw=192.168.10.1",
      ciuser: "debian",
      sshkeys: encodeURIComponent(keys.public),
    },
  };
  const target = { address: "192.168.10.21", user: "debian", hostKey: undefined };
  const ssh = sshClient({ privateKey: keys.private }, systemClock);

  before(async () => {
    guests = await Guests.start(home, async ({ script }) => ({ code: 0, stdout: `ran ${script}\n` }));
    await guests.boot(vm);
  });
  after(() => guests.stop());

  it("lets the operator's key in, with the host key that the guest agent will show, and gets the script with its settings", async () => {
    const result = await ssh.run(target, "provision", { NODE_NAME: "it's", CARDS: "" });
    assert.deepEqual(result, { stdout: "ran provision\n", hostKey: home.guests[201]?.hostKey });
    assert.deepEqual(guests.ran, [{ vmId: 201, script: "provision", variables: { NODE_NAME: "it's", CARDS: "" } }]);
    assert.equal(guests.received[0]?.command, "sudo -n timeout --kill-after=30 1800 bash -s");
  });

  it("refuses another key, and another user", async () => {
    const other = sshClient({ privateKey: sshKeys().private }, systemClock);
    for (const attempt of [other.run(target, "provision", {}), ssh.run({ ...target, user: "root" }, "provision", {})])
      await assert.rejects(attempt, { kind: "unreachable" });
  });

  it("breaks the connection before or after the script ran, when told to", async () => {
    for (const drop of ["before", "after"] as const) {
      guests.ran.length = 0;
      guests.drop = () => drop;
      await assert.rejects(ssh.run(target, "provision", {}), { kind: "exit", message: /the connection was lost/ });
      assert.equal(guests.ran.length, drop === "after" ? 1 : 0);
    }
    guests.drop = () => undefined;
  });

  it("keeps its host key when it starts again, and shows another one where somebody else answers", async () => {
    const hostKey = home.guests[201]?.hostKey;
    await guests.off(vm);
    await guests.boot(vm);
    assert.equal((await ssh.run(target, "provision", {})).hostKey, hostKey);
    guests.impostors.add(201);
    await guests.boot(vm);
    assert.equal(home.guests[201]?.hostKey, hostKey);
    assert.notEqual((await ssh.run(target, "provision", {})).hostKey, hostKey);
    await assert.rejects(ssh.run({ ...target, hostKey }, "join-rke1", {}, { TOKEN: "token-of-this-test" }), {
      kind: "host-key",
    });
    assert.equal(
      guests.received.some(({ input }) => input.includes("token-of-this-test")),
      false,
    );
  });
});
