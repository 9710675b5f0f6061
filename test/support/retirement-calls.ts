import type { V1Pod } from "@kubernetes/client-node";
import type { Clients } from "../../operations/clients";
import { cordon } from "../../operations/cluster/cordon";
import { retireOldNode } from "../../operations/rancheros/retire-old-node";
import { grownOldNodes } from "./grown-old-nodes";
import { add, migratedHome } from "./migrated-home";

/** The calls of one node's retirement: of the program's clients, each of them one request or a few of a fixed number. */
export interface RetirementCalls {
  readonly node: string;
  /** Everything but the Lease, which says how long it had to wait. */
  readonly calls: number;
  readonly lease: number;
}

/** Retires so many old nodes side by side on the pretend home, as the engine starts them, each with `pods` pods, and counts what each of them asks. */
export async function retirementCalls(count: number, pods: number): Promise<readonly RetirementCalls[]> {
  const { home, clients, inputs } = await migratedHome("home", (file) => (file.oldNodes = grownOldNodes(file, count)));
  // As the volumes layer leaves them: otherwise what one of them is rid of would go onto the next.
  for (const { node } of inputs) await cordon(clients, node, "longhorn");
  for (const { node } of inputs) for (let index = 0; index < pods; index += 1) add(home, pod(node, index));
  const counted = inputs.map((input) => ({ input, ...counting(clients) }));
  await Promise.all(counted.map(({ input, clients: own }) => retireOldNode.run(input, own)));
  return counted.map(({ input: { node }, calls }) => ({ node, ...calls }));
}

function counting(clients: Clients): {
  readonly clients: Clients;
  readonly calls: { readonly calls: number; readonly lease: number };
} {
  const calls = { calls: 0, lease: 0 };
  const wrap = <T extends object>(api: T): T =>
    new Proxy(api, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== "function") return value;
        return (...args: unknown[]): unknown => {
          const [first] = args;
          const ofLease = typeof first === "object" && first !== null && "kind" in first && first.kind === "Lease";
          calls[ofLease ? "lease" : "calls"] += 1;
          return (value as (...all: unknown[]) => unknown).apply(target, args);
        };
      },
    });
  const { proxmox, rancher, kubernetes } = clients;
  return {
    clients: { ...clients, proxmox: wrap(proxmox), rancher: wrap(rancher), kubernetes: wrap(kubernetes) },
    calls,
  };
}

function pod(nodeName: string, index: number): V1Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `on-${nodeName}-${index}`,
      namespace: "default",
      ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "owner", uid: "owner" }],
    },
    spec: { nodeName, containers: [{ name: "main", image: "example.test/main:1" }] },
    status: { phase: "Running" },
  };
}
