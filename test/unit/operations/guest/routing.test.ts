import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needs, skip } from "../../../support/needs";
import { guestScripts } from "../../../support/nodes";

/**
 * A client beyond a router, a node with a card in two of the router's networks, a pod behind the node, and kube-proxy's rewriting of a load balancer address
 * to that pod: network namespaces of this kernel, with its real routing, connection tracking and nftables.
 */
class Network {
  private readonly prefix = `hc${process.pid}`;
  private readonly spaces = ["client", "router", "node", "pod"];
  private readonly servers: ChildProcess[] = [];

  build(): void {
    for (const space of this.spaces) ip("netns", "add", this.name(space));
    for (const space of this.spaces) this.ip(space, "link", "set", "lo", "up");
    this.cable("client", "eth0", "203.0.113.9/24", "router", "outside", "203.0.113.1/24");
    this.cable("node", "eth0", "10.1.0.21/24", "router", "servers", "10.1.0.1/24");
    this.cable("node", "eth1", "10.4.0.21/24", "router", "dmz", "10.4.0.1/24");
    this.cable("pod", "eth0", "10.42.0.2/24", "node", "pods", "10.42.0.1/24");
    this.ip("client", "route", "add", "default", "via", "203.0.113.1");
    this.ip("node", "route", "add", "default", "via", "10.1.0.1");
    this.ip("pod", "route", "add", "default", "via", "10.42.0.1");
    this.ip("router", "route", "add", "10.4.0.5/32", "via", "10.4.0.21");
    // A router that drops what arrives on the wrong side, as firewalls do, and a node as strict as some images are.
    this.in("router", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=1");
    this.in("node", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv4.conf.eth1.rp_filter=1");
    this.nft(
      "node",
      "table ip kube {\n chain services {\n type nat hook prerouting priority dstnat;\n ip daddr 10.4.0.5 tcp dport 80 dnat to 10.42.0.2:8080\n}\n}\n",
    );
  }

  in(space: string, command: string, ...args: string[]): string {
    return execFileSync("ip", ["netns", "exec", this.name(space), command, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  ip(space: string, ...args: string[]): string {
    return ip("-n", this.name(space), ...args);
  }

  nft(space: string, rules: string): void {
    execFileSync("ip", ["netns", "exec", this.name(space), "nft", "-f", "-"], { input: rules });
  }

  /** A server that says whom it sees, and ends with this process. */
  async serve(space: string, port: number): Promise<void> {
    const program = `require("net").createServer((s) => s.end(s.remoteAddress)).listen(${port}, "0.0.0.0", () => console.log("up"))`;
    const server = spawn("ip", ["netns", "exec", this.name(space), process.execPath, "-e", program]);
    this.servers.push(server);
    await new Promise((resolve) => server.stdout.once("data", resolve));
  }

  /** Whether no connection comes about within a second. */
  isSilent(space: string, address: string, port: number): boolean {
    return this.connect(space, address, port, 1) === "nothing";
  }

  /**
   * What the server there sees of a client, or "nothing" when no connection comes about for so many seconds. Many where one is expected: a first packet that is
   * lost while a card comes up is sent again after a second at the earliest.
   */
  connect(space: string, address: string, port: number, seconds = 20): string {
    const program = `const s = require("net").connect(${port}, "${address}"); s.setEncoding("utf8").on("data", (t) => console.log(t)).on("error", () => process.exit());
      setTimeout(() => process.exit(), ${seconds * 1000}).unref()`;
    return this.in(space, process.execPath, "-e", program).trim() || "nothing";
  }

  remove(): void {
    for (const server of this.servers) server.kill();
    for (const space of this.spaces) spawnSync("ip", ["netns", "delete", this.name(space)]);
  }

  private cable(one: string, card: string, address: string, other: string, port: string, far: string): void {
    ip(
      "link",
      "add",
      "name",
      card,
      "netns",
      this.name(one),
      "type",
      "veth",
      "peer",
      "name",
      port,
      "netns",
      this.name(other),
    );
    this.ip(one, "address", "add", address, "dev", card);
    this.ip(other, "address", "add", far, "dev", port);
    this.ip(one, "link", "set", card, "up");
    this.ip(other, "link", "set", port, "up");
  }

  private name(space: string): string {
    return `${this.prefix}${space}`;
  }
}

function ip(...args: string[]): string {
  return execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** Skips where this machine has no network namespaces for us, or no nftables in them. */
function needsNamespaces(context: Mocha.Context): void {
  needs(context, "ip", "nft", "sysctl");
  if (process.getuid?.() !== 0) skip(context, "network namespaces need root");
  const probe = `hcprobe${process.pid}`;
  const made = spawnSync("ip", ["netns", "add", probe]).status === 0;
  const works = made && spawnSync("ip", ["netns", "exec", probe, "nft", "add", "table", "ip", "probe"]).status === 0;
  spawnSync("ip", ["netns", "delete", probe]);
  if (!works) skip(context, "no network namespaces with nftables on this kernel");
}

describe("the routing program of operations/guest/provision.sh, on real network namespaces (does not prove Calico's or kube-proxy's own rules)", function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), "routing-"));
  const network = new Network();
  const program = join(folder, "routing");
  const table = join(folder, "table");
  const route = (): string => network.in("node", "bash", program, table);

  before(async function () {
    needsNamespaces(this);
    const script = readFileSync(join(guestScripts, "provision.sh"), "utf8").replace(/^main <.*$/m, "routing_program");
    writeFileSync(program, execFileSync("bash", ["-s"], { input: script }));
    network.build();
    await network.serve("node", 2222);
    await network.serve("pod", 8080);
  });
  after(() => {
    network.remove();
    rmSync(folder, { recursive: true });
  });

  it("without it, who comes in through the second card gets no answer", () => {
    assert.equal(network.connect("client", "10.1.0.21", 2222), "203.0.113.9");
    assert.equal(network.isSilent("client", "10.4.0.21", 2222), true);
    assert.equal(network.isSilent("client", "10.4.0.5", 80), true);
  });

  it("with it, the node itself and a pod behind a load balancer address answer through that card, and see the client's address", () => {
    const mac = network.in("node", "cat", "/sys/class/net/eth1/address").trim();
    writeFileSync(table, `${mac} 10.4.0.0/24 10.4.0.1\n`);
    route();
    assert.deepEqual(
      [
        network.connect("client", "10.1.0.21", 2222),
        network.connect("client", "10.4.0.21", 2222),
        network.connect("client", "10.4.0.5", 80),
      ],
      ["203.0.113.9", "203.0.113.9", "203.0.113.9"],
    );
    // What the node starts itself still leaves by its first card, and neighbours on the second are answered without the gateway.
    assert.match(network.ip("node", "route", "get", "203.0.113.9"), /via 10\.1\.0\.1 dev eth0/);
    assert.match(network.ip("node", "route", "get", "10.4.0.77", "mark", "0x10"), /^10\.4\.0\.77 dev eth1 table/);
  });

  it("a second run leaves one rule and the same table, and the tables of others alone", () => {
    const state = (): string =>
      network.ip("node", "rule") +
      network.ip("node", "route", "show", "table", "all") +
      network.in("node", "nft", "list", "ruleset");
    const before = state();
    route();
    assert.equal(state(), before);
    assert.match(before, /10101:\tfrom all fwmark 0x10\/0xf0 lookup 10101/);
    assert.match(before, /table ip kube/);
  });

  it("keeps the marks of others: only its four bits change, on packets and on connections", () => {
    network.nft(
      "node",
      `table ip other {
        chain before {
          type filter hook prerouting priority -160;
          ct state new ct mark set ct mark | 0x8000
          meta mark set meta mark | 0x4000
        }
        chain after {
          type filter hook postrouting priority 100;
          oifname "eth1" tcp sport 8080 meta mark 0x4010 ct mark 0x8010 counter comment "both"
          oifname "eth1" tcp sport 8080 meta mark != 0x4010 counter comment "lost"
        }
      }
      `,
    );
    assert.equal(network.connect("client", "10.4.0.5", 80), "203.0.113.9");
    const counted = network.in("node", "nft", "list", "table", "ip", "other");
    assert.match(counted, /counter packets [1-9]\d* bytes \d+ comment "both"/);
    assert.match(counted, /counter packets 0 bytes 0 comment "lost"/);
    network.nft("node", "delete table ip other\n");
  });

  it("names a card that is not there", () => {
    const mine = readFileSync(table, "utf8");
    writeFileSync(table, "02:00:00:00:00:99 10.9.0.0/24 10.9.0.1\n");
    assert.throws(route, /no card with the address 02:00:00:00:00:99/);
    writeFileSync(table, mine);
  });

  it("takes everything of its own back when no card is left", () => {
    writeFileSync(table, "");
    route();
    assert.doesNotMatch(network.ip("node", "rule"), /1010\d:/);
    assert.doesNotMatch(network.in("node", "nft", "list", "ruleset"), /home_cluster/);
    assert.equal(network.isSilent("client", "10.4.0.21", 2222), true);
  });
});
