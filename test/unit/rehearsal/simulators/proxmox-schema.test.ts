import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { leastPrivileges } from "../../../../operations/nodes/privileges";
import { routes } from "../../../../rehearsal/simulators/proxmox/routes";
import type { Logged } from "../../../../rehearsal/simulators/server";
import { root } from "../../../support/environment";
import { skip } from "../../../support/needs";
import { judge } from "../../../support/pve-judge";
import { labs, machine, wanted, type PveLab } from "../../../support/pve-lab";
import { fromSchema, privilegesOf, roleOf } from "../../../support/pve-privileges";
import { provider } from "../../../support/pve-provider";
import { pveSchema, type PveSchema } from "../../../support/pve-schema";

/** Everything that the provider and our own client ask for in the life of a node. */
async function life({ caller, home, ...lab }: Pick<PveLab, "caller" | "home" | "client">): Promise<void> {
  await provider.download(caller, wanted);
  await provider.create(caller, wanted);
  await provider.update(caller, wanted, { memory: "16384", balloon: "0", delete: "vcpus,cpulimit" });
  await provider.update(caller, wanted, { ipconfig0: "ip=192.168.10.99/24", scsi1: "local-lvm:vm-201-disk-1" });
  Object.assign(home.guests[201] ?? {}, { agent: true });
  const proxmox = lab.client();
  await proxmox.privileges();
  await proxmox.listVms();
  await proxmox.vmIdFree(202);
  await proxmox.readVm("pve", 201);
  await proxmox.readDatastore("pve", "local");
  await proxmox.cloudInitInstance("pve", 201);
  await proxmox.pendingSettings("pve", 201);
  await proxmox.readGuestFile("pve", 201, "/etc/ssh/ssh_host_ed25519_key.pub");
  await proxmox.shutdownVm("pve", 201, 60);
  await proxmox.startVm("pve", 201);
  await provider.destroy(caller, wanted);
}

describe("Proxmox's own API schema, as the judge of its simulator", () => {
  const start = labs();
  let schema: PveSchema;
  before(function () {
    const found = pveSchema();
    if (typeof found === "string") skip(this, found);
    schema = found;
  });

  it("knows every method of the simulator, and asks for the same privileges", () => {
    const differing = routes.filter(({ method, path, check }) => {
      const { check: asked, user } = schema.paths[path]?.[method]?.permissions ?? {};
      const sorted = (value: unknown): string => [...JSON.stringify(value)].sort().join("");
      return sorted(check) !== sorted(asked === undefined ? user : fromSchema(asked));
    });
    assert.deepEqual(differing, []);
  });

  it("derives our role from what the provider and our own client ask for, and no more", async () => {
    const lab = await start();
    await life({ caller: lab.caller, home: lab.home, client: () => lab.client() });
    const needed = privilegesOf(schema, lab.simulator.log);
    assert.deepEqual(needed, {
      "/nodes/{node}": ["Sys.AccessNetwork"],
      "/sdn/zones/{zone}/{bridge}": ["SDN.Use"],
      "/sdn/zones/{zone}/{bridge}/{vlan}": ["SDN.Use"],
      "/storage/{storage}": ["Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit"],
      "/vms/{vmid}": leastPrivileges.filter((privilege) => privilege.startsWith("VM.")).sort(),
    });
    assert.deepEqual(roleOf(needed), [...leastPrivileges].sort());
  });

  it("takes the narrower of two privileges that would do, and what is needed anyway before either", () => {
    const of = (...requests: readonly (readonly [method: string, path: string, body?: string])[]): unknown =>
      privilegesOf(
        schema,
        requests.map(([method, path, body = ""]) => logged({ method, path: `/api2/json${path}`, body })),
      );
    const status = ["GET", "/nodes/pve/storage/local/status"] as const;
    assert.deepEqual(of(status), { "/storage/{storage}": ["Datastore.Audit"] });
    const resize = ["PUT", `${machine}/resize`, "disk=scsi0&size=1"] as const;
    assert.deepEqual(of(status, resize), {
      "/storage/{storage}": ["Datastore.AllocateSpace"],
      "/vms/{vmid}": ["VM.Config.Disk"],
    });
    assert.deepEqual(of(["PUT", `${machine}/config`, "startup=order%3D1"]), {
      "/": ["Sys.Modify"],
      "/vms/{vmid}": ["VM.Config.Options"],
    });
    assert.deepEqual(of(["PUT", `${machine}/config`, "ide2=local-lvm%3Acloudinit"]), {
      "/vms/{vmid}": ["VM.Config.CDROM", "VM.Config.Cloudinit"],
    });
    assert.deepEqual(of(["PUT", `${machine}/config`, "args=-s"]), {
      "/": ["root@pam"],
      "/vms/{vmid}": ["VM.Config.Disk"],
    });
    assert.deepEqual(of(["DELETE", "/nodes/pve/storage/local/content/local:import%2Fa"]), {
      "/storage/{storage}": ["Datastore.Allocate"],
    });
  });

  it("has nothing to say against the life of a node, and finds each single thing that is wrong", async () => {
    const lab = await start();
    await life({ caller: lab.caller, home: lab.home, client: () => lab.client() });
    const { log } = lab.simulator;
    assert.deepEqual(judge(schema, log), []);
    const of = (method: string, end: string): Logged => {
      const found = log.find((request) => request.method === method && request.path.endsWith(end));
      assert.ok(found, end);
      return { ...found };
    };
    const data = (request: Logged, change: (data: never) => unknown): Logged => {
      const { data: before } = (request.reply as { body: { data: never } }).body;
      return { ...request, reply: { status: 200, body: { data: change(structuredClone(before)) } } };
    };
    const put = (request: Logged, field: string, value: unknown): Logged =>
      data(request, (before: object) => ({ ...before, [field]: value }));
    const without = (request: Logged, field: string): Logged =>
      data(request, (before: object) => Object.fromEntries(Object.entries(before).filter(([key]) => key !== field)));
    const asked = (request: Logged, change: Record<string, string | undefined>): Logged => {
      const form = { ...Object.fromEntries(new URLSearchParams(request.body)), ...change };
      const kept = Object.entries(form).filter((entry): entry is [string, string] => entry[1] !== undefined);
      return { ...request, body: new URLSearchParams(kept).toString() };
    };
    const answered = (reply: Logged["reply"]): Logged => ({ ...of("GET", "/config"), reply });
    const [config, create, status] = [of("GET", "/config"), of("POST", "/qemu"), of("GET", "/status/current")];
    const found: Record<string, readonly string[]> = {};
    const cases: Record<string, readonly [broken: Logged, problem: string]> = {
      "a flag as text": [put(config, "onboot", "1"), 'answer.onboot: not boolean: "1"'],
      "a number as text": [put(config, "cores", "4"), 'answer.cores: not integer: "4"'],
      "a fraction": [put(status, "uptime", 1.5), "answer.uptime: not integer: 1.5"],
      "text as a number": [put(config, "scsi0", 5), "answer.scsi0: not string: 5"],
      "a disk without its file": [put(config, "scsi0", "size=4G"), "answer.scsi0.file: is missing"],
      "a key that no card has": [
        put(config, "net0", "virtio=BC:24:11:00:10:21,brigde=vmbr0"),
        "answer.net0: no such key: brigde",
      ],
      "an address that is none": [
        put(config, "net0", "virtio=BC:24,bridge=vmbr0"),
        'answer.net0.macaddr: not a "mac-addr": "BC:24"',
      ],
      "no digest": [without(config, "digest"), "answer.digest: is missing"],
      "null for a list": [data(of("GET", "/cluster/resources"), () => null), "answer: null, not array: null"],
      "one wrong item": [
        data(of("GET", "/cluster/resources"), (list: object[]) =>
          list.map((item, i) => (i === 1 ? { ...item, type: "vm" } : item)),
        ),
        'answer[].type: not one of node, storage, pool, qemu, lxc, openvz, sdn, network: "vm"',
      ],
      "no task": [data(of("POST", "/status/start"), () => null), "answer: null, not string: null"],
      "an unknown state": [put(status, "status", "paused"), 'answer.status: not one of stopped, running: "paused"'],
      "an unknown parameter": [asked(create, { corse: "4" }), "corse: not in the schema"],
      "a missing parameter": [asked(create, { vmid: undefined }), "vmid: is missing"],
      "a number that is none": [asked(create, { cores: "many" }), 'cores: not integer: "many"'],
      "too small a number": [asked(create, { cores: "0" }), 'cores: less than 1: "0"'],
      "too large a number": [asked(create, { vmid: "9999999999" }), 'vmid: more than 999999999: "9999999999"'],
      "a flag that is none": [asked(create, { onboot: "maybe" }), 'onboot: not boolean: "maybe"'],
      "a disk of an unknown cache": [
        asked(create, { scsi0: "local-lvm:4,cache=fast" }),
        'scsi0.cache: not one of none, writethrough, writeback, unsafe, directsync: "fast"',
      ],
      "no name": [asked(create, { name: "a_b" }), 'name: not a "dns-name": "a_b"'],
      "a parameter without its companion": [
        asked(of("POST", "/download-url"), { "checksum-algorithm": undefined }),
        "checksum: needs checksum-algorithm",
      ],
      "an address of an unknown kind": [
        asked(of("POST", "/download-url"), { url: "ftp://a" }),
        'url: not like https?://.*: "ftp://a"',
      ],
      "a name that is too long": [
        asked(of("POST", "/download-url"), { filename: "a".repeat(256) }),
        `filename: longer than 255: "${"a".repeat(256)}"`,
      ],
      "no such method": [{ ...config, method: "POST", path: `${config.path}/nothing` }, "no such method"],
      "not for tokens": [
        {
          ...config,
          method: "POST",
          path: "/api2/json/access/ticket",
          body: "username=a&password=b",
          reply: undefined,
        },
        "not for tokens",
      ],
      "other words": [
        answered({ status: 500, body: { data: null, message: "no machine\n" } }),
        "500, no words of Proxmox: no machine",
      ],
      "other words for 403": [
        answered({ status: 403, body: { data: null, message: "no\n" } }),
        "no words of Proxmox: no",
      ],
      "a 400 without a parameter": [
        answered({ status: 400, body: { data: null, message: "Parameter verification failed.\n" } }),
        "no words of Proxmox: Parameter verification failed.",
      ],
      "no words": [answered({ status: 500, body: { data: null } }), "an error without a message"],
      "a 401 with a body": [
        answered({ status: 401, reason: "No ticket", body: {} }),
        "a 401 has its words in the status line alone",
      ],
      "no data": [answered({ status: 200, body: {} }), "no data in the answer"],
    };
    for (const [title, [broken]] of Object.entries(cases))
      found[title] = judge(schema, [broken]).map((problem) => problem.replace(/^\w+ \S+: /, ""));
    assert.deepEqual(
      found,
      Object.fromEntries(Object.entries(cases).map(([title, [, problem]]) => [title, [problem]])),
    );
    assert.deepEqual(judge(schema, [answered("reset"), answered(undefined)]), []);
  });
});

describe("the README's role", () => {
  it("is the one that the program looks for", () => {
    const readme = readFileSync(join(root, "README.md"), "utf8");
    const role = /pveum role add HomeCluster -privs "([^"]+)"/.exec(readme)?.[1]?.split(" ") ?? [];
    assert.deepEqual(role.sort(), [...leastPrivileges].sort());
  });
});

function logged(request: Pick<Logged, "method" | "path" | "body">): Logged {
  return { ...request, query: new URLSearchParams(), headers: {}, index: 0, at: 0, reply: undefined };
}
