import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Environment } from "../../../environment/schema";
import { guestScripts } from "../../support/nodes";

/**
 * A network of its own with a /sys to match: of a machine all that layer 2, routing and kube-proxy see. Ends with this process, however that ends, and with
 * it every card in it.
 */
export class Space {
  private constructor(
    readonly name: string,
    private readonly holder: ChildProcess,
  ) {}

  static async make(name: string): Promise<Space> {
    // `cat` stays until its input closes, which happens when this process is gone.
    const script = "mount -t sysfs none /sys && ip link set lo up && echo made && exec cat >/dev/null";
    const around = ["--pdeathsig", "KILL", "unshare", "--net", "--mount", "sh", "-c", script];
    const holder = spawn("setpriv", around, { stdio: ["pipe", "pipe", "inherit"] });
    await new Promise<void>((resolve, reject) => {
      holder.stdout.once("data", () => resolve());
      holder.once("error", reject).once("exit", (code) => reject(new Error(`${name}: no namespace (exit ${code})`)));
    });
    return new Space(name, holder);
  }

  /** What a command line begins with to run in here; it becomes the program. */
  get enter(): readonly string[] {
    return ["nsenter", "--target", this.id, "--net", "--mount"];
  }

  /** As `ip link … netns <id>` takes it. */
  get id(): string {
    return String(this.holder.pid);
  }

  /** Runs a program to its end and returns what it printed. */
  run(command: string, args: readonly string[] = [], { input = "", env = process.env } = {}): string {
    const [enter = "", ...rest] = this.enter;
    try {
      return execFileSync(enter, [...rest, command, ...args], { input, env, encoding: "utf8", stdio: "pipe" });
    } catch (error) {
      const { stderr } = error as { stderr?: string };
      throw new Error(`${this.name}: ${[command, ...args].join(" ")}: ${stderr ?? ""}`, { cause: error });
    }
  }

  /** The same where failing is an answer, too. */
  try(command: string, args: readonly string[] = []): { readonly code: number | null; readonly output: string } {
    const [enter = "", ...rest] = this.enter;
    const { status, stdout } = spawnSync(enter, [...rest, command, ...args], { encoding: "utf8" });
    return { code: status, output: stdout };
  }

  /** Commands of iproute2, a line each. */
  ip(...lines: readonly string[]): void {
    this.run("ip", ["-batch", "-"], { input: lines.join("\n") });
  }

  set(...settings: readonly string[]): void {
    this.run("sysctl", ["-q", "-w", ...settings]);
  }

  nft(rules: string): void {
    this.run("nft", ["-f", "-"], { input: rules });
  }

  stop(): void {
    this.holder.kill("SIGKILL");
  }
}

/** A card of a node, as the environment file has it. */
interface Card {
  readonly network: string;
  readonly address: string;
  readonly mac: string;
  /** Of the interface, in the order of the file. */
  readonly device: string;
}

/** A node of the file: its cards, the default route by the first, and what Debian and Kubernetes set on it. */
export class Node {
  private pods = 0;

  constructor(
    readonly name: string,
    readonly space: Space,
    readonly cards: readonly Card[],
    /** Its pods' addresses. */
    readonly podCidr: string,
    private readonly gateway: string,
    private readonly others: () => readonly Node[],
    private readonly folder: string,
  ) {}

  /** Of its first card, which is the node's in Kubernetes. */
  get address(): string {
    return this.cards[0]?.address ?? "";
  }

  card(network: string): Card | undefined {
    return this.cards.find((card) => card.network === network);
  }

  /** The cards are up; the first carries the default route, and leads to the other nodes' pods. */
  connect(): void {
    this.space.ip(
      ...this.cards.map(({ device }) => `link set ${device} up`),
      `route replace default via ${this.gateway}`,
      ...this.others().map(({ podCidr, address }) => `route replace ${podCidr} via ${address}`),
    );
  }

  /** All cards at once, as by a power cut. Their routes are gone with it. */
  disconnect(): void {
    this.space.ip(...this.cards.map(({ device }) => `link set ${device} down`));
  }

  /**
   * The routing of operations/guest/provision.sh: its own `prepare_routing`, in this node's namespace, with the settings that the operation hands it. Files go
   * into a folder, and systemd is played by a script that runs the program when its service is started.
   */
  provisionRouting(settings: Readonly<Record<string, string>>): void {
    const root = join(this.folder, this.name);
    const bin = join(root, "bin");
    mkdirSync(bin, { recursive: true });
    const program = '"$ROOT/usr/local/sbin/home-cluster-routing" "$ROOT/etc/home-cluster/routing"';
    const systemctl = `#!/bin/bash\n[[ "$1 $2" != "start home-cluster-routing.service" ]] || ${program}\n`;
    writeFileSync(join(bin, "systemctl"), systemctl, { mode: 0o755 });
    const text = readFileSync(join(guestScripts, "provision.sh"), "utf8").replace(/^main <.*$/m, "prepare_routing");
    const variables = Object.entries({ ...settings, ROOT: root }).map(([name, value]) => `${name}='${value}'\n`);
    this.space.run("bash", ["-s"], {
      input: variables.join("") + text,
      env: { PATH: `${bin}:${process.env.PATH ?? ""}`, ROOT: root },
    });
  }

  /** What the timer of that routing does each minute. */
  refreshRouting(): void {
    const root = join(this.folder, this.name);
    const program = join(root, "usr/local/sbin/home-cluster-routing");
    if (existsSync(program)) this.space.run(program, [join(root, "etc/home-cluster/routing")]);
  }

  /** A network for a pod with this address, behind the node as Calico has it: a cable of its own, a route to it, and the node answering for the gateway. */
  async pod(address: string): Promise<Space> {
    const space = await Space.make(`${this.name} ${address}`);
    const cable = `cali${(this.pods += 1)}`;
    this.space.ip(`link add name ${cable} type veth peer name eth0 netns ${space.id}`, `link set ${cable} up`);
    this.space.set(`net.ipv4.conf.${cable}.proxy_arp=1`);
    this.space.ip(`route add ${address}/32 dev ${cable} scope link`);
    space.ip(
      `address add ${address}/32 dev eth0`,
      "link set eth0 up",
      "route add 169.254.1.1 dev eth0 scope link",
      "route add default via 169.254.1.1",
    );
    return space;
  }
}

/** Where clients are. The first is beyond the router, the others beside the nodes and beside their additional cards. */
export const places = ["outside", "servers", "dmz"] as const;
export type Place = (typeof places)[number];
const visitors: Readonly<Record<Place, number>> = { outside: 9, servers: 150, dmz: 150 };

/** 203.0.113.0/24 is for documentation: nobody's. */
const outside = { cidr: "203.0.113.0/24", gateway: "203.0.113.1" };

/**
 * The networks of the environment home: a bridge each, its nodes with a card in those that the file says, and a router with strict filters between them and
 * a third network. All of it is in namespaces below the caller's; the caller's own gets one card, in the first network, at which the API can be reached.
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
  ) {}

  /** `folder`: for what provisioning writes. */
  static async build(file: Environment, folder: string): Promise<HomeNetwork> {
    refuseSharedNetwork();
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
    for (const file of ["iptables", "ip6tables", "arptables"])
      if (existsSync(`/proc/sys/net/bridge/bridge-nf-call-${file}`))
        switches.set(`net.bridge.bridge-nf-call-${file}=0`);

    // Before its cards are there: a card takes `default`.
    router.set("net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.default.rp_filter=1");
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
    return new HomeNetwork(switches, router, clients, nodes, address);
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

  /** Who answers for an address in a network: the nodes whose card does, all of them, sorted. One that answers and is no node is there by its MAC. */
  whoAnswersFor(address: string, network: "servers" | "dmz"): readonly string[] {
    const { output } = this.clients[network].try("busybox", [
      ...["arping", "-b", "-c", "2", "-w", "2", "-I", "eth0", address],
    ]);
    const macs = new Set([...output.matchAll(/\[([0-9a-f:]{17})\]/gi)].map(([, mac = ""]) => mac.toLowerCase()));
    const nameOf = (mac: string): string =>
      this.nodes.find(({ cards }) => cards.some((card) => card.mac === mac))?.name ?? mac;
    return [...macs].map(nameOf).sort();
  }

  stop(): void {
    spawnSync("ip", ["link", "delete", "lab"]);
    for (const space of [this.switches, this.router, ...Object.values(this.clients)]) space.stop();
    for (const { space } of this.nodes) space.stop();
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
