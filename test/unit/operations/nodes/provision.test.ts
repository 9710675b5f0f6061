import assert from "node:assert/strict";
import { SshFailure } from "../../../../operations/clients";
import { provision } from "../../../../operations/nodes/provision";
import { refuseImpostor } from "../../../../operations/nodes/host-key";
import { homeWithMachine, hostKey, refused } from "../../../support/nodes";

const input = {
  revision: 1,
  node: "debian-1",
  address: "192.168.10.21",
  distribution: "rke1" as const,
  vm: { host: "pve", vmId: 201 },
  dataDisk: 200,
  cards: [
    { mac: "BC:24:11:00:40:21", network: "192.168.40.0/24", gateway: "192.168.40.1" },
    { mac: "BC:24:11:00:50:21", network: "192.168.50.0/24" },
  ],
};

const settings = {
  NODE_NAME: "debian-1",
  DISTRIBUTION: "rke1",
  DATA_DISK: "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi1",
  DATA_DISK_GIB: "200",
  CARDS: "bc:24:11:00:40:21,192.168.40.0/24,192.168.40.1",
};

describe("operations/nodes/provision and host-key, on the pretend guest (what the script does: operations/guest)", () => {
  it("runs the script on the first contact without a pinned key and without any secret, and returns the key it met", async () => {
    const { clients, runs, log } = homeWithMachine();
    assert.deepEqual(await provision.run(input, clients), { hostKey });
    assert.deepEqual(runs, [
      {
        target: { address: "192.168.10.21", user: "debian", hostKey: undefined },
        script: "provision",
        settings,
        secrets: {},
      },
    ]);
    assert.deepEqual(
      log,
      Object.keys(settings).map((key) => `debian-1: changed ${key}`),
    );
  });

  it("pins the key that the hypervisor reads once the agent answers, and changes nothing the second time", async () => {
    const { clients, runs, log } = homeWithMachine();
    await provision.run(input, clients);
    log.length = 0;
    assert.deepEqual(await provision.run(input, clients), { hostKey });
    assert.equal(runs[1]?.target.hostKey, hostKey);
    assert.deepEqual(log, []);
  });

  it("tells the script that there is no data disk and no card to route", async () => {
    const { clients, runs } = homeWithMachine();
    await provision.run({ ...input, dataDisk: undefined, cards: [] }, clients);
    assert.deepEqual(runs[0]?.settings, { ...settings, DATA_DISK: "", DATA_DISK_GIB: "", CARDS: "" });
  });

  it("waits for a machine that boots", async () => {
    const { clients, clock, home } = homeWithMachine((vm) => (vm.status = "stopped"));
    const start = clock.now();
    let tries = 0;
    const ssh: typeof clients.ssh = {
      run: async (...args) => {
        tries += 1;
        if (tries < 4) throw new SshFailure("unreachable", "192.168.10.21: ECONNREFUSED");
        Object.assign(home.guests[201] ?? {}, { agent: true });
        Object.assign(home.proxmox.vms.find(({ vmId }) => vmId === 201) ?? {}, { status: "running" });
        return { stdout: args[1], hostKey };
      },
    };
    assert.deepEqual(await provision.run(input, { ...clients, ssh }), { hostKey });
    assert.deepEqual([tries, clock.now() - start], [4, 15_000]);
  });

  it("gives up on a machine that never answers, naming the console to look at", async () => {
    const { clients } = homeWithMachine((vm) => (vm.status = "stopped"));
    assert.deepEqual(await refused(provision.run(input, clients)), {
      what: "debian-1: an SSH server at 192.168.10.21: not within 900 s",
      why: "last seen: 192.168.10.21: connection refused",
      next: "look at the machine's console, `qm terminal 201` on pve, then run `pulumi up --refresh` again",
    });
  });

  it("does not run a failing script again, nor go on with a key that is not the pinned one, and shows all that was said", async () => {
    for (const kind of ["exit", "host-key"] as const) {
      const { clients } = homeWithMachine();
      let tries = 0;
      const ssh: typeof clients.ssh = {
        run: async () => {
          tries += 1;
          throw new SshFailure(kind, "provision.sh ended with exit 1\n    refused: the data disk is not empty");
        },
      };
      assert.deepEqual(await refused(provision.run(input, { ...clients, ssh })), {
        what: "debian-1: not provisioned",
        why: "provision.sh ended with exit 1\n    refused: the data disk is not empty",
        next: "mend that, then run `pulumi up --refresh` again; it goes on where it stopped",
      });
      assert.equal(tries, 1);
    }
  });

  it("refuses a guest without an ed25519 key, and passes errors of the hypervisor on", async () => {
    const { clients } = homeWithMachine();
    const answering = (readGuestFile: () => Promise<string>) => ({
      ...clients,
      proxmox: Object.create(clients.proxmox, { readGuestFile: { value: readGuestFile } }) as typeof clients.proxmox,
    });
    for (const content of ["", "ssh-rsa AAAA root@x", "ssh-ed25519"]) {
      const { what } = await refused(
        provision.run(
          input,
          answering(async () => content),
        ),
      );
      assert.equal(what, "machine 201 on pve: no SSH host key to trust");
    }
    await assert.rejects(
      provision.run(
        input,
        answering(() => Promise.reject(new Error("permission denied"))),
      ),
      /^Error: permission denied$/,
    );
  });

  it("fails when somebody else was provisioned, so that the machine itself will be once it answers", async () => {
    const { clients, home } = homeWithMachine();
    const ssh: typeof clients.ssh = {
      run: async (...args) => {
        await clients.ssh.run(...args);
        return { stdout: "", hostKey: "ssh-ed25519 AAAAofSomebodyElse" };
      },
    };
    const { what } = await refused(provision.run(input, { ...clients, ssh }));
    assert.equal(what, "debian-1: whoever answers SSH at 192.168.10.21 is not machine 201; no secret was sent");
    assert.deepEqual(await provision.run(input, clients), { hostKey: home.guests[201]?.hostKey });
  });

  const verification = { node: "debian-1", address: input.address, vm: input.vm, seen: hostKey };

  it("verifies: the key that was met is the one inside of the machine", async () => {
    const { clients } = homeWithMachine((_, guest) => (guest.agent = true));
    await refuseImpostor(verification, clients);
  });

  it("refuses to trust whoever else answered at the address, and has sent nothing", async () => {
    const { clients, runs } = homeWithMachine((_, guest) => (guest.agent = true));
    const { what, why } = await refused(
      refuseImpostor({ ...verification, seen: "ssh-ed25519 AAAAofSomebodyElse" }, clients),
    );
    assert.equal(what, "debian-1: whoever answers SSH at 192.168.10.21 is not machine 201; no secret was sent");
    assert.match(why, /ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDebian1, .* ssh-ed25519 AAAAofSomebodyElse/);
    assert.deepEqual(runs, []);
  });

  it("waits for the agent to come up, but not for ever", async () => {
    const waiting = homeWithMachine();
    const start = waiting.clock.now();
    void waiting.clock.sleep(60_000).then(() => Object.assign(waiting.home.guests[201] ?? {}, { agent: true }));
    await refuseImpostor(verification, waiting.clients);
    assert.ok(waiting.clock.now() >= start + 60_000);

    const { what, why } = await refused(refuseImpostor(verification, homeWithMachine().clients));
    assert.equal(what, "debian-1: its SSH host key, read through Proxmox: not within 300 s");
    assert.equal(why, "last seen: the guest agent of machine 201 does not answer");
  });
});
