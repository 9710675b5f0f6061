import type { V1Service } from "@kubernetes/client-node";
import type { KubernetesApi } from "../clients";
import { pods, services } from "../kinds";
import { Refusal } from "../refusal";
import { refuseHeldPorts } from "./held-ports";
import { nameOf, type IngressInput } from "./ingress-input";
import { isOurs } from "./names";
import { readRecord, recordMissing } from "./service-record";

/** Throws for everything about Services, this one and the others, that would make the update fail half-way or the address unreachable. */
export async function refuseConflicts(kubernetes: KubernetesApi, input: IngressInput): Promise<V1Service | undefined> {
  const live = await kubernetes.read(services, input.service, input.namespace);
  if (input.origin !== "chart") await refuseOrigin(kubernetes, input, live);
  if (live) refuseFields(input, live);
  const others = (await kubernetes.list(services)).filter(
    ({ metadata }) => metadata?.name !== input.service || metadata.namespace !== input.namespace,
  );
  for (const other of others) refuseOther(input, other);
  await refuseServiceLb(kubernetes, input);
  await refuseHeldPorts(kubernetes, input, live);
  return live;
}

/** The engine says of these `provided port is already allocated`, or takes somebody's Service for its own and later deletes it. */
async function refuseOrigin(kubernetes: KubernetesApi, input: IngressInput, live: V1Service | undefined) {
  const record = await readRecord(kubernetes, input.namespace);
  if (input.origin === "existing") {
    if (!live) {
      throw new Refusal({
        what: `Service ${nameOf(input)}: does not exist`,
        why: "the environment file says that it does and is taken over (ingress.service.existing)",
        next: "set ingress.service.existing to false, so that it is created, or correct its name",
      });
    }
    if (isOurs(live) && record?.original.uid !== live.metadata?.uid)
      throw recordMissing(input.namespace, input.service);
    return;
  }
  if (!live) return;
  if (!isOurs(live)) {
    throw new Refusal({
      what: `Service ${nameOf(input)}: exists, and this program did not make it`,
      why: "the environment file says that it is created (ingress.service.existing: false)",
      next: "set ingress.service.existing to true, so that it is taken over and put back on leaving",
    });
  }
  if (record?.original.uid === live.metadata?.uid) {
    throw new Refusal({
      what: `Service ${nameOf(input)}: was taken over, and the file now says that it was created`,
      why: "the stack would delete somebody else's Service on leaving instead of putting it back",
      next: "set ingress.service.existing to true again",
    });
  }
}

/** What the live Service has that cannot be changed, or that MetalLB does not serve. */
function refuseFields(input: IngressInput, { spec }: V1Service): void {
  const what = `Service ${nameOf(input)}`;
  const port = spec?.healthCheckNodePort;
  if (input.healthCheckNodePort !== undefined && port && port !== input.healthCheckNodePort) {
    throw new Refusal({
      what: `${what}: its health check port is ${port}, declared is ${input.healthCheckNodePort}`,
      why: "Kubernetes never changes the port once it is set",
      next: `set ingress.healthCheckNodePort to ${port}`,
    });
  }
  if (spec?.loadBalancerClass) {
    throw new Refusal({
      what: `${what}: has the load balancer class ${spec.loadBalancerClass}`,
      why: "MetalLB serves Services without a class here, and Kubernetes does not change the class of a LoadBalancer",
      next: `\`kubectl -n ${input.namespace} patch service ${input.service} --type merge -p '{"spec":{"type":"NodePort","loadBalancerClass":null}}'\`, which ends what its class announces`,
    });
  }
  if (spec?.loadBalancerIP) {
    throw new Refusal({
      what: `${what}: has spec.loadBalancerIP ${spec.loadBalancerIP}`,
      why: "MetalLB gives no address to a Service that has both that field and its annotation",
      next: `\`kubectl -n ${input.namespace} patch service ${input.service} --type merge -p '{"spec":{"loadBalancerIP":null}}'\``,
    });
  }
}

/** Another Service that has what this one is to get. */
function refuseOther(input: IngressInput, { metadata, spec, status }: V1Service): void {
  const who = `Service ${metadata?.namespace}/${metadata?.name}`;
  if (status?.loadBalancer?.ingress?.some(({ ip }) => ip === input.address)) {
    throw new Refusal({
      what: `${who}: has the address ${input.address}`,
      why: `it is the ingress controller's, ${nameOf(input)}, and two Services cannot have it`,
      next: `\`kubectl -n ${metadata?.namespace} get service ${metadata?.name} -o yaml\`, and give it another address or ingress.address`,
    });
  }
  const taken = [...(spec?.ports ?? []).map(({ nodePort }) => nodePort), spec?.healthCheckNodePort];
  const wanted = [input.nodePorts.http, input.nodePorts.https, input.healthCheckNodePort];
  const both = wanted.find((port) => port !== undefined && taken.includes(port));
  if (both === undefined) return;
  throw new Refusal({
    what: `${who}: has the node port ${both}`,
    why: `it is declared for ${nameOf(input)} (ingress.nodePorts, ingress.healthCheckNodePort)`,
    next: "declare a free port of 30000-32767, or give that Service another one",
  });
}

/**
 * K3s's own load balancer answers for every Service of type LoadBalancer, on the nodes' addresses, and writes its own into the status again and
 * again.
 */
async function refuseServiceLb(kubernetes: KubernetesApi, input: IngressInput): Promise<void> {
  const found = await kubernetes.list(pods, { labels: { "svccontroller.k3s.cattle.io/svcname": input.service } });
  if (found.length === 0) return;
  throw new Refusal({
    what: `Service ${nameOf(input)}: ServiceLB answers for it (pod ${found[0]?.metadata?.namespace}/${found[0]?.metadata?.name})`,
    why: "it and MetalLB would both write the Service's address",
    next: "start the servers with `disable: servicelb` (k3s) or without `enable-servicelb` (rke2), then run it again",
  });
}
