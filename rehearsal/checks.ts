import { newClaimName } from "../environment/volume-name";
import type {
  V1ConfigMap,
  V1Node,
  V1PersistentVolumeClaim,
  V1Pod,
  V1Service,
  V1StorageClass,
} from "@kubernetes/client-node";
import type { HomeState } from "./home/state";
import { isSecret, type Registration } from "./record";
import type { Story } from "./story";

/** One thing that must be true of a rehearsal. */
export interface Check {
  readonly name: string;
  readonly holds: boolean;
  /** What was found, in words. */
  readonly detail: string;
}

type Judge = (story: Story) => { readonly holds: boolean; readonly detail: string };

/** Every check, by name; each is a pure function of the story, so that a test can break each alone. */
export const judges: Readonly<Record<string, Judge>> = {
  "every layer went up": ({ layers }) =>
    verdict(
      layers.length === 4,
      layers.flatMap((run) => [
        ...run.failed.map(([urn, message]) => `${urn}: ${message}`),
        ...(run.error === undefined ? [] : [`${run.stack}: ${run.error}`]),
      ]),
      `${layers.length} layers`,
    ),
  "gates: nothing started before what it waits for was done": ({ layers }) =>
    verdict(
      true,
      layers.flatMap(({ steps }) => early(steps)),
      `${layers.reduce((sum, run) => sum + run.steps.length, 0)} resources`,
    ),
  "secrets are never plain": ({ layers, secrets }) =>
    verdict(
      true,
      layers.flatMap(({ steps }) => steps.flatMap(({ registration }) => plainSecrets(registration, secrets))),
      `${secrets.length} secrets looked for`,
    ),
  "every Debian node is Ready under its name, roles, labels and address": ({ environment, layers }) => {
    const home = layers[0]?.home;
    const wrong = environment.nodes.flatMap((node) => {
      const live = find<V1Node>(home, "Node", node.name);
      const ready =
        live?.status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ===
        true;
      const address = live?.status?.addresses?.find((entry) => entry.type === "InternalIP")?.address;
      const roles = node.roles.every((role) => live?.metadata?.labels?.[`node-role.kubernetes.io/${role}`] === "true");
      const labels = Object.entries(node.labels).every(([key, value]) => live?.metadata?.labels?.[key] === value);
      const disk =
        node.dataDisk === undefined || live?.metadata?.labels?.["node.longhorn.io/create-default-disk"] === "true";
      return ready && roles && labels && disk && address === node.cards[0]?.address
        ? []
        : [`${node.name}: ready ${ready}, address ${address}, roles ${roles}, labels ${labels && disk}`];
    });
    return verdict(home !== undefined, wrong, `${environment.nodes.length} nodes`);
  },
  "Rancher shows every Debian node active": ({ environment, layers }) =>
    verdict(
      layers[0] !== undefined,
      environment.nodes
        .filter(
          (node) => layers[0]?.home.rancher.nodes.find((other) => other.nodeName === node.name)?.state !== "active",
        )
        .map((node) => node.name),
      `${environment.nodes.length} nodes`,
    ),
  "members of etcd and the control plane joined one at a time": ({ layers, environment }) => {
    const alone = environment.nodes.filter((node) => node.roles.some((role) => role !== "worker"));
    const joins = (layers[0]?.steps ?? []).filter(({ registration }) =>
      alone.some((node) => registration.name === `${node.name}-membership-member`),
    );
    const ended = joins.map((step) => step.finishedAt).sort((a, b) => a - b);
    // A join takes at least a minute and a half in the pretend Rancher: two that ended closer than that ran side by side.
    return verdict(
      joins.length > 0,
      ended
        .slice(1)
        .filter((end, index) => end - (ended[index] ?? 0) < 60_000)
        .map(String),
      `${joins.length} joins`,
    );
  },
  "Longhorn's class is the only default": ({ layers, environment }) => {
    const home = layers[1]?.home;
    const defaults = all<V1StorageClass>(home, "StorageClass")
      .filter(isDefault)
      .map((item) => item.metadata?.name);
    return verdict(
      home !== undefined && defaults.includes("longhorn"),
      defaults.filter((name) => name !== "longhorn").map(String),
      `default: ${defaults.join(", ")}; old: ${environment.oldStorage.storageClass}`,
    );
  },
  "the ingress controller answers on its fixed address": ({ layers, environment }) => {
    const found = all<V1Service>(layers[1]?.home, "Service").filter(
      (service) => service.status?.loadBalancer?.ingress?.[0]?.ip === environment.ingress.address,
    );
    const local = found[0]?.spec?.externalTrafficPolicy;
    return verdict(
      found.length === 1 && local === environment.ingress.externalTrafficPolicy,
      [],
      `${environment.ingress.address}: ${found.length} Service, ${local}`,
    );
  },
  "every volume is copied, and none is called verified while it is written": ({ layers, environment }) => {
    const home = layers[2]?.home;
    const wrong = environment.volumes.flatMap((volume) => {
      const phase = ledgerPhase(home, volume.namespace, volume.claim);
      const mounted = all<V1Pod>(home, "Pod").some(
        (pod) =>
          pod.metadata?.namespace === volume.namespace &&
          pod.status?.phase === "Running" &&
          pod.spec?.volumes?.some((entry) => entry.persistentVolumeClaim?.claimName === volume.claim),
      );
      return phase === (mounted ? "warm" : "verified")
        ? []
        : [`${volume.namespace}/${volume.claim}: ${phase}${mounted ? ", mounted" : ""}`];
    });
    return verdict(home !== undefined, wrong, `${environment.volumes.length} volumes`);
  },
  "every new claim is bound on Longhorn at its size": ({ layers, environment }) => {
    const home = layers[2]?.home;
    const wrong = environment.volumes.filter((volume) => {
      const claim = all<V1PersistentVolumeClaim>(home, "PersistentVolumeClaim").find(
        (item) => item.metadata?.namespace === volume.namespace && item.metadata.name === newClaimName(volume),
      );
      return !(
        claim?.status?.phase === "Bound" &&
        claim.spec?.storageClassName === "longhorn" &&
        claim.spec.resources?.requests?.storage === volume.size
      );
    });
    return verdict(
      home !== undefined,
      wrong.map((volume) => `${volume.namespace}/${volume.claim}`),
      `${environment.volumes.length} claims`,
    );
  },
  "the old claims are untouched": ({ layers, environment, before }) =>
    verdict(
      layers[2] !== undefined,
      environment.volumes
        .filter(
          (volume) => !sameObject(before, layers[2]?.home, "PersistentVolumeClaim", volume.claim, volume.namespace),
        )
        .map((volume) => `${volume.namespace}/${volume.claim}`),
      `${environment.volumes.length} claims`,
    ),
  "up of every layer left the old machines as they were": ({ layers, before }) => {
    const after = layers.at(-1)?.home;
    const wrong = before.proxmox.vms.filter(
      (vm) => JSON.stringify(vm) !== JSON.stringify(after?.proxmox.vms.find((other) => other.vmId === vm.vmId)),
    );
    return verdict(
      layers.length === 4,
      wrong.map((vm) => `${vm.vmId} ${vm.name}`),
      `${before.proxmox.vms.length} machines`,
    );
  },
  "destroy is refused while a volume is not switched": ({ refusedDestroy, environment, layers }) => {
    if (!refusedDestroy) return verdict(false, [], "not reached");
    const nothingToRefuse = environment.volumes.length === 0 || environment.oldNodes.every((node) => node.retired);
    const home = layers.at(-1)?.home;
    const touched =
      home?.proxmox.vms
        .filter(
          (vm) =>
            JSON.stringify(vm) !==
            JSON.stringify(refusedDestroy.home.proxmox.vms.find((other) => other.vmId === vm.vmId)),
        )
        .map((vm) => vm.name) ?? [];
    const cordoned = all<V1Node>(refusedDestroy.home, "Node")
      .filter((node) => node.spec?.unschedulable)
      .map((node) => `${node.metadata?.name} cordoned`);
    return verdict(
      nothingToRefuse || (refusedDestroy.failed.length > 0 && refusedDestroy.deleted.length === 0),
      nothingToRefuse ? [] : [...touched, ...cordoned],
      `${refusedDestroy.failed.length} refused`,
    );
  },
  "every old node is gone from Proxmox, Rancher and Kubernetes": ({ destroy, environment }) => {
    const left = environment.oldNodes.filter(
      (node) =>
        destroy?.home.proxmox.vms.some((vm) => vm.vmId === node.vmId) ||
        destroy?.home.rancher.nodes.some((other) => other.nodeName === node.name) ||
        find(destroy?.home, "Node", node.name) !== undefined,
    );
    return verdict(
      destroy !== undefined && destroy.failed.length === 0,
      [...(destroy?.failed ?? []).map(([urn, message]) => `${urn}: ${message}`), ...left.map((node) => node.name)],
      `${environment.oldNodes.length} old nodes`,
    );
  },
  "no stranger's machine was touched": ({ before, destroy, layers, environment }) => {
    const ours = new Set([...environment.nodes, ...environment.oldNodes].map((node) => node.vmId));
    const after = (destroy ?? layers.at(-1))?.home;
    const wrong = before.proxmox.vms.filter(
      (vm) =>
        !ours.has(vm.vmId) &&
        JSON.stringify(vm) !== JSON.stringify(after?.proxmox.vms.find((other) => other.vmId === vm.vmId)),
    );
    return verdict(
      after !== undefined,
      wrong.map((vm) => `${vm.vmId} ${vm.name}`),
      `${before.proxmox.vms.filter((vm) => !ours.has(vm.vmId)).length} strangers`,
    );
  },
  "every workload still runs, on a Debian node": ({ destroy, environment }) => {
    const debian = new Set(environment.nodes.map((node) => node.name));
    const namespaces = new Set(environment.volumes.map((volume) => volume.namespace));
    const workloads = all<V1Pod>(destroy?.home, "Pod").filter(
      (pod) => namespaces.has(pod.metadata?.namespace ?? "") && pod.metadata?.ownerReferences !== undefined,
    );
    const wrong = workloads
      .filter((pod) => pod.status?.phase !== "Running" || !debian.has(pod.spec?.nodeName ?? ""))
      .map((pod) => `${pod.metadata?.namespace}/${pod.metadata?.name}: ${pod.status?.phase} on ${pod.spec?.nodeName}`);
    return verdict(
      destroy !== undefined && workloads.length >= environment.volumes.length,
      wrong,
      `${workloads.length} workloads`,
    );
  },
  "the etcd members that remain are odd and at least three": ({ destroy, environment }) => {
    const left = destroy?.home.rancher.nodes.filter((node) => node.roles.includes("etcd")).length ?? 0;
    return verdict(
      left >= 3 && left % 2 === 1 && left === environment.nodes.filter((node) => node.roles.includes("etcd")).length,
      [],
      `${left} members`,
    );
  },
};

/** Applies every check. */
export function judge(story: Story): readonly Check[] {
  return Object.entries(judges).map(([name, decide]) => ({ name, ...decide(story) }));
}

function verdict(holds: boolean, wrong: readonly string[], detail: string): { holds: boolean; detail: string } {
  return { holds: holds && wrong.length === 0, detail: wrong.length > 0 ? wrong.join("; ") : detail };
}

function early(steps: Story["layers"][number]["steps"]): string[] {
  const finished = new Map(steps.map((step) => [step.registration.urn, step.finishedAt]));
  return steps.flatMap((step) =>
    step.registration.dependencies
      .filter((urn) => (finished.get(urn) ?? 0) > step.startedAt)
      .map((urn) => `${step.registration.name} before ${urn}`),
  );
}

/** Names of inputs in which a secret stands outside a secret mark. */
function plainSecrets(registration: Registration, secrets: readonly string[]): string[] {
  const search = (value: unknown, path: string): string[] => {
    if (isSecret(value)) return [];
    if (typeof value === "string")
      return secrets.some((text) => value.includes(text)) ? [`${registration.name}.${path}`] : [];
    if (typeof value !== "object" || value === null) return [];
    return Object.entries(value).flatMap(([key, child]) => search(child, path === "" ? key : `${path}.${key}`));
  };
  // An explicit provider's own configuration travels to the engine as JSON text; the SDK marks it there.
  return search(registration.inputs, "");
}

function all<T>(home: HomeState | undefined, kind: string): T[] {
  return (home?.kubernetes.objects ?? []).filter(
    (object) => object.kind === kind && !object.apiVersion?.startsWith("longhorn.io/"),
  ) as T[];
}

function find<T>(home: HomeState | undefined, kind: string, name: string): T | undefined {
  return all<T & { metadata?: { name?: string } }>(home, kind).find((object) => object.metadata?.name === name);
}

function isDefault(item: V1StorageClass): boolean {
  return item.metadata?.annotations?.["storageclass.kubernetes.io/is-default-class"] === "true";
}

function sameObject(
  before: HomeState,
  after: HomeState | undefined,
  kind: string,
  name: string,
  namespace: string,
): boolean {
  const pick = (home: HomeState | undefined): string =>
    JSON.stringify(
      home?.kubernetes.objects.find(
        (object) => object.kind === kind && object.metadata?.name === name && object.metadata.namespace === namespace,
      ),
    );
  return pick(before) === pick(after);
}

/** The phase in a volume's ledger: one JSON document in one key of its ConfigMap. */
export function ledgerPhase(home: HomeState | undefined, namespace: string, claim: string): string {
  const ledger = find<V1ConfigMap>(home, "ConfigMap", `volume-${namespace}-${claim}`);
  const text = Object.values(ledger?.data ?? {})[0] ?? "{}";
  const parsed = JSON.parse(text) as { phase?: string };
  return parsed.phase ?? "none";
}
