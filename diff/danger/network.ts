import { isMap } from "../values";
import { at, each, goes, maps, type Rule, type Sketch, type Subject } from "./rule";

function service(annotations: object, spec: object = {}): Sketch {
  return {
    type: "kubernetes:core/v1:Service",
    name: "ingress-service",
    inputs: {
      metadata: { name: "ingress-nginx", namespace: "ingress-nginx", annotations },
      spec: { type: "LoadBalancer", externalTrafficPolicy: "Local", ...spec },
    },
  };
}

function pool(spec: object): Sketch {
  return {
    type: "kubernetes:metallb.io/v1beta1:IPAddressPool",
    name: "pool",
    inputs: { metadata: { name: "default" }, spec },
  };
}

function announcement(nodes: readonly string[]): Sketch {
  return {
    type: "kubernetes:metallb.io/v1beta1:L2Advertisement",
    name: "announcement",
    inputs: { metadata: { name: "default" }, spec: { nodeSelectors: nodes } },
  };
}

function machine(address: string, bridge = "vmbr0"): Sketch {
  return {
    type: "proxmoxve:index/vmLegacy:VmLegacy",
    name: "vm",
    inputs: {
      name: "debian-1",
      networkDevices: [{ bridge, macAddress: "BC:24:11:00:10:21" }],
      initialization: { ipConfigs: [{ ipv4: { address } }] },
    },
  };
}

const ingressAnswers = (address: string): Sketch => ({
  type: "command:local:Command",
  name: "ingress-answers",
  inputs: { create: "operations/run ingress-answers", stdin: JSON.stringify({ input: { address } }) },
});

/** The first of these paths that was there and is another one now. */
function changed({ before, after }: Subject, paths: readonly string[]): string | undefined {
  if (!before || !after) return undefined;
  return paths.find(
    (path) => at(before, path) !== undefined && JSON.stringify(at(before, path)) !== JSON.stringify(at(after, path)),
  );
}

function addressAnnotations(inputs: Subject["before"]): string {
  const annotations = at(inputs, "metadata.annotations");
  const own = isMap(annotations) ? Object.entries(annotations).filter(([key]) => key.startsWith("metallb.")) : [];
  return JSON.stringify(own.sort());
}

/** Addresses under traffic. */
export const networkRules: readonly Rule[] = [
  {
    name: "ingress-address",
    reason: "clients reach the ingress controller at its address: DNS and the router know the old one",
    find: each(/:core\/v1:Service$|^command:local:Command$/, (subject) => {
      const { before, after, type } = subject;
      if (type.startsWith("command:")) {
        const path = "stdin.input.address";
        const isAnswers = String(before?.create).endsWith(" ingress-answers");
        return isAnswers && changed(subject, [path])
          ? `the ingress controller's address is ${String(at(after, path))}, not ${String(at(before, path))}`
          : undefined;
      }
      if (goes(subject) && at(before, "spec.type") === "LoadBalancer" && subject.optionsBefore?.retainOnDelete !== true)
        return `the Service ${String(at(before, "metadata.name"))} goes, and its address with it`;
      return before && after && addressAnnotations(before) !== addressAnnotations(after)
        ? `the Service ${String(at(before, "metadata.name"))} asks for another address`
        : undefined;
    }),
    good: [
      {
        title: "the same address",
        before: [service({ "metallb.io/loadBalancerIPs": "1" })],
        after: [service({ "metallb.io/loadBalancerIPs": "1", x: "y" })],
      },
    ],
    bad: [
      {
        title: "another address",
        before: [service({ "metallb.io/loadBalancerIPs": "1" })],
        after: [service({ "metallb.io/loadBalancerIPs": "2" })],
      },
      { title: "no Service", before: [service({})], after: [] },
      { title: "another one to answer at", before: [ingressAnswers("1")], after: [ingressAnswers("2")] },
    ],
  },
  {
    name: "service-traffic",
    reason: "ports, type and traffic policy decide whether clients get through, and which address the workload sees",
    find: each(/:core\/v1:Service$/, (subject) => {
      const path = changed(subject, [
        "spec.type",
        "spec.externalTrafficPolicy",
        "spec.healthCheckNodePort",
        "spec.ports",
        "spec.selector",
      ]);
      return path === undefined
        ? undefined
        : `${path} of the Service ${String(at(subject.before, "metadata.name"))} is another one`;
    }),
    good: [{ title: "a label", before: [service({})], after: [service({ a: "b" })] }],
    bad: [
      { title: "the policy", before: [service({})], after: [service({}, { externalTrafficPolicy: "Cluster" })] },
      { title: "the type", before: [service({})], after: [service({}, { type: "NodePort" })] },
    ],
  },
  {
    name: "pool-changed",
    reason: "a Service whose address is not in the pool any more loses it",
    find: each(/:IPAddressPool$/, (subject) => {
      if (goes(subject)) return `the pool ${String(at(subject.before, "metadata.name"))} goes`;
      return changed(subject, ["spec.addresses"])
        ? `the pool ${String(at(subject.before, "metadata.name"))} has other addresses`
        : undefined;
    }),
    good: [{ title: "a new pool", before: [], after: [pool({ addresses: ["1-2"] })] }],
    bad: [
      { title: "other addresses", before: [pool({ addresses: ["1-2"] })], after: [pool({ addresses: ["3-4"] })] },
      { title: "gone", before: [pool({ addresses: ["1-2"] })], after: [] },
    ],
  },
  {
    name: "pool-opened",
    reason: "any Service may take an address that was kept for the ingress controller",
    find: each(/:IPAddressPool$/, ({ before, after }) =>
      before &&
      after &&
      at(before, "spec.serviceAllocation") !== undefined &&
      at(after, "spec.serviceAllocation") === undefined
        ? `the pool ${String(at(before, "metadata.name"))} is open to every Service`
        : undefined,
    ),
    good: [
      {
        title: "closed",
        before: [pool({ autoAssign: true })],
        after: [pool({ serviceAllocation: { namespaces: ["a"] } })],
      },
    ],
    bad: [
      {
        title: "opened",
        before: [pool({ serviceAllocation: { namespaces: ["a"] } })],
        after: [pool({ autoAssign: true })],
      },
    ],
  },
  {
    name: "announcement-changed",
    reason: "an address that no node announces is not reached; another node means a moment without it",
    find: each(/:L2Advertisement$/, (subject) =>
      goes(subject) || changed(subject, ["spec.nodeSelectors", "spec.ipAddressPools"])
        ? "other nodes announce the addresses, or none"
        : undefined,
    ),
    good: [{ title: "new", before: [], after: [announcement(["a"])] }],
    bad: [
      { title: "other nodes", before: [announcement(["a"])], after: [announcement(["b"])] },
      { title: "gone", before: [announcement(["a"])], after: [] },
    ],
  },
  {
    name: "node-address",
    reason: "the cluster knows a node by its address; the machine takes a new one at its next start",
    find: each(/:VmLegacy$/, (subject) => {
      const cards = (inputs: Subject["before"]): string =>
        JSON.stringify(
          maps(at(inputs, "networkDevices")).map(({ bridge, vlanId, macAddress }) => [bridge, vlanId, macAddress]),
        );
      if (!subject.before || !subject.after) return undefined;
      if (changed(subject, ["initialization.ipConfigs"]))
        return `${String(at(subject.after, "name"))} gets another address or gateway`;
      return cards(subject.before) !== cards(subject.after)
        ? `${String(at(subject.after, "name"))} is on another network, or its card is another one`
        : undefined;
    }),
    good: [{ title: "the same", before: [machine("10.0.0.1/24")], after: [machine("10.0.0.1/24")] }],
    bad: [
      { title: "another address", before: [machine("10.0.0.1/24")], after: [machine("10.0.0.2/24")] },
      { title: "another bridge", before: [machine("10.0.0.1/24")], after: [machine("10.0.0.1/24", "vmbr1")] },
    ],
  },
];
