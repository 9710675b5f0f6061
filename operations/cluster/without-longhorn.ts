import type { V1Node, V1Pod } from "@kubernetes/client-node";
import { z } from "zod";
import type { Clients, KubernetesApi } from "../clients";
import { claims, csiNodes, debianLabels, longhornDriver, nodes, pods, volumes } from "../kinds";
import { defineOperation } from "../operation";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
import { cordon, cordonedFor, uncordon } from "./cordon";
import { hasEnded, nameOf } from "./placement";
import { takesPods } from "./selector";

const schema = z.strictObject({
  /** `<namespace>/<claim>` of the volumes that are past their copy: another one, and the nodes are looked at again. */
  volumes: z.array(z.string()).min(1),
});

/** Seconds for a driver that should be there to register again: its pod, or the node, may just be starting. */
const driverTimeout = 300;

/**
 * Names of the nodes on which a pod can still land although no volume of Longhorn can be attached there, sorted: the scheduler does not mind a driver that is
 * missing, and the pod waits for ever. A cutover refuses while there is one. Dedicated control planes of ours are none: their taints keep pods away for good.
 */
export async function openWithoutLonghorn(kubernetes: KubernetesApi): Promise<readonly string[]> {
  const { without } = await look(kubernetes);
  return without.filter((node) => node.spec?.unschedulable !== true).map(nameOfNode);
}

/**
 * Cordons every node that lacks Longhorn's driver, which is every RancherOS node, and records on it that it was us. Nodes that somebody else had cordoned stay
 * theirs. Pods that run there go on running. Converges: run again, it takes in new nodes, and lets go of those that have the driver now.
 */
export const cordonWithoutLonghorn = defineOperation({
  verb: "cordon-without-longhorn",
  needs: ["kubernetes"],
  schema,
  async run(_input, clients) {
    const { kubernetes } = clients;
    const { within, without } = await settled(clients);
    const done: string[] = [];
    try {
      for (const node of without.filter(({ spec }) => spec?.unschedulable !== true)) {
        await cordon(clients, nameOfNode(node), "longhorn");
        done.push(nameOfNode(node));
      }
    } catch (error) {
      await takeBack(clients, done);
      throw error;
    }
    for (const node of within) await uncordon(clients, nameOfNode(node), ["longhorn"]);
    return { cordoned: await ours(kubernetes) };
  },
});

/**
 * Lets the nodes that `cordon-without-longhorn` cordoned take pods again, and no others. Not while a pod uses a volume of Longhorn: moved there it would wait
 * for ever, so the nodes stay as they are, and what keeps them so is named.
 */
export const uncordonWithoutLonghorn = defineOperation({
  verb: "uncordon-without-longhorn",
  needs: ["kubernetes"],
  schema,
  async run(_input, clients) {
    const { kubernetes, log } = clients;
    const names = await ours(kubernetes);
    const users = names.length === 0 ? [] : await usersOfLonghorn(kubernetes);
    if (users.length > 0) {
      log(
        `${names.join(", ")}: stay cordoned, volumes of Longhorn cannot be attached there and pods use some: ${users.join(", ")}; ` +
          `retire them, or \`kubectl uncordon ${names.join(" ")}\` if these pods cannot land there`,
      );
      return { restored: [], kept: names };
    }
    for (const name of names) await uncordon(clients, name, ["longhorn"]);
    return { restored: names, kept: [] };
  },
});

interface Looked {
  /** Nodes with the driver. */
  readonly within: readonly V1Node[];
  /** Nodes without it that pods could land on, cordoned or not. */
  readonly without: readonly V1Node[];
}

async function look(kubernetes: KubernetesApi): Promise<Looked> {
  const drivers = new Map(
    (await kubernetes.list(csiNodes)).map(({ metadata, spec }) => [
      metadata?.name,
      (spec?.drivers ?? []).some(({ name }) => name === longhornDriver),
    ]),
  );
  const all = [...(await kubernetes.list(nodes))].sort((a, b) => nameOfNode(a).localeCompare(nameOfNode(b)));
  const has = (node: V1Node): boolean => drivers.get(nameOfNode(node)) === true;
  return {
    within: all.filter(has),
    without: all.filter((node) => !has(node) && !(isDebian(node) && isDedicated(node))),
  };
}

/**
 * What stands once every node of ours that should have the driver has it. One of them is never cordoned for a driver that is starting: nobody would open it
 * again. Refuses before anything is touched.
 */
async function settled({ kubernetes, clock }: Pick<Clients, "kubernetes" | "clock">): Promise<Looked> {
  const found = await waitFor(
    clock,
    {
      what: `${longhornDriver} on the Debian nodes`,
      timeoutSeconds: driverTimeout,
      next: "`kubectl -n longhorn-system get pods -o wide`, mend what is named above or cordon the node yourself, then `pulumi up` again",
    },
    async () => {
      const looked = await look(kubernetes);
      const starting = looked.without.filter((node) => isDebian(node) && node.spec?.unschedulable !== true);
      if (starting.length === 0) return looked;
      throw new NotYet(`it is not registered on ${starting.map(nameOfNode).join(", ")}`);
    },
  );
  if (found.within.some(takesPods)) return found;
  throw new Refusal({
    what: "no node was cordoned: none would be left",
    why: `no node that is Ready and takes pods has the driver ${longhornDriver}`,
    next: "`pulumi up` of the services layer, and `kubectl get nodes,csinodes`",
  });
}

/** A failure half-way leaves nothing cordoned of which no state knows; where that fails too, the next run goes on from the records. */
async function takeBack(clients: Pick<Clients, "kubernetes" | "log">, names: readonly string[]): Promise<void> {
  for (const name of names) await uncordon(clients, name, ["longhorn"]).catch(() => undefined);
}

async function ours(kubernetes: KubernetesApi): Promise<string[]> {
  return (await kubernetes.list(nodes))
    .filter((node) => cordonedFor(node) === "longhorn")
    .map(nameOfNode)
    .sort();
}

/** Pods that mount a volume of Longhorn, and have not ended. */
async function usersOfLonghorn(kubernetes: KubernetesApi): Promise<string[]> {
  const driven = new Set(
    (await kubernetes.list(volumes)).flatMap(({ metadata, spec }) =>
      spec?.csi?.driver === longhornDriver ? (metadata?.name ?? []) : [],
    ),
  );
  const bound = new Set(
    (await kubernetes.list(claims)).flatMap(({ metadata, spec }) =>
      driven.has(spec?.volumeName ?? "") ? `${metadata?.namespace}/${metadata?.name}` : [],
    ),
  );
  const mounts = (pod: V1Pod): boolean =>
    (pod.spec?.volumes ?? []).some((entry) => {
      // A generic ephemeral volume's claim has this name by definition.
      const claim =
        entry.persistentVolumeClaim?.claimName ?? (entry.ephemeral && `${pod.metadata?.name}-${entry.name}`);
      return bound.has(`${pod.metadata?.namespace}/${claim}`);
    });
  return (await kubernetes.list(pods))
    .filter((pod) => !hasEnded(pod) && mounts(pod))
    .map(nameOf)
    .sort();
}

/** Longhorn is kept to these. */
function isDebian(node: V1Node): boolean {
  return Object.entries(debianLabels).every(([key, value]) => node.metadata?.labels?.[key] === value);
}

/** Tainted for good. Those that Kubernetes puts there itself come and go with the node's health. */
function isDedicated(node: V1Node): boolean {
  return (node.spec?.taints ?? []).some(
    ({ key, effect }) => effect !== "PreferNoSchedule" && !key.startsWith("node.kubernetes.io/"),
  );
}

function nameOfNode(node: V1Node): string {
  return node.metadata?.name ?? "";
}
