import type { V1ConfigMap } from "@kubernetes/client-node";
import type { Environment } from "../environment/schema";
import { newClaimName } from "../environment/volume-name";
import { configMaps, nodes, pods } from "../operations/kinds";
import { pretendClients } from "./home/clients";
import { VirtualClock } from "./home/clock";
import type { HomeState } from "./home/state";

/**
 * Stands in for the cutover of every volume until the program has one: the ledger says `switched`, and the workload runs on a Debian node with the new claim.
 * Printed as a stand-in by the rehearsal; nothing of the program is called.
 */
export async function switchVolumes(environment: Environment, home: HomeState): Promise<HomeState> {
  const { kubernetes } = pretendClients(home, new VirtualClock(home.now));
  const debian = (await kubernetes.list(nodes, { labels: { "home-cluster/node": "debian" } })).find(
    (node) => node.metadata?.labels?.["node-role.kubernetes.io/worker"] === "true",
  );
  for (const volume of environment.volumes) {
    const newClaim = newClaimName(volume);
    const name = `volume-${volume.namespace}-${volume.claim}`;
    const ledger = await kubernetes.read<V1ConfigMap>(configMaps, name, "home-cluster");
    if (ledger) await kubernetes.patch(configMaps, name, { data: switched(ledger.data ?? {}) }, "home-cluster");
    for (const pod of await kubernetes.list(pods, { namespace: volume.namespace })) {
      if (pod.status?.phase !== "Running") continue;
      const mounts = pod.spec?.volumes?.map((entry) =>
        entry.persistentVolumeClaim?.claimName === volume.claim
          ? { ...entry, persistentVolumeClaim: { claimName: newClaim } }
          : entry,
      );
      await kubernetes.patch(
        pods,
        pod.metadata?.name ?? "",
        { spec: { volumes: mounts, nodeName: debian?.metadata?.name } },
        volume.namespace,
      );
    }
  }
  return home;
}

/** The ledger's text with its phase moved on; the ledger is one JSON document in one key. */
function switched(data: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(data).map(([key, text]) => {
      try {
        return [key, JSON.stringify({ ...(JSON.parse(text) as object), phase: "switched" })];
      } catch {
        return [key, text];
      }
    }),
  );
}
