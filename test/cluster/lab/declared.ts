import type { V1Service } from "@kubernetes/client-node";
import { NodeProvisioning } from "../../../components/nodes/node-provisioning";
import { AddressPools } from "../../../components/services/address-pools";
import { IngressService } from "../../../components/services/ingress-service";
import { ingressAnnouncers, ingressTarget } from "../../../components/services/ingress-target";
import type { Environment, NodeSpec } from "../../../environment/schema";
import type { StoredObject } from "../../../operations/clients";
import { provision } from "../../../operations/nodes/provision";
import { reveal } from "../../../rehearsal/record";
import { lbHome, recordOn } from "../../support/load-balancer";
import { homeWithMachine, run, ways } from "../../support/nodes";
import { kubernetesAccess, resources } from "../../support/services";
import { metallbNamespace } from "./metallb";

/** What the program declares for MetalLB's pools and the ingress controller's address, as the API server gets it. */
export interface Declared {
  /** Pools and their announcements, in the order of their dependencies. */
  readonly pools: readonly StoredObject[];
  readonly service: V1Service;
}

/** Out of a recording of the components. */
export async function declaredFor(file: Environment): Promise<Declared> {
  const target = ingressTarget(file.ingress, file.cluster.distribution);
  const recording = await recordOn(await lbHome(file), (opts) => {
    const { namespace: ingressNamespace } = target;
    const { pools } = file.loadBalancer;
    const declared = new AddressPools(
      "pools",
      { pools, nodes: file.nodes, ingressNamespace, namespace: metallbNamespace },
      opts,
    );
    const args = { ingress: file.ingress, target, announcers: ingressAnnouncers(file), access: kubernetesAccess };
    new IngressService("ingress", args, { ...opts, dependsOn: declared });
  });
  const inputs = (type: string): StoredObject[] =>
    resources(recording).flatMap((one) => (one.type.startsWith(type) ? [one.inputs as StoredObject] : []));
  const [service] = inputs("kubernetes:core/v1:Service");
  if (!service) throw new Error("the program declares no Service here");
  return { pools: inputs("kubernetes:metallb.io/"), service: { ...service, apiVersion: "v1", kind: "Service" } };
}

/** What provisioning hands to its script on a node: as the component declares it, and as the operation puts it. */
export async function provisioningSettings(
  { networks, cluster }: Environment,
  node: NodeSpec,
): Promise<Readonly<Record<string, string>>> {
  const { distribution } = cluster;
  const args = { node, networks, distribution, machine: "machine", access: ways() };
  const recording = await run((opts) => void new NodeProvisioning("node", args, opts));
  const declared = recording.registrations.find(({ name }) => name === "node-guest");
  const { input } = JSON.parse(String(reveal(declared?.inputs.stdin))) as { input: unknown };
  const { clients, runs } = homeWithMachine();
  // Of the one machine that the pretend home has.
  const there = { address: "192.168.10.21", vm: { host: "pve", vmId: 201 } };
  await provision.run({ ...provision.schema.parse(input), ...there }, clients);
  return runs[0]?.settings ?? {};
}
