import * as kinds from "../../../operations/kinds";
import type { LonghornNode } from "../../../operations/kinds";
import type { RetirementLab } from "./retirement";

/** How often it looks, in milliseconds. */
const every = 50;

/** What Longhorn does when a node's eviction is requested, as far as its objects tell: what the node's disks hold is on another node's afterwards. */
export class PretendLonghorn {
  /** Off: it does not find a place for anything. */
  moves = true;
  private ended = false;
  private running: Promise<void> = Promise.resolve();

  private constructor(private readonly lab: RetirementLab) {}

  static start(lab: RetirementLab): PretendLonghorn {
    const longhorn = new PretendLonghorn(lab);
    longhorn.running = longhorn.run();
    return longhorn;
  }

  async stop(): Promise<void> {
    this.ended = true;
    await this.running;
  }

  private async run(): Promise<void> {
    const inLonghorn = { namespace: kinds.longhornNamespace };
    while (!this.ended) {
      await new Promise((resolve) => setTimeout(resolve, every));
      if (!this.moves) continue;
      const found = await this.lab.api.list(kinds.longhornNodes, inLonghorn);
      for (const node of found.filter(({ spec }) => spec?.evictionRequested)) {
        const other = found.find(({ spec }) => spec?.allowScheduling && !spec.evictionRequested);
        if (other) await this.move(node, other.metadata?.name ?? "");
      }
    }
  }

  private async move(node: LonghornNode, to: string): Promise<void> {
    const { api, did } = this.lab;
    const disks = Object.entries(node.status?.diskStatus ?? {});
    const replicas = disks.flatMap(([, disk]) => Object.keys(disk.scheduledReplica ?? {}));
    const images = disks.flatMap(([, disk]) => Object.keys(disk.scheduledBackingImage ?? {}));
    if (replicas.length + images.length === 0) return;
    for (const name of replicas) {
      if (await api.read(kinds.longhornReplicas, name, kinds.longhornNamespace))
        await api.patch(kinds.longhornReplicas, name, { spec: { nodeID: to } }, kinds.longhornNamespace);
    }
    for (const name of [...replicas, ...images]) did.push(`Longhorn moved ${name}`);
    const nothing = (names: readonly string[]): object => Object.fromEntries(names.map((name) => [name, null]));
    await this.lab.status(node, {
      diskStatus: Object.fromEntries(
        disks.map(([disk]) => [disk, { scheduledReplica: nothing(replicas), scheduledBackingImage: nothing(images) }]),
      ),
    });
  }
}
