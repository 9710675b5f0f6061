import type { V1Node } from "@kubernetes/client-node";
import type { Clients, Role } from "../clients";
import { patiently } from "../cluster/failure";
import { isAnotherMachines, systemUuid } from "../cluster/system-uuid";
import { nodes } from "../kinds";
import { NotYet, waitFor } from "../poll";
import { Refusal } from "../refusal";
import type { Membership, MembershipInput } from "./membership-input";

/** The keys of the labels that we set, so that one taken out of the file is also taken off the node. */
const labelsAnnotation = "home-cluster/labels";
/** Likewise of the annotations. */
const annotationsAnnotation = "home-cluster/annotations";

type Labels = Readonly<Record<string, string>>;

/** rke1 writes `controlplane`, rke2 and k3s write `control-plane`. */
const roleLabels: Readonly<Record<Role, readonly string[]>> = {
  controlplane: ["node-role.kubernetes.io/controlplane", "node-role.kubernetes.io/control-plane"],
  etcd: ["node-role.kubernetes.io/etcd"],
  worker: ["node-role.kubernetes.io/worker"],
};

/** Seconds for images to be pulled and a control plane to come up on a slow line. */
const readySeconds = 1800;
/** Seconds for Rancher to call a Ready node active. */
const activeSeconds = 900;

/**
 * Refuses a Kubernetes node of our name that is another machine: taking its name over would take its place, volumes and all. That may be the machine that had the
 * name, and the address, before: then it has to leave first.
 */
export function refuseOtherMachine(node: V1Node, input: MembershipInput): void {
  const address = internalAddress(node);
  if (address !== undefined && address !== input.address) {
    throw new Refusal({
      what: `${input.node}: the cluster has another machine under this name, nothing was touched`,
      why: `its InternalIP is ${address}, that of ${input.node} in the environment file is ${input.address}`,
      next: `give the new node another name, or set its address back; who it is: \`kubectl get node ${input.node} -o wide\``,
    });
  }
  if (isAnotherMachines(node, input.vm.uuid)) {
    const { host, vmId, mac } = input.vm;
    const { node: name, roles } = input;
    const before = { node: name, roles, address: input.address, protect: false };
    const request = { ...before, vm: { host, vmId, mac, uuid: systemUuid(node) } };
    throw new Refusal({
      what: `${name}: the cluster still has the machine that had this name before, nothing was touched`,
      why: `its node is that of the machine ${systemUuid(node)}, and ${vmId} on ${host} is ${input.vm.uuid}`,
      next: `let the old one leave, \`echo '${JSON.stringify(request)}' | npm run -s operation -- <environment> leave\`, then \`pulumi up --refresh\``,
    });
  }
}

/**
 * Refuses roles other than those the node joined with: neither RKE nor Rancher can change them on a member. While it is `joining`, a role may still be missing:
 * Rancher labels workers some time after they registered.
 */
export function refuseOtherRoles(node: V1Node, input: MembershipInput, joining = false): void {
  const actual = rolesOf(node);
  const fits = joining ? actual.every((role) => input.roles.includes(role)) : sameRoles(actual, input.roles);
  if (fits) return;
  throw new Refusal({
    what: `${input.node}: roles cannot change while it is a member, nothing was touched`,
    why: `it is ${actual.join(", ") || "without a role"} in the cluster and ${[...input.roles].sort().join(", ")} in the environment file`,
    next: `set its roles back; to really change them, take the node out (\`protect: false\`, \`pulumi up\`, remove the entry, \`pulumi up\`) and add it again`,
  });
}

/** Sets the declared labels and annotations, and removes those that an earlier input had set. What is anybody else's stays. */
export async function convergeLabels(
  { kubernetes, log }: Clients,
  input: MembershipInput,
  node: V1Node,
): Promise<void> {
  const { labels = {}, annotations = {} } = node.metadata ?? {};
  const ofLabels = difference(labels, input.labels, annotations[labelsAnnotation]);
  const ofAnnotations = difference(annotations, input.annotations ?? {}, annotations[annotationsAnnotation]);
  const records = {
    ...record(labelsAnnotation, ofLabels, annotations),
    // Nodes without annotations of ours, which are most of them, carry no record of none.
    ...(ofAnnotations.keys === "" && annotations[annotationsAnnotation] === undefined
      ? {}
      : record(annotationsAnnotation, ofAnnotations, annotations)),
  };
  const changed = { ...ofAnnotations.changes, ...records };
  if (Object.keys(ofLabels.changes).length === 0 && Object.keys(changed).length === 0) return;
  await kubernetes.patch(nodes, input.node, { metadata: { labels: ofLabels.changes, annotations: changed } });
  for (const [kind, { changes }] of [
    ["label", ofLabels],
    ["annotation", ofAnnotations],
  ] as const) {
    for (const [key, value] of Object.entries(changes)) {
      log(`${input.node}: ${kind} ${value === null ? `${key} removed` : `${key}=${value}`}`);
    }
  }
}

/** What has to change, null for what goes, and the keys that are ours from then on. */
interface Difference {
  readonly changes: Readonly<Record<string, string | null>>;
  readonly keys: string;
}

function difference(current: Labels, declared: Labels, recorded = ""): Difference {
  const keys = Object.keys(declared).sort();
  const removed = recorded.split(",").filter((key) => key !== "" && !keys.includes(key) && key in current);
  const differing = keys.filter((key) => current[key] !== declared[key]);
  return {
    changes: Object.fromEntries([
      ...differing.map((key) => [key, declared[key] ?? null] as const),
      ...removed.map((key) => [key, null] as const),
    ]),
    keys: keys.join(","),
  };
}

function record(key: string, { keys }: Difference, annotations: Labels): Labels {
  return annotations[key] === keys ? {} : { [key]: keys };
}

/** Waits until the node is what the file says: Ready under its name, with its roles, labels and address, and active in Rancher. */
export async function waitUntilMember(clients: Clients, input: MembershipInput): Promise<Membership> {
  const { clock, kubernetes, rancher } = clients;
  const node = await waitFor(
    clock,
    {
      what: `${input.node}: Ready in the cluster with its roles and address`,
      timeoutSeconds: readySeconds,
      next: `see what its agent says, \`ssh debian@${input.address} ${agentLog(input)}\`, then run \`pulumi up --refresh\` again: joining goes on`,
    },
    async () => {
      // Beside a control plane that changes, its API may fall silent for a while.
      const found = await patiently(() => kubernetes.read(nodes, input.node))();
      if (!found) throw new NotYet("no Kubernetes node of this name");
      refuseOtherMachine(found, input);
      const lacking = whatLacks(found, input);
      if (lacking !== undefined) throw new NotYet(lacking);
      return found;
    },
  );
  await convergeLabels(clients, input, node);
  await waitFor(
    clock,
    {
      what: `${input.node}: active in Rancher`,
      timeoutSeconds: activeSeconds,
      next: `see what Rancher says of it: \`kubectl describe node ${input.node}\` and its page in Rancher, then run \`pulumi up --refresh\` again`,
    },
    patiently(async () => {
      const known = (await rancher.nodes()).find((other) => other.nodeName === input.node);
      if (known?.state !== "active") throw new NotYet(known ? `Rancher calls it ${known.state}` : "not in Rancher");
      return known;
    }),
  );
  return { node: input.node, address: input.address };
}

/** The first thing in which the live node is not yet as declared. */
function whatLacks(node: V1Node, input: MembershipInput): string | undefined {
  const ready = node.status?.conditions?.find((condition) => condition.type === "Ready");
  if (ready?.status !== "True") return `not Ready: ${ready?.message ?? ready?.status ?? "no condition yet"}`;
  if (internalAddress(node) === undefined) return "no InternalIP yet";
  const roles = rolesOf(node);
  if (!sameRoles(roles, input.roles)) return `roles are ${roles.join(", ") || "not there"}`;
  return undefined;
}

function internalAddress(node: V1Node): string | undefined {
  return node.status?.addresses?.find((address) => address.type === "InternalIP")?.address;
}

function rolesOf(node: V1Node): Role[] {
  const labels = node.metadata?.labels ?? {};
  return (["controlplane", "etcd", "worker"] as const).filter((role) => roleLabels[role].some((key) => key in labels));
}

function sameRoles(one: readonly Role[], other: readonly Role[]): boolean {
  return [...new Set(one)].sort().join() === [...new Set(other)].sort().join();
}

function agentLog({ distribution }: MembershipInput): string {
  return distribution === "rke1"
    ? "sudo docker logs --tail 50 home-cluster-join"
    : "sudo journalctl -n 50 -u rancher-system-agent";
}
