import assert from "node:assert/strict";
import { AddressPools } from "../../../../components/services/address-pools";
import { ingressTarget } from "../../../../components/services/ingress-target";
import type { Environment } from "../../../../environment/schema";
import type { Recording } from "../../../../rehearsal/record";
import { environment } from "../../../support/environment";
import { lbHome, recordOn, ways, type ProgramOptions } from "../../../support/load-balancer";
import { names, resources } from "../../../support/services";

async function up(file: Environment, options: ProgramOptions = {}): Promise<Recording> {
  const args = {
    pools: file.loadBalancer.pools,
    nodes: file.nodes,
    ingressNamespace: ingressTarget(file.ingress, file.cluster.distribution).namespace,
    namespace: "metallb-system",
  };
  return recordOn(await lbHome(file), (opts) => void new AddressPools("pools", args, opts), options);
}

const custom = (name: string, kind: string, spec: object, more: object = {}) => ({
  name: `pools-${name}${kind === "L2Advertisement" ? "-announcement" : ""}`,
  type: `kubernetes:metallb.io/v1beta1:${kind}`,
  parent: "pools",
  provider: "cluster",
  inputs: { apiVersion: "metallb.io/v1beta1", kind, metadata: { name, namespace: "metallb-system" }, spec },
  ...more,
});
const onNodes = (...nodes: string[]) => [
  { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: nodes }] },
];
const only = (namespace: string) => ({
  autoAssign: false,
  serviceAllocation: {
    namespaces: [namespace],
    serviceSelectors: [{ matchLabels: { "home-cluster/address": "ingress" } }],
  },
});

/** A second pool, for everybody. */
const two = () =>
  environment("home", (file) => {
    file.loadBalancer.pools.push({
      name: "web",
      network: "servers",
      addresses: "192.168.10.60-192.168.10.69",
      allocation: "automatic",
    });
  });

describe("AddressPools (mock runtime: does not prove that MetalLB's webhook admits them)", () => {
  it("home: the file's pool, for the ingress controller alone, announced by the nodes with a card in its network", async () => {
    assert.deepEqual(resources(await up(environment("home"))), [
      custom("default", "IPAddressPool", { addresses: ["192.168.40.2-192.168.40.5"], ...only("ingress-nginx") }),
      custom(
        "default",
        "L2Advertisement",
        { ipAddressPools: ["default"], nodeSelectors: onNodes("debian-1", "debian-2", "debian-3") },
        { after: ["pools-default"] },
      ),
    ]);
  });

  it("lab: the node without a card in the network does not announce, and the controller is in kube-system", async () => {
    assert.deepEqual(resources(await up(environment("lab"))), [
      custom("default", "IPAddressPool", { addresses: ["172.20.20.2-172.20.20.5"], ...only("kube-system") }),
      custom(
        "default",
        "L2Advertisement",
        { ipAddressPools: ["default"], nodeSelectors: onNodes("lab-debian-1", "lab-debian-2") },
        { after: ["pools-default"] },
      ),
    ]);
  });

  it("an automatic pool is for any Service, and each pool has an announcement of its own", async () => {
    const found = resources(await up(two()));
    assert.deepEqual(
      found.map(({ name }) => name),
      ["pools-default", "pools-default-announcement", "pools-web", "pools-web-announcement"],
    );
    assert.deepEqual(found.slice(2), [
      custom("web", "IPAddressPool", { addresses: ["192.168.10.60-192.168.10.69"], autoAssign: true }),
      custom(
        "web",
        "L2Advertisement",
        { ipAddressPools: ["web"], nodeSelectors: onNodes("debian-1", "debian-2", "debian-3") },
        { after: ["pools-web"] },
      ),
    ]);
  });

  it("registers the same in preview and update, for every distribution", async () => {
    for (const way of Object.values(ways)) {
      const file = way();
      assert.deepEqual(resources(await up(file, { preview: true })), resources(await up(file)));
    }
  });

  it("without its pool an announcement is not registered, and other pools are", async () => {
    assert.deepEqual(names(await up(two(), { fail: "pools-default" })), [
      "pools",
      "pools-default",
      "pools-web",
      "pools-web-announcement",
    ]);
  });
});
