import type { V1Node, V1Pod, V1Service, V1StorageClass } from "@kubernetes/client-node";
import type { Environment } from "../environment/schema";
import { newClaimName } from "../environment/volume-name";
import type { HomeState } from "./home/state";

/**
 * The home as a text picture: machines per Proxmox host, who is in the cluster and with which roles, where traffic comes in, where the volumes lie.
 */
export function topology(environment: Environment, home: HomeState): string {
  const lines: string[] = [];
  const objects = home.kubernetes.objects;
  const pods = objects.filter((object): object is V1Pod => object.kind === "Pod");
  const services = objects.filter((object): object is V1Service => object.kind === "Service");
  const classes = objects.filter((object): object is V1StorageClass => object.kind === "StorageClass");
  const balancer = services.find((service) => service.status?.loadBalancer?.ingress?.[0]?.ip !== undefined);
  const address = balancer?.status?.loadBalancer?.ingress?.[0]?.ip;

  lines.push("clients");
  lines.push(
    address === undefined
      ? "  │ node ports of every node"
      : `  │ ${address} (MetalLB, ${balancer?.spec?.externalTrafficPolicy === "Local" ? "client addresses kept" : "client addresses replaced"})`,
  );
  lines.push("  ▼");
  const hosts = [...new Set(home.proxmox.vms.map((vm) => vm.host))].sort();
  hosts.forEach((host) => {
    lines.push(`┌─ Proxmox ${host}`);
    for (const vm of home.proxmox.vms.filter((other) => other.host === host).sort((a, b) => a.vmId - b.vmId)) {
      const member = home.rancher.nodes.find((node) => node.vmId === vm.vmId);
      const node = objects.find(
        (object): object is V1Node =>
          object.kind === "Node" && object.apiVersion === "v1" && object.metadata?.name === member?.nodeName,
      );
      const here = pods.filter((pod) => pod.spec?.nodeName === member?.nodeName && pod.status?.phase === "Running");
      const workloads = here.filter((pod) => pod.spec?.volumes?.some((volume) => volume.persistentVolumeClaim)).length;
      const ingress = here.some((pod) => pod.metadata?.name?.startsWith("ingress-controller"));
      const facts = member
        ? [
            member.roles.join("+"),
            node?.status?.conditions?.[0]?.status === "True" ? "Ready" : "not Ready",
            ...(node?.spec?.unschedulable ? ["cordoned"] : []),
            ...(ingress ? ["ingress"] : []),
            ...(node?.metadata?.labels?.["node.longhorn.io/create-default-disk"] === "true" ? ["Longhorn disk"] : []),
            ...(workloads > 0 ? [`${workloads} stateful`] : []),
          ]
        : ["not in the cluster"];
      lines.push(
        `│  ${vm.status === "running" ? "●" : "○"} ${String(vm.vmId).padEnd(5)}${vm.name.padEnd(16)}${facts.join(", ")}`,
      );
    }
    lines.push("└─");
  });
  const defaults = classes
    .filter((item) => item.metadata?.annotations?.["storageclass.kubernetes.io/is-default-class"] === "true")
    .map((item) => item.metadata?.name);
  lines.push(
    `storage classes: ${classes.map((item) => `${item.metadata?.name}${defaults.includes(item.metadata?.name) ? " (default)" : ""}`).join(", ")}`,
  );
  for (const volume of environment.volumes) {
    const newClaim = newClaimName(volume);
    const mounted = pods.some(
      (pod) =>
        pod.metadata?.namespace === volume.namespace &&
        pod.status?.phase === "Running" &&
        pod.spec?.volumes?.some((entry) => entry.persistentVolumeClaim?.claimName === newClaim),
    );
    const copied = objects.some(
      (object) =>
        object.kind === "PersistentVolumeClaim" &&
        object.metadata?.name === newClaim &&
        object.metadata.namespace === volume.namespace,
    );
    const where = mounted
      ? `${newClaim} on longhorn (old kept)`
      : copied
        ? `${environment.oldStorage.storageClass}, copy on longhorn`
        : environment.oldStorage.storageClass;
    lines.push(`  ${`${volume.namespace}/${volume.claim}`.padEnd(40)}${where}`);
  }
  return lines.join("\n");
}
