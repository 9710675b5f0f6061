import assert from "node:assert/strict";
import { checkHosts } from "../../../../operations/nodes/check-hosts";
import { leastPrivileges } from "../../../../operations/nodes/privileges";
import { Refusal } from "../../../../operations/refusal";
import type { HomeState } from "../../../../rehearsal/home/state";
import { homeWithMachine, refused } from "../../../support/nodes";

const input = {
  hosts: [{ name: "pve", imageDatastore: "local", diskDatastore: "local-lvm" }],
  nodes: [
    { name: "debian-1", host: "pve", vmId: 201, disks: 240 },
    { name: "debian-2", host: "pve", vmId: 202, disks: 240 },
    { name: "debian-3", host: "pve", vmId: 203, disks: 240 },
  ],
};
const GiB = 2 ** 30;
const all = [...leastPrivileges];
const without = (...names: string[]): string[] => all.filter((name) => !names.includes(name));

type Change = (home: HomeState) => void;
type Store = HomeState["proxmox"]["datastores"][number];

async function problems(change: Change, given = input): Promise<string[]> {
  const { clients, home } = homeWithMachine();
  change(home);
  const before = structuredClone(home);
  const { what, why, next } = await refused(checkHosts.run(given, clients));
  assert.equal(what, "Proxmox is not ready for the nodes, nothing was touched");
  assert.equal(next, "mend what is named, then run the same command again");
  assert.deepEqual(home, before);
  return why
    .split("\n")
    .slice(1)
    .map((line) => line.trim().replace(/^- /, ""));
}

function set(home: HomeState, name: string, change: Partial<Store>): void {
  Object.assign(home.proxmox.datastores.find((other) => other.name === name) ?? assert.fail(name), change);
}

const role = ", with the role that the token has there (`pveum acl list`; the README gives it one on `/`)";

describe("operations/nodes/check-hosts, on the pretend Proxmox (does not prove that these privileges are enough)", () => {
  it("returns each host's datastores when all is ready, and changes nothing", async () => {
    const { clients, home } = homeWithMachine();
    const before = structuredClone(home);
    assert.deepEqual(await checkHosts.run(input, clients), {
      hosts: { pve: { imageDatastore: "local", diskDatastore: "local-lvm" } },
    });
    assert.deepEqual(home, before);
  });

  const ready: Record<string, Change> = {
    "Proxmox VE 8's one privilege for the agent": (home) => {
      home.proxmox.privileges = {
        "/": [...without("VM.GuestAgent.FileRead"), "VM.Monitor"],
      };
    },
    "the roles set where they matter instead of on /": (home) => {
      const of = (start: string): string[] => all.filter((name) => name.startsWith(start));
      home.proxmox.privileges = {
        "/vms": of("VM."),
        "/storage/local": ["Datastore.AllocateTemplate", "Datastore.Audit"],
        "/storage/local-lvm": ["Datastore.AllocateSpace", "Datastore.Audit"],
        "/nodes/pve": ["Sys.AccessNetwork"],
        "/sdn/zones/localnetwork": ["SDN.Use"],
      };
    },
    "just enough room: a file of the image, 4 GiB for each of the two that are missing": (home) => {
      set(home, "local", { available: GiB });
      set(home, "local-lvm", { available: 8 * GiB });
    },
    "thick disks that just fit": (home) => {
      set(home, "local-lvm", { thin: false, available: 480 * GiB });
    },
    "full datastores when every machine is there": (home) => {
      const [made] = home.proxmox.vms.filter((vm) => vm.vmId === 201);
      if (made) home.proxmox.vms.push({ ...made, vmId: 202 }, { ...made, vmId: 203 });
      for (const name of ["local", "local-lvm"]) set(home, name, { available: 0 });
    },
  };
  for (const [name, change] of Object.entries(ready)) {
    it(`is content with ${name}`, async () => {
      const { clients, home } = homeWithMachine();
      change(home);
      await checkHosts.run(input, clients);
    });
  }

  const refusals: Record<string, { readonly change: Change; readonly says: readonly string[] }> = {
    "a token that may do nothing": {
      change: (home) => (home.proxmox.privileges = {}),
      says: [
        'the Proxmox token lacks Datastore.AllocateSpace on /storage/local-lvm: `pveum role modify <role> --append --privs "Datastore.AllocateSpace"`' +
          role,
        'the Proxmox token lacks Datastore.AllocateTemplate on /storage/local: `pveum role modify <role> --append --privs "Datastore.AllocateTemplate"`' +
          role,
        'the Proxmox token lacks Datastore.Audit on /storage/local, /storage/local-lvm: `pveum role modify <role> --append --privs "Datastore.Audit"`' +
          role,
        'the Proxmox token lacks SDN.Use on /sdn: `pveum role modify <role> --append --privs "SDN.Use"`' + role,
        'the Proxmox token lacks Sys.AccessNetwork on /nodes/pve: `pveum role modify <role> --append --privs "Sys.AccessNetwork"`' +
          role,
        `the Proxmox token lacks ${all.filter((name) => name.startsWith("VM.")).join(", ")} on /vms/201, /vms/202, /vms/203: ` +
          `\`pveum role modify <role> --append --privs "${all.filter((name) => name.startsWith("VM.")).join(" ")}"\`` +
          role,
      ],
    },
    "a role without two privileges": {
      change: (home) => (home.proxmox.privileges = { "/": without("VM.PowerMgmt", "VM.GuestAgent.FileRead") }),
      says: [
        'the Proxmox token lacks VM.GuestAgent.FileRead, VM.PowerMgmt on /vms/201, /vms/202, /vms/203: `pveum role modify <role> --append --privs "VM.GuestAgent.FileRead VM.PowerMgmt"`' +
          role,
      ],
    },
    "another role on one machine, which counts there and not the one above": {
      change: (home) => (home.proxmox.privileges = { "/": all, "/vms/202": without("VM.Allocate") }),
      says: [
        'the Proxmox token lacks VM.Allocate on /vms/202: `pveum role modify <role> --append --privs "VM.Allocate"`' +
          role,
      ],
    },
    "an image datastore without the content import": {
      change: (home) => set(home, "local", { content: ["iso", "vztmpl"] }),
      says: [
        "host pve: datastore local does not allow the content import, which imageDatastore needs: `pvesm set local --content iso,vztmpl,import`",
      ],
    },
    "a disk datastore without images": {
      change: (home) => set(home, "local-lvm", { content: ["rootdir"] }),
      says: [
        "host pve: datastore local-lvm does not allow the content images, which diskDatastore needs: `pvesm set local-lvm --content rootdir,images`",
      ],
    },
    "one that is not active, one that is not there": {
      change: (home) => {
        set(home, "local", { active: false });
        set(home, "local-lvm", { name: "other" });
      },
      says: [
        "host pve: datastore local is not active: it is disabled, or the host does not reach it: `pvesm set local --disable 0`, and see that `pvesm status` on pve calls it active",
        "host pve: datastore local-lvm does not exist there: set `diskDatastore` of the host to one that does (`pvesm status` on pve)",
      ],
    },
    "full datastores": {
      change: (home) => {
        set(home, "local", { available: 0.5 * GiB });
        set(home, "local-lvm", { available: 8 * GiB - 1 });
      },
      says: [
        "host pve: datastore local has 0.5 GiB left, and debian-2, debian-3 need 1: make room there, or put them on another datastore or host",
        "host pve: datastore local-lvm has 8.0 GiB left, and debian-2, debian-3 need 8: make room there, or put them on another datastore or host",
      ],
    },
    "thick storage without room for whole disks": {
      change: (home) => {
        set(home, "local-lvm", { thin: false, available: 479 * GiB });
      },
      says: [
        "host pve: datastore local-lvm has 479.0 GiB left, and debian-2, debian-3 need 480: make room there, or put them on another datastore or host",
      ],
    },
  };
  for (const [name, { change, says }] of Object.entries(refusals)) {
    it(`refuses ${name}`, async () => assert.deepEqual(await problems(change), says));
  }

  it("asks one datastore for everything where it is for image and disks, and for one machine in the singular", async () => {
    const hosts = [{ name: "pve", imageDatastore: "local", diskDatastore: "local" }];
    const said = await problems((home) => set(home, "local", { content: [], available: 4 * GiB }), {
      hosts,
      nodes: input.nodes.slice(0, 2),
    });
    assert.deepEqual(said, [
      "host pve: datastore local does not allow the content import and images, which imageDatastore needs: `pvesm set local --content import,images`",
      "host pve: datastore local has 4.0 GiB left, and debian-2 needs 5: make room there, or put them on another datastore or host",
    ]);
  });

  it("names a host that does not answer, beside the problems of others", async () => {
    const { clients, home } = homeWithMachine();
    set(home, "local-lvm", { active: false });
    const readDatastore = clients.proxmox.readDatastore.bind(clients.proxmox);
    clients.proxmox.readDatastore = async (host, name) => {
      if (name === "local") throw new Error("no route to host\nand more");
      return readDatastore(host, name);
    };
    const { why } = await refused(checkHosts.run(input, clients));
    assert.match(why, /^2 things stand against it:/);
    assert.match(
      why,
      /datastore local could not be read \(it failed: Error: no route to host\): see that the host is up/,
    );
    clients.proxmox.readDatastore = async () => {
      throw new Refusal({ what: "Proxmox at …: no answer", why: "the connection ended", next: "check" });
    };
    assert.match((await refused(checkHosts.run(input, clients))).why, /no answer: the connection ended\): check$/);
  });
});
