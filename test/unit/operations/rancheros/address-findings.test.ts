import assert from "node:assert/strict";
import type { V1Ingress, V1PersistentVolume, V1Service } from "@kubernetes/client-node";
import { checkRetirement } from "../../../../operations/rancheros/check-retirement";
import { retireOldNode } from "../../../../operations/rancheros/retire-old-node";
import {
  add,
  counted,
  find,
  migratedHome,
  refusalOf,
  standing,
  type MigratedHome,
} from "../../../support/migrated-home";

const address = "192.168.10.11";

function nfs(name: string, spec: V1PersistentVolume["spec"]): V1PersistentVolume {
  return { apiVersion: "v1", kind: "PersistentVolume", metadata: { name }, spec };
}

const site = (...hosts: string[]): V1Ingress => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "Ingress",
  metadata: { name: "web", namespace: "apps" },
  spec: { rules: hosts.map((host) => ({ host })) },
});

/** What a change to the pretend home, or to what was recorded, makes the retirement of the first old node say. */
async function said(change: (migrated: MigratedHome) => void): Promise<string> {
  const migrated = await migratedHome();
  change(migrated);
  const [input] = migrated.inputs;
  assert.ok(input);
  const before = structuredClone(migrated.home);
  const { what, why } = await refusalOf(retireOldNode.run(input, migrated.clients));
  assert.equal(what, "rancheros-1: not retired, nothing was touched");
  assert.deepEqual(migrated.home, before);
  return why.split("\n").slice(1).join("\n").trim();
}

describe("what hangs on an old node's address (names as one machine resolves them: says nothing of forwards in a router, nor of clients that have the address by heart)", () => {
  const cases: [string, (migrated: MigratedHome) => void, RegExp][] = [
    [
      "the kubeconfig that this very program uses",
      ({ home }) => void (home.network.urls.kubernetes = `https://${address}:6443`),
      /^- rancheros-1: the kubeconfig's server \(https:\/\/192\.168\.10\.11:6443\) leads to its address 192\.168\.10\.11: make a kubeconfig that leads to a node that stays or to Rancher, `pulumi config set --secret kubeconfig`, then `pulumi up -s home-rancheros`$/,
    ],
    [
      "that kubeconfig by a name",
      ({ home }) => {
        home.network.urls.kubernetes = "https://api.home.example.org:6443";
        home.network.names["api.home.example.org"] = ["192.168.10.21", address];
      },
      /^- rancheros-1: the kubeconfig's server \(https:\/\/api\.home\.example\.org:6443\) leads to its address/,
    ],
    [
      "Rancher",
      ({ home }) => void (home.network.names[new URL(home.network.urls.rancher).hostname] = [address]),
      /^- rancheros-1: the kubeconfig's server .*\n\s*- rancheros-1: Rancher \(https:\/\/[^)]+\) leads to its address 192\.168\.10\.11: move Rancher, or point its name at what stays/,
    ],
    [
      "the NFS server of a volume",
      ({ home }) =>
        add(home, nfs("pvc-1", { nfs: { server: address, path: "/" }, claimRef: { namespace: "apps", name: "data" } })),
      /^- rancheros-1: the NFS server of volume pvc-1 of claim apps\/data \(192\.168\.10\.11\) leads to its address .*: its data is on that machine: move it elsewhere/,
    ],
    [
      "that server by a name, behind a CSI driver",
      ({ home }) => {
        home.network.names["nfs.home"] = [address];
        const csi = { driver: "nfs.csi.k8s.io", volumeHandle: "1", volumeAttributes: { server: "nfs.home" } };
        add(home, nfs("pvc-2", { csi }));
      },
      /^- rancheros-1: the NFS server of volume pvc-2 \(nfs\.home\) leads to its address/,
    ],
    [
      "the name of an Ingress",
      ({ home }) => {
        home.network.names["www.example.org"] = [address];
        add(home, site("*.example.org", "www.example.org", "other.example.org"));
      },
      /^- rancheros-1: the name www\.example\.org of an Ingress leads to its address 192\.168\.10\.11: point it, or the router's forward behind it, at the ingress address 192\.168\.40\.5$/,
    ],
    [
      "a Service's external address",
      ({ home }) =>
        add(home, {
          apiVersion: "v1",
          kind: "Service",
          metadata: { name: "dns", namespace: "apps" },
          spec: { externalIPs: [address] },
        } as V1Service),
      /^- rancheros-1: Service apps\/dns \(externalIPs\) leads to its address/,
    ],
    [
      "what the file relies on",
      ({ inputs }) => void inputs[0]?.hosts.push({ what: "a DNS server of network servers", host: address }),
      /^- rancheros-1: a DNS server of network servers in the environment file \(192\.168\.10\.11\) leads to its address/,
    ],
    [
      "an ingress controller without an address of its own",
      ({ home }) => void (find<V1Service>(home, "Service", "ingress", "ingress").status = {}),
      /^- ingress: no Service of this program has the address 192\.168\.40\.5: `pulumi up` of the services layer/,
    ],
    [
      "an address that somebody else's Service has",
      ({ home }) => void delete find(home, "Service", "ingress", "ingress").metadata?.labels,
      /^- ingress: no Service of this program has the address/,
    ],
    [
      "an address for which an old node answers, this one or another",
      ({ home }) => {
        const found = find<{ status?: { node?: string } } & V1Service>(
          home,
          "ServiceL2Status",
          "l2-ingress",
          "metallb-system",
        );
        (found as unknown as { status: { node: string } }).status.node = "rancheros-3";
      },
      /^- ingress: rancheros-3, which is to go, answers for the address 192\.168\.40\.5 of Service ingress\/ingress/,
    ],
    [
      "an address for which nobody answers",
      ({ home }) =>
        void (home.kubernetes.objects = home.kubernetes.objects.filter(({ kind }) => kind !== "ServiceL2Status")),
      /^- ingress: MetalLB names no node that answers for the address 192\.168\.40\.5 of Service ingress\/ingress/,
    ],
  ];
  for (const [title, change, expected] of cases)
    it(`refuses for ${title}`, async () => assert.match(await said(change), expected));

  it("finds what hangs on another address no reason", async () => {
    const migrated = await migratedHome();
    migrated.home.network.urls.kubernetes = "https://192.168.10.21:6443";
    add(migrated.home, nfs("pvc-1", { nfs: { server: "192.168.10.5", path: "/" } }));
    add(migrated.home, site("gone.example.org"));
    const [input] = migrated.inputs;
    assert.ok(input);
    await retireOldNode.run(input, migrated.clients);
    assert.equal(standing(migrated.home).machines.includes("rancheros-1"), false);
  });

  it("asks nothing of an ingress where older checkouts recorded none", async () => {
    const migrated = await migratedHome();
    find<V1Service>(migrated.home, "Service", "ingress", "ingress").status = {};
    const [input] = migrated.inputs;
    assert.ok(input);
    await retireOldNode.run({ ...input, ingressAddress: undefined }, migrated.clients);
    assert.equal(standing(migrated.home).nodes.includes("rancheros-1"), false);
  });

  it("is told of all nodes in one report, what concerns all of them once, with each kind of object listed once", async () => {
    const migrated = await migratedHome();
    find<V1Service>(migrated.home, "Service", "ingress", "ingress").status = {};
    for (const [index, server] of ["192.168.10.12", "192.168.10.13"].entries())
      add(migrated.home, nfs(`pvc-${index}`, { nfs: { server, path: "/" } }));
    let lists = 0;
    const watched = counted(migrated.clients, (_, name) => (lists += Number(name === "kubernetes.list")));
    const input = { stack: "home-rancheros", nodes: [...migrated.inputs] };
    const { why } = await refusalOf(checkRetirement.run(input, watched));
    assert.deepEqual(
      why.split("\n").map((line) => line.trim().split(" (")[0]?.split(": ").slice(0, 2).join(": ")),
      [
        "3 things stand against it:",
        "- ingress: no Service of this program has the address 192.168.40.5",
        "- rancheros-2: the NFS server of volume pvc-0",
        "- rancheros-3: the NFS server of volume pvc-1",
      ],
    );
    assert.equal(lists, 10);
  });
});
