import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { guestScripts } from "../../support/nodes";
import { Space } from "./space";

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
  private readonly pods = new Map<string, { readonly space: Space; readonly cable: string }>();
  private cables = 0;

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
  async addPod(address: string): Promise<Space> {
    const space = await Space.make(`${this.name} ${address}`);
    const cable = `cali${(this.cables += 1)}`;
    this.pods.set(address, { space, cable });
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

  /** The cable first: the kernel takes its time to remove one with its namespace, and the next pod may have the same address. */
  removePod(address: string): void {
    const pod = this.pods.get(address);
    if (!pod) return;
    this.space.ip(`link delete ${pod.cable}`);
    pod.space.stop();
    this.pods.delete(address);
  }

  stop(): void {
    for (const space of [this.space, ...[...this.pods.values()].map((pod) => pod.space)]) space.stop();
  }
}
