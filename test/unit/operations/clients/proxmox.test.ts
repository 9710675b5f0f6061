import assert from "node:assert/strict";
import { GuestAgentSilent, type ProxmoxApi } from "../../../../operations/clients";
import { proxmoxClient, ProxmoxRefusal } from "../../../../operations/clients/proxmox";
import { VirtualClock } from "../../../../rehearsal/home/clock";
import { expiredCertificates, TestServer, type Reply } from "../../../support/https";
import { needs } from "../../../support/needs";
import { refused } from "../../../support/nodes";

const token = "root@pam!home=11111111-2222-3333-4444-555555555555";
const upid = "UPID:pve:0000AB12:01234567:65432100:qmstop:101:root@pam!home:";
const upidPath = `/api2/json/nodes/pve/tasks/${encodeURIComponent(upid)}/status`;
const absent = {
  status: 500,
  body: { data: null, message: "Configuration file 'nodes/pve/qemu-server/101.conf' does not exist\n" },
};

describe("operations/clients/proxmox, against an HTTPS server with a private CA (does not prove that a real Proxmox answers so)", () => {
  let server: TestServer;
  let proxmox: ProxmoxApi;
  let clock: VirtualClock;

  before(async function () {
    needs(this, "openssl");
    server = await TestServer.start();
  });
  after(() => server?.stop());
  beforeEach(() => {
    server.seen.length = 0;
    clock = new VirtualClock(0);
    proxmox = proxmoxClient({ endpoint: `${server.url}/`, token, caCertificate: server.ca }, clock);
  });

  /** Answers by `METHOD path`; a list is answered one after the other, its last for ever. */
  function answers(table: Record<string, Reply | Reply[]>): void {
    const left = new Map(
      Object.entries(table).map(([key, value]) => [key, Array.isArray(value) ? [...value] : [value]]),
    );
    server.answer = ({ method, path }) => {
      const replies = left.get(`${method} ${path.replace("/api2/json", "")}`);
      if (!replies) return { status: 501, reason: `no answer for ${method} ${path}` };
      return (replies.length > 1 ? replies.shift() : replies[0]) ?? {};
    };
  }
  const data = (value: unknown): Reply => ({ body: { data: value } });
  const asked = (): string[] =>
    server.seen.map(({ method, path, body }) => `${method} ${path.replace("/api2/json", "")}${body && ` ${body}`}`);
  const task = upidPath.replace("/api2/json", "");

  it("lists machines and containers, with tags of any separator, whatever is not stopped counting as running", async () => {
    answers({
      "GET /cluster/resources?type=vm": data([
        { vmid: 101, name: "rancheros-1", node: "pve", status: "running", type: "qemu" },
        { vmid: 202, name: "debian-2", node: "pve", status: "stopped", type: "qemu", tags: "debian;home-cluster-home" },
        { vmid: 300, node: "pve-b", status: "unknown", type: "lxc", tags: "a, b" },
      ]),
    });
    assert.deepEqual(await proxmox.listVms(), [
      { vmId: 101, name: "rancheros-1", host: "pve", status: "running", tags: [] },
      { vmId: 202, name: "debian-2", host: "pve", status: "stopped", tags: ["debian", "home-cluster-home"] },
      { vmId: 300, name: "", host: "pve-b", status: "running", tags: ["a", "b"] },
    ]);
    assert.equal(server.seen[0]?.authorization, `PVEAPIToken=${token}`);
  });

  it("tells a free id from a taken one, and any other refusal from both", async () => {
    answers({
      "GET /cluster/nextid?vmid=202": data("202"),
      "GET /cluster/nextid?vmid=203": {
        status: 400,
        body: { data: null, message: "Parameter verification failed.\n", errors: { vmid: "VM 203 already exists" } },
      },
      "GET /cluster/nextid?vmid=204": { status: 500, body: { message: "cluster not ready - no quorum?" } },
    });
    assert.equal(await proxmox.vmIdFree(202), true);
    assert.equal(await proxmox.vmIdFree(203), false);
    await assert.rejects(proxmox.vmIdFree(204), { name: "ProxmoxRefusal", message: "cluster not ready - no quorum?" });
  });

  it("reads the running machine's identity: current values, MACs in card order and upper case", async () => {
    answers({
      "GET /nodes/pve/qemu/101/config?current=1": data({
        name: "rancheros-1",
        tags: "old",
        protection: 1,
        net10: "virtio=BC:24:11:00:10:1A,bridge=vmbr0",
        net2: "e1000=bc:24:11:00:10:12,bridge=vmbr0,tag=40",
        net0: "virtio=bc:24:11:00:10:11,bridge=vmbr0",
        smbios1: "base64=1,uuid=8A2F0C5E-3B1D-4E6F-9A7B-1C2D3E4F5A6B",
      }),
      "GET /nodes/pve/qemu/101/status/current": data({ status: "running" }),
    });
    assert.deepEqual(await proxmox.readVm("pve", 101), {
      vmId: 101,
      name: "rancheros-1",
      host: "pve",
      status: "running",
      tags: ["old"],
      macs: ["BC:24:11:00:10:11", "BC:24:11:00:10:12", "BC:24:11:00:10:1A"],
      protection: true,
      uuid: "8a2f0c5e-3b1d-4e6f-9a7b-1c2d3e4f5a6b",
    });
  });

  it("names the settings that wait for a restart, written or to be removed, and no others", async () => {
    answers({
      "GET /nodes/pve/qemu/201/pending": data([
        { key: "name", value: "debian-1" },
        { key: "memory", value: "8192", pending: "12288" },
        { key: "cores", value: 2, delete: 1 },
      ]),
    });
    assert.deepEqual(await proxmox.pendingSettings("pve", 201), ["cores", "memory"]);
  });

  it("reads the instance id of the cloud-init data that the next boot gets", async () => {
    answers({ "GET /nodes/pve/qemu/201/cloudinit/dump?type=meta": data("instance-id: 5d41402abc4b2a76\n") });
    assert.equal(await proxmox.cloudInitInstance("pve", 201), "5d41402abc4b2a76");
  });

  it("starts a machine that is off, awaits the task, and leaves a running one alone", async () => {
    const task = "UPID:pve:0000:0000:0000:qmstart:201:root@pam:";
    answers({
      "GET /nodes/pve/qemu/201/status/current": data({ status: "stopped" }),
      "POST /nodes/pve/qemu/201/status/start": data(task),
      [`GET /nodes/pve/tasks/${encodeURIComponent(task)}/status`]: data({ status: "stopped", exitstatus: "OK" }),
      "GET /nodes/pve/qemu/202/status/current": data({ status: "running" }),
    });
    await proxmox.startVm("pve", 201);
    await proxmox.startVm("pve", 202);
    assert.deepEqual(
      server.seen.filter(({ method }) => method === "POST").map(({ path }) => path),
      ["/api2/json/nodes/pve/qemu/201/status/start"],
    );
  });

  it("keeps a machine from starting with its host, and reads that back", async () => {
    const path = "/nodes/pve/qemu/201/config";
    answers({ [`PUT ${path}`]: data(null), [`GET ${path}`]: data({ onboot: 0 }) });
    await proxmox.keepOff("pve", 201);
    const put = server.seen.find(({ method }) => method === "PUT");
    assert.deepEqual([put?.path, put?.body], [`/api2/json${path}`, "onboot=0"]);
    answers({ [`PUT ${path}`]: data(null), [`GET ${path}`]: data({ onboot: 1 }) });
    await assert.rejects(proxmox.keepOff("pve", 201), /machine 201 still starts with its host/);
  });

  it("reads a datastore: content types, room, thin or thick; unknown ones are undefined, other errors are thrown", async () => {
    const missing = { status: 500, body: { message: "storage 'nowhere' does not exist\n" } };
    answers({
      "GET /nodes/pve/storage/local/status": data({
        content: "iso,import",
        active: 1,
        enabled: 1,
        avail: 5,
        type: "dir",
      }),
      "GET /nodes/pve/storage/thick/status": data({ content: "images", active: 0, avail: 7, type: "lvm" }),
      "GET /nodes/pve/storage/nowhere/status": missing,
      "GET /nodes/pve/storage/broken/status": { status: 500, body: { message: "got timeout" } },
    });
    assert.deepEqual(await proxmox.readDatastore("pve", "local"), {
      content: ["iso", "import"],
      active: true,
      available: 5,
      thin: true,
    });
    assert.deepEqual(await proxmox.readDatastore("pve", "thick"), {
      content: ["images"],
      active: false,
      available: 7,
      thin: false,
    });
    assert.equal(await proxmox.readDatastore("pve", "nowhere"), undefined);
    await assert.rejects(proxmox.readDatastore("pve", "broken"), { message: "got timeout" });
  });

  it("lists the token's privileges by path", async () => {
    answers({ "GET /access/permissions": data({ "/": { "VM.Audit": 1, "Sys.AccessNetwork": 0 }, "/vms/201": {} }) });
    assert.deepEqual(await proxmox.privileges(), { "/": ["VM.Audit", "Sys.AccessNetwork"], "/vms/201": [] });
  });

  it("takes Proxmox's 500 about the configuration, and a 404, for absence, and no other 500", async () => {
    const config = "GET /nodes/pve/qemu/101/config?current=1";
    for (const reply of [absent, { status: 404 }]) {
      answers({ [config]: reply });
      assert.equal(await proxmox.readVm("pve", 101), undefined);
    }
    for (const message of ["storage 'local-lvm' does not exist", "hostname lookup 'pve' failed"]) {
      answers({ [config]: { status: 500, body: { data: null, message } } });
      await assert.rejects(proxmox.readVm("pve", 101), { name: "ProxmoxRefusal", message });
    }
  });

  it("reads the message where older versions put it: in the reason phrase", async () => {
    answers({ "GET /nodes/pve/qemu/101/config?current=1": { status: 500, reason: "got timeout", body: "" } });
    await assert.rejects(proxmox.readVm("pve", 101), { message: "got timeout" });
    answers({ "GET /nodes/pve/qemu/101/config?current=1": { status: 500, reason: " ", body: "{}" } });
    await assert.rejects(proxmox.readVm("pve", 101), { message: "HTTP 500" });
  });

  it("stops a machine and waits for the task on the host that its id names", async () => {
    answers({
      "POST /nodes/pve/qemu/101/status/stop": data(upid),
      [`GET ${task}`]: [
        data({ status: "running" }),
        data({ status: "running" }),
        data({ status: "stopped", exitstatus: "OK" }),
      ],
    });
    await proxmox.stopVm("pve", 101);
    assert.deepEqual(asked(), ["POST /nodes/pve/qemu/101/status/stop", `GET ${task}`, `GET ${task}`, `GET ${task}`]);
    assert.equal(clock.now(), 2000);
  });

  it("deletes with purge, keeping disks that are not the machine's, and takes warnings for success", async () => {
    const path = "DELETE /nodes/pve/qemu/101?purge=1&destroy-unreferenced-disks=0";
    answers({ [path]: data(upid), [`GET ${task}`]: data({ status: "stopped", exitstatus: "WARNINGS: 1" }) });
    await proxmox.deleteVm("pve", 101);
    assert.equal(asked()[0], path);
  });

  it("passes on what a failed task says, and names a task that does not end", async () => {
    const path = "DELETE /nodes/pve/qemu/101?purge=1&destroy-unreferenced-disks=0";
    answers({ [path]: data(upid), [`GET ${task}`]: data({ status: "stopped", exitstatus: "can't lock file" }) });
    await assert.rejects(proxmox.deleteVm("pve", 101), { name: "ProxmoxRefusal", message: "can't lock file" });
    answers({ [path]: data(upid), [`GET ${task}`]: data({ status: "running" }) });
    const { what, next } = await refused(proxmox.deleteVm("pve", 101));
    assert.equal(what, `Proxmox task ${upid}: not within 900 s`);
    assert.match(next, /pvesh get \/nodes\/pve\/tasks/);
  });

  it("shuts down, and says whether the machine went off", async () => {
    const status = "GET /nodes/pve/qemu/101/status/current";
    const shutdown = "POST /nodes/pve/qemu/101/status/shutdown";
    const [running, stopped] = [data({ status: "running" }), data({ status: "stopped" })];

    answers({
      [status]: [running, stopped],
      [shutdown]: data(upid),
      [`GET ${task}`]: data({ status: "stopped", exitstatus: "OK" }),
    });
    assert.equal(await proxmox.shutdownVm("pve", 101, 180), true);
    assert.ok(asked().includes("POST /nodes/pve/qemu/101/status/shutdown timeout=180"));

    const ignored = data({ status: "stopped", exitstatus: "VM quit/powerdown failed - got timeout" });
    answers({ [status]: running, [shutdown]: data(upid), [`GET ${task}`]: ignored });
    assert.equal(await proxmox.shutdownVm("pve", 101, 180), false);

    answers({ [status]: stopped });
    assert.equal(await proxmox.shutdownVm("pve", 101, 180), true);

    answers({ [status]: [running, stopped], [shutdown]: { status: 500, body: { message: "VM 101 not running" } } });
    assert.equal(await proxmox.shutdownVm("pve", 101, 180), true);

    answers({ [status]: running, [shutdown]: { status: 403, body: { message: "Permission check failed" } } });
    assert.match((await refused(proxmox.shutdownVm("pve", 101, 180))).what, /lacks a privilege/);
  });

  const file = "GET /nodes/pve/qemu/201/agent/file-read?file=%2Fetc%2Fssh%2Fssh_host_ed25519_key.pub";
  const read = () => proxmox.readGuestFile("pve", 201, "/etc/ssh/ssh_host_ed25519_key.pub");

  it("reads a file in the guest through its agent", async () => {
    answers({ [file]: data({ content: "ssh-ed25519 AAAA root@debian-1\n", "bytes-read": 31 }) });
    assert.equal(await read(), "ssh-ed25519 AAAA root@debian-1\n");
    answers({ [file]: data({ content: "x", truncated: 1 }) });
    await assert.rejects(read(), /too long to read/);
  });

  it("tells an agent that does not answer yet from a file that is not there", async () => {
    for (const message of [
      "QEMU guest agent is not running",
      "No QEMU guest agent configured",
      "VM 201 is not running",
      "VM 201 not running",
      "VM 201 qmp command 'guest-ping' failed - got timeout",
    ]) {
      answers({ [file]: { status: 500, body: { data: null, message } } });
      await assert.rejects(read(), (error) => error instanceof GuestAgentSilent && error.message === message);
    }
    answers({ [file]: { status: 500, body: { message: "guest-file-open failed: No such file or directory" } } });
    await assert.rejects(read(), (error) => error instanceof ProxmoxRefusal && /No such file/.test(error.message));
  });

  it("says what to do about a token that is not accepted or lacks a privilege, and never prints it", async () => {
    for (const [status, what] of [
      [401, /does not accept the token/],
      [403, /lacks a privilege/],
    ] as const) {
      answers({
        "GET /cluster/resources?type=vm": { status, body: { message: "Permission check failed (/vms, VM.Audit)" } },
      });
      const parts = await refused(proxmox.listVms());
      assert.match(parts.what, what);
      assert.equal(parts.why, "it says: Permission check failed (/vms, VM.Audit)");
      assert.ok(!JSON.stringify(parts).includes(token.split("=")[1] ?? ""));
    }
  });

  it("does not send the token to a server whose certificate is not trusted", async () => {
    server.answer = () => data([]);
    const stranger = proxmoxClient({ endpoint: server.url, token }, clock);
    const { what, why, next } = await refused(stranger.listVms());
    assert.match(what, /its certificate is not trusted, nothing was sent/);
    assert.match(why, /UNABLE_TO_VERIFY_LEAF_SIGNATURE/);
    assert.match(next, /`proxmox.caCertificate`/);
    assert.deepEqual(server.seen, []);
    assert.equal(clock.now(), 0);
  });

  it("sends nothing to a server whose certificate has expired, and says how it is renewed", async () => {
    const expired = await TestServer.start(expiredCertificates());
    try {
      const stale = proxmoxClient({ endpoint: expired.url, token, caCertificate: expired.ca }, clock);
      const { what, why, next } = await refused(stale.listVms());
      assert.match(what, /^Proxmox at https:.*: its certificate has expired, nothing was sent$/);
      assert.equal(why, "TLS says CERT_HAS_EXPIRED");
      assert.match(next, /^renew it: on the host, as root, `pvecm updatecerts --force && systemctl restart pveproxy`/);
      assert.doesNotMatch(next, /caCertificate/);
      assert.deepEqual([expired.seen, clock.now()], [[], 0]);
    } finally {
      await expired.stop();
    }
  });

  it("refuses a certificate for another name", async () => {
    const { port } = new URL(server.url);
    const other = proxmoxClient({ endpoint: `https://localhost:${port}`, token, caCertificate: server.ca }, clock);
    assert.match((await refused(other.listVms())).why, /ERR_TLS_CERT_ALTNAME_INVALID/);
    assert.deepEqual(server.seen, []);
  });

  it("asks again when the connection broke while reading, three times in all, and never twice to change something", async () => {
    let broken = 2;
    server.answer = () => (broken-- > 0 ? { hangUp: true } : data([]));
    assert.deepEqual(await proxmox.listVms(), []);
    assert.deepEqual([server.seen.length, clock.now()], [3, 2000]);

    server.seen.length = 0;
    server.answer = () => ({ hangUp: true });
    assert.match((await refused(proxmox.listVms())).what, /no answer$/);
    assert.equal(server.seen.length, 3);

    server.seen.length = 0;
    assert.match((await refused(proxmox.stopVm("pve", 101))).why, /the connection ended with UND_ERR_SOCKET/);
    assert.equal(server.seen.length, 1);
  });

  it("takes an answer without data for an empty one", async () => {
    server.answer = () => ({ body: "not JSON" });
    assert.deepEqual(await proxmox.listVms(), []);
  });

  it("names an endpoint that cannot be reached", async () => {
    const gone = await TestServer.start();
    const { url } = gone;
    await gone.stop();
    const { what, next } = await refused(proxmoxClient({ endpoint: url, token }, clock).listVms());
    assert.equal(what, `Proxmox at ${url}: no answer`);
    assert.equal(next, `check from this machine: \`curl -v ${url}\`; then run the same command again`);
  });
});
