import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Environment } from "../../../environment/schema";
import { Node } from "./network-node";
import { Space } from "./space";

/** Where clients are. The first is beyond the router, the others beside the nodes and beside their additional cards. */
export const places = ["outside", "servers", "dmz"] as const;
export type Place = (typeof places)[number];
/** The networks by which nodes can answer. */
const counted: readonly Place[] = ["servers", "dmz"];
const visitors: Readonly<Record<Place, number>> = { outside: 9, servers: 150, dmz: 150 };

/** 203.0.113.0/24 is for documentation: nobody's. */
const outside = { cidr: "203.0.113.0/24", gateway: "203.0.113.1" };

/**
 * The networks of the environment home: a bridge each, its nodes with a card in those that the file says, and a router between them and a third network. The
 * router is strict: it drops what comes in by a card behind which its source is not, and connections of which it sees one direction only. All of it is in
 * namespaces below the caller's; the caller's own gets one card, in the first network, at which the API can be reached.
 */
export class HomeNetwork {
  private constructor(
    private readonly switches: Space,
    readonly router: Space,
    /** By where they stand; `eth0` is their card. */
    readonly clients: Readonly<Record<Place, Space>>,
    readonly nodes: readonly Node[],
    /** Of this process, beside the nodes. */
    readonly address: string,
    /** For what provisioning writes. */
    private readonly folder: string,
  ) {}

  static async build(file: Environment): Promise<HomeNetwork> {
    refuseSharedNetwork();
    const folder = mkdtempSync(join(tmpdir(), "network-"));
    const networks = file.networks.map(({ name, cidr, gateway }) => ({ name, cidr, gateway }));
    const [switches, router, ...others] = await Promise.all(
      ["switches", "router", ...places, ...file.nodes.map(({ name }) => name)].map((name) => Space.make(name)),
    );
    if (!switches || !router) throw new Error("no namespaces");
    let ports = 0;
    const cable = (space: Space, card: string, network: string, mac?: string): void => {
      const port = `port${(ports += 1)}`;
      const address = mac === undefined ? "" : `address ${mac}`;
      switches.ip(
        `link add name ${port} type veth peer name ${card} ${address} netns ${space.id}`,
        `link set ${port} master ${network} up`,
      );
    };

    for (const { name } of [...networks, { name: "outside" }])
      switches.ip(`link add ${name} type bridge`, `link set ${name} up`);
    // Not to hand what is bridged to the firewall of layer 3.
    for (const name of ["iptables", "ip6tables", "arptables"])
      if (existsSync(`/proc/sys/net/bridge/bridge-nf-call-${name}`))
        switches.set(`net.bridge.bridge-nf-call-${name}=0`);

    // Before its cards are there: a card takes `default`.
    router.set("net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.default.rp_filter=1");
    // And as firewalls do it: of a connection whose beginning it saw one side of only, nothing passes.
    router.nft(
      "table ip firewall {\nchain forward {\ntype filter hook forward priority 0\nct state invalid drop\n}\n}\n",
    );
    router.set("net.netfilter.nf_conntrack_tcp_loose=0");
    for (const { name, cidr, gateway } of [...networks, { name: "outside", ...outside }]) {
      cable(router, name, name);
      router.ip(`address add ${gateway}/${prefixOf(cidr)} dev ${name}`, `link set ${name} up`);
    }

    const clients = Object.fromEntries(
      places.map((place, index) => {
        const space = others[index] as Space;
        const { cidr, gateway } = networks.find(({ name }) => name === place) ?? outside;
        cable(space, "eth0", place);
        space.ip(
          `address add ${hostOf(cidr, visitors[place])}/${prefixOf(cidr)} dev eth0`,
          "link set eth0 up",
          `route add default via ${gateway}`,
        );
        return [place, space];
      }),
    ) as unknown as Record<Place, Space>;

    const nodes: Node[] = file.nodes.map((spec, index) => {
      const space = others[places.length + index] as Space;
      const cards = spec.cards.map(({ network, address, mac }, card) => ({
        network,
        address,
        mac: mac.toLowerCase(),
        device: `ens${18 + card}`,
      }));
      // As systemd sets it on Debian, and what kubelet needs.
      space.set("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=2", "net.ipv4.ip_forward=1");
      for (const { device, network, address, mac } of cards) {
        cable(space, device, network, mac);
        const { cidr } = networks.find(({ name }) => name === network) ?? outside;
        space.ip(`address add ${address}/${prefixOf(cidr)} dev ${device}`);
      }
      const { gateway = "" } = networks.find(({ name }) => name === cards[0]?.network) ?? outside;
      const podCidr = `10.42.${index + 1}.0/24`;
      return new Node(
        spec.name,
        space,
        cards,
        podCidr,
        gateway,
        () => nodes.filter(({ name }) => name !== spec.name),
        folder,
      );
    });
    for (const node of nodes) node.connect();

    const [first] = networks;
    if (!first) throw new Error("the file has no network");
    const address = hostOf(first.cidr, 9);
    switches.ip(
      `link add name lab type veth peer name lab netns ${process.pid}`,
      `link set lab master ${first.name} up`,
    );
    execFileSync("ip", ["address", "add", `${address}/${prefixOf(first.cidr)}`, "dev", "lab"]);
    execFileSync("ip", ["link", "set", "lab", "up"]);
    return new HomeNetwork(switches, router, clients, nodes, address, folder);
  }

  node(name: string): Node {
    const found = this.nodes.find((node) => node.name === name);
    if (found) return found;
    throw new Error(`no node ${name}`);
  }

  /** Packets that the router dropped because their source is not behind the card they came in by. */
  droppedByFilter(): number {
    const [names = "", values = ""] = readNetstat(this.router);
    return Number(values.split(" ")[names.split(" ").indexOf("IPReversePathFilter")]);
  }

  /** The router forgets who has which address, and has to ask. By itself it does within a minute of nobody answering. */
  forgetNeighbours(): void {
    this.router.ip("neigh flush all");
  }

  /** Lets the router count what comes from an address, from now on. */
  countFrom(address: string): void {
    const rules = counted.map((network) => `iifname ${network} ip saddr ${address} counter comment "${network}"`);
    this.router.nft(
      [
        "table ip lab",
        "delete table ip lab",
        "table ip lab {\nchain arriving {\ntype filter hook prerouting priority raw",
        ...rules,
        "}\n}\n",
      ].join("\n"),
    );
  }

  /** The networks by which that came, whatever became of it. */
  cameBy(): readonly string[] {
    const listed = this.router.run("nft", ["list", "table", "ip", "lab"]);
    return counted.filter((network) => new RegExp(`packets [1-9].* comment "${network}"`).test(listed));
  }

  /**
   * Who answers for an address in a network: the nodes whose card does, all of them, sorted. One that answers and is no node is there by its MAC. Waits a
   * second for answers, so that a second announcer is seen beside the first.
   */
  whoAnswersFor(address: string, network: Place): readonly string[] {
    const { output } = this.clients[network].try("busybox", [
      ...["arping", "-b", "-c", "1", "-w", "1", "-I", "eth0", address],
    ]);
    const macs = new Set([...output.matchAll(/\[([0-9a-f:]{17})\]/gi)].map(([, mac = ""]) => mac.toLowerCase()));
    const nameOf = (mac: string): string =>
      this.nodes.find(({ cards }) => cards.some((card) => card.mac === mac))?.name ?? mac;
    return [...macs].map(nameOf).sort();
  }

  stop(): void {
    spawnSync("ip", ["link", "delete", "lab"]);
    for (const space of [this.switches, this.router, ...Object.values(this.clients)]) space.stop();
    for (const node of this.nodes) node.stop();
    rmSync(this.folder, { recursive: true });
  }
}

/** Its addresses would come into the way of real ones. */
function refuseSharedNetwork(): void {
  const links = execFileSync("ip", ["-brief", "link"], { encoding: "utf8" }).split("\n").filter(Boolean);
  const others = links.map((line) => line.split(/[\s@]/)[0] ?? "").filter((name) => name !== "lo");
  if (others.length > 0)
    throw new Error(`this process shares a network with ${others.join(", ")}; run it by: npm run test:cluster`);
}

function readNetstat(space: Space): string[] {
  return space
    .run("cat", ["/proc/net/netstat"])
    .split("\n")
    .filter((line) => line.startsWith("TcpExt:"));
}

function prefixOf(cidr: string): string {
  return cidr.split("/")[1] ?? "";
}

/** The host of a network of at least 256 addresses. */
function hostOf(cidr: string, host: number): string {
  return cidr.replace(/\d+\/.*$/, String(host));
}
