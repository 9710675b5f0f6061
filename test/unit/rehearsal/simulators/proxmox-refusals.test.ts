import assert from "node:assert/strict";
import { leastPrivileges } from "../../../../operations/nodes/privileges";
import { certificates } from "../../../support/https";
import { labs, machine, said, token, wanted } from "../../../support/pve-lab";
import { createBody, provider, PveCaller } from "../../../support/pve-provider";

type Method = "GET" | "POST" | "PUT" | "DELETE";
type Request = readonly [method: Method, path: string, parameters?: Record<string, string>];

const old = "/nodes/pve/qemu/101";
const store = (name: string): string => `/nodes/pve/storage/${name}`;
const image = { content: "import", filename: "a.qcow2", url: "https://example.org/a" };
const wrong = (name: string, why: string): unknown[] => [400, "Parameter verification failed.", { [name]: why }];
const absent = [500, "Configuration file 'nodes/pve/qemu-server/201.conf' does not exist"];

/** By what is asked for. */
const refusals: Record<string, readonly [Request, readonly unknown[]]> = {
  "a taken id": [
    ["POST", "/nodes/pve/qemu", { vmid: "101" }],
    [500, "unable to create VM 101 - VM 101 already exists on node 'pve'"],
  ],
  "whether a taken id is free": [["GET", "/cluster/nextid", { vmid: "101" }], wrong("vmid", "VM 101 already exists")],
  "an absent machine": [["GET", `${machine}/config`], absent],
  "to delete an absent machine": [["DELETE", `${machine}/`, { purge: "1" }], absent],
  "to delete a running machine": [
    ["DELETE", old],
    [500, "VM 101 is running - destroy failed"],
  ],
  "to delete a protected one": [
    ["DELETE", "/nodes/pve/qemu/102"],
    [500, "can't remove VM 102 - protection mode enabled"],
  ],
  "a disk of a protected one": [
    ["PUT", "/nodes/pve/qemu/102/config", { delete: "scsi0" }],
    [500, "can't remove drive 'scsi0' - protection mode enabled"],
  ],
  "to reboot what is off": [
    ["POST", "/nodes/pve/qemu/102/status/reboot"],
    [500, "VM 102 not running"],
  ],
  "to change nothing": [
    ["PUT", `${old}/config`],
    [500, "no options specified"],
  ],
  "an option set and deleted": [
    ["PUT", `${old}/config`, { net0: "virtio", delete: "net0" }],
    wrong("delete", "you can't use '-net0' and -delete net0' at the same time"),
  ],
  "more balloon than memory": [
    ["PUT", `${old}/config`, { balloon: "99999" }],
    [500, "balloon value too large (must be smaller than assigned memory)"],
  ],
  "to boot from what is not there": [
    ["PUT", `${old}/config`, { boot: "order=scsi7" }],
    [500, "invalid bootorder: device 'scsi7' does not exist'"],
  ],
  "a disk that is not there": [
    ["PUT", `${old}/config`, { scsi1: "local-lvm:vm-101-disk-9" }],
    [500, "volume local-lvm:vm-101-disk-9 does not exist"],
  ],
  "what only root may set": [
    ["PUT", `${old}/config`, { args: "-s" }],
    [500, "only root can set 'args' config"],
  ],
  "a serial port of the host": [
    ["PUT", `${old}/config`, { serial0: "/dev/ttyS0" }],
    [500, "only root can set 'serial0' config for real devices"],
  ],
  "an agent that is not configured": [
    ["GET", `${old}/agent/file-read`, { file: "/etc/hostname" }],
    [500, "No QEMU guest agent configured"],
  ],
  "a disk on what holds none": [
    ["POST", "/nodes/pve/qemu", { vmid: "201", scsi0: "backups:10" }],
    wrong("storage", "storage 'backups' does not support vm images"),
  ],
  "a disk on an absent datastore": [
    ["POST", "/nodes/pve/qemu", { vmid: "201", scsi0: "nowhere:10" }],
    [500, "storage 'nowhere' does not exist"],
  ],
  "an absent pool": [
    ["POST", "/nodes/pve/qemu", { vmid: "201", pool: "k8s" }],
    [403, "Permission check failed (pool 'k8s' does not exist)"],
  ],
  "what is in an absent pool": [
    ["GET", "/pools", { poolid: "k8s" }],
    [500, "pool 'k8s' does not exist"],
  ],
  "an absent datastore": [["GET", `${store("nowhere")}/status`], wrong("storage", "No such storage.")],
  "its content": [
    ["GET", `${store("nowhere")}/content`],
    [500, "storage 'nowhere' does not exist"],
  ],
  "an absent image": [
    ["GET", `${store("local")}/content/local:import%2Fa.qcow2`],
    [500, "volume_size_info on 'local:import/a.qcow2' failed - no format"],
  ],
  "an image where none may be": [
    ["POST", `${store("backups")}/download-url`, image],
    [500, "storage 'backups' is not configured for content-type 'import'"],
  ],
  "a file on what holds none": [
    ["POST", `${store("local-lvm")}/download-url`, image],
    [500, "can't upload to storage type 'lvmthin', not a file based storage!"],
  ],
  "an image of an unknown kind": [
    ["POST", `${store("local")}/download-url`, { ...image, filename: "a.img" }],
    wrong("filename", "invalid filename or wrong extension"),
  ],
  "a place in the start order": [
    ["PUT", `${old}/config`, { startup: "order=1" }],
    [403, "Permission check failed (/, Sys.Modify)"],
  ],
  "to delete an image": [
    ["DELETE", `${store("local")}/content/local:import%2Fa.qcow2`],
    [403, "Permission check failed (/storage/local, Datastore.Allocate)"],
  ],
  "a task that nobody started": [
    ["GET", "/nodes/pve/tasks/UPID:pve:00000001:00000001:00000001:qmstart:101:a@pve:/status"],
    wrong("upid", "no such task"),
  ],
  "what is no task": [["GET", "/nodes/pve/tasks/abc/status"], wrong("upid", "unable to parse worker upid")],
  "an absent host": [
    ["GET", "/nodes/pve9/qemu"],
    [500, "hostname lookup 'pve9' failed - failed to get address info for: pve9: Name or service not known"],
  ],
};

/** What a task ends with. */
const ends: Record<string, readonly [Request, string]> = {
  "to start what runs": [["POST", `${old}/status/start`], "VM 101 already running"],
  "to make a disk smaller": [
    ["PUT", `${old}/resize`, { disk: "scsi0", size: "10G" }],
    "shrinking disks is not supported",
  ],
  "to grow what is not there": [
    ["PUT", `${old}/resize`, { disk: "scsi3", size: "+1G" }],
    "disk 'scsi3' does not exist",
  ],
  "an image that is not there": [
    ["POST", "/nodes/pve/qemu", createBody(wanted)],
    "unable to create VM 201 - failed to stat '/var/lib/vz/import/debian-13.qcow2'",
  ],
};

describe("rehearsal/simulators/proxmox: what it refuses (with Proxmox's words, as its sources have them)", () => {
  const start = labs();

  it("answers what cannot be with Proxmox's status and words, and changes nothing", async () => {
    const { caller, home } = await start({}, ({ proxmox }) => {
      const other = { host: "pve", name: "backups", content: ["backup"], active: true, available: 2 ** 40, thin: true };
      proxmox.datastores.push(other);
      Object.assign(proxmox.vms[1] ?? {}, { protection: true, status: "stopped" });
    });
    const before = structuredClone(home);
    const answers: Record<string, unknown> = {};
    for (const [title, [request]] of Object.entries(refusals)) answers[title] = said(await caller.send(...request));
    assert.deepEqual(answers, expected(refusals));
    assert.deepEqual(home, before);
  });

  it("lets tasks end in Proxmox's words, and changes nothing", async () => {
    const { caller, home } = await start();
    const before = structuredClone(home);
    const exits: Record<string, unknown> = {};
    for (const [title, [[method, ...request]]] of Object.entries(ends))
      exits[title] = method === "GET" ? undefined : await caller.task(method, ...request);
    assert.deepEqual(exits, expected(ends));
    assert.deepEqual(home, before);
  });

  it("a drive that changes its kind is written all the same, and waits", async () => {
    const lab = await start({ tokens: { [token]: "all" } });
    await lab.make();
    await lab.caller.task("POST", `${machine}/status/start`);
    const answer = await lab.caller.send("PUT", `${machine}/config`, { scsi1: "none,media=cdrom", tags: "a" });
    assert.deepEqual(said(answer), wrong("scsi1", "hotplug problem - unable to change media type"));
    assert.deepEqual([lab.vm().pending, lab.vm().tags], [{ scsi1: "none,media=cdrom" }, ["a"]]);
  });

  it("says 501 to what it does not know", async () => {
    const { caller, simulator } = await start();
    const answer = await caller.send("GET", "/cluster/ha/resources");
    assert.deepEqual(said(answer), [501, "Method 'GET /cluster/ha/resources' not implemented"]);
    // Proxmox knows it.
    simulator.log.length = 0;
  });
});

describe("rehearsal/simulators/proxmox: tokens", () => {
  const start = labs();

  it("are refused with what is wrong with them, in the status line", async () => {
    const { simulator } = await start({ tokens: { [token]: "all" } });
    const reasons = {
      none: undefined,
      "no token": "nonsense",
      "another value": `${token}6`,
      "another name": token.replace("program", "other"),
      "another user": token.replace("home-cluster", "nobody"),
      right: token,
    };
    const answers: Record<string, string> = {};
    for (const [title, given] of Object.entries(reasons)) {
      const { status, reason } = await new PveCaller(simulator.url, certificates().ca, given).send("GET", "/version");
      answers[title] = `${status} ${reason}`;
    }
    assert.deepEqual(answers, {
      none: "401 No ticket",
      "no token": "401 no tokenid specified",
      "another value": "401 invalid token value!",
      "another name": "401 no such token 'other' for user 'home-cluster@pve'",
      "another user": "401 no such user ('nobody@pve')",
      right: "200 OK",
    });
  });

  it("need each privilege of our role where it is needed: 403 with the path and its name", async () => {
    const { caller, home, simulator } = await start();
    const whole = async (): Promise<string> => {
      try {
        await provider.download(caller, wanted);
        await provider.create(caller, wanted);
        const guest = home.guests[201];
        if (guest) guest.agent = true;
        await caller.must("GET", `${machine}/agent/file-read`, { file: "/etc/ssh/ssh_host_ed25519_key.pub" });
        await provider.update(caller, wanted, { memory: "16384", balloon: "0", ipconfig0: "ip=192.168.10.99/24" });
        return "nothing";
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    };
    const pristine = structuredClone(home);
    const refused: Record<string, string> = {};
    for (const privilege of leastPrivileges) {
      Object.assign(home, structuredClone(pristine));
      home.proxmox.privileges = { "/": leastPrivileges.filter((other) => other !== privilege) };
      refused[privilege] = await whole();
      await simulator.idle();
    }
    const failed = "403 Permission check failed";
    const create = (path: string, privilege: string): string =>
      `POST /nodes/pve/qemu: ${failed} (${path}, ${privilege})`;
    const config = (part: string): Record<string, string> => ({
      [`VM.Config.${part}`]: create("/vms/201", `VM.Config.${part}`),
    });
    const ofMachine = (request: string, privilege: string): string => `${request}: ${failed} (/vms/201, ${privilege})`;
    assert.deepEqual(refused, {
      "Datastore.AllocateSpace": create("/storage/local-lvm", "Datastore.AllocateSpace"),
      "Datastore.AllocateTemplate": `POST ${store("local")}/download-url: ${failed} (/storage/local, Datastore.AllocateTemplate)`,
      "Datastore.Audit": `GET ${store("local-lvm")}/content/local-lvm:vm-201-disk-0: ${failed} (/storage/local-lvm, Datastore.Audit)`,
      "SDN.Use": create("/sdn/zones/localnetwork/vmbr0", "SDN.Use"),
      "Sys.AccessNetwork": `GET /nodes/pve/query-url-metadata: ${failed}`,
      "VM.Allocate": `POST /nodes/pve/qemu: ${failed}`,
      "VM.Audit": ofMachine(`GET ${machine}/status/current`, "VM.Audit"),
      ...Object.assign({}, ...["CPU", "Disk", "HWType", "Memory", "Network", "Options"].map(config)),
      "VM.Config.Cloudinit": ofMachine(`PUT ${machine}/cloudinit`, "VM.Config.Cloudinit"),
      "VM.GuestAgent.FileRead": ofMachine(
        `GET ${machine}/agent/file-read`,
        "VM.GuestAgent.FileRead|VM.GuestAgent.Unrestricted",
      ),
      "VM.PowerMgmt": ofMachine(`POST ${machine}/status/start`, "VM.PowerMgmt"),
    });
  });

  it("see the machines that they may see, and learn of the others by ids that are not free", async () => {
    const { caller } = await start({ tokens: { [token]: { "/": [...leastPrivileges], "/vms/150": [] } } });
    const ids = (list: unknown): unknown[] => (list as { vmid: number }[]).map(({ vmid }) => vmid);
    assert.deepEqual(ids(await caller.must("GET", "/cluster/resources", { type: "vm" })), [101, 102, 103]);
    assert.deepEqual(ids(await caller.must("GET", "/nodes/pve/qemu")), [101, 102, 103]);
    assert.equal((await caller.send("GET", "/cluster/nextid", { vmid: "150" })).status, 400);
    assert.equal(await caller.must("GET", "/cluster/nextid"), 100);
  });

  it("of an administrator may do everything, also delete an image", async () => {
    const { caller, home } = await start({ tokens: { [token]: "all" } });
    await provider.download(caller, wanted);
    const exit = await caller.task("DELETE", `${store("local")}/content/local:import%2F${wanted.file}`);
    assert.deepEqual([exit, home.proxmox.images], ["OK", []]);
    const all = (await caller.must("GET", "/cluster/resources")) as { type: string }[];
    assert.deepEqual([...new Set(all.map(({ type }) => type))], ["qemu", "storage", "node"]);
    assert.equal(((await caller.must("GET", "/nodes/pve/storage")) as unknown[]).length, 2);
    assert.deepEqual(await caller.must("GET", "/nodes"), [{ node: "pve", status: "online" }]);
  });
});

function expected(table: Record<string, readonly [unknown, unknown]>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(table).map(([title, [, answer]]) => [title, answer]));
}
