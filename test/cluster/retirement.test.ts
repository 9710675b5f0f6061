import assert from "node:assert/strict";
import type { V1Node } from "@kubernetes/client-node";
import type { StoredObject } from "../../operations/clients";
import * as kinds from "../../operations/kinds";
import { retireOldNode } from "../../operations/rancheros/retire-old-node";
import { ledgerName, ledgerNamespace } from "../../operations/volumes/ledger";
import { refusalOf } from "../support/migrated-home";
import { ControlPlane } from "./lab/control-plane";
import { setNodeReady } from "./lab/nodes";
import { until } from "./lab/processes";
import {
  apps,
  createLonghornNode,
  deployment,
  ranchersNamespace,
  RetirementLab,
  without,
  type Hooks,
  type Standing,
} from "./lab/retirement";

const debian = ["debian-1", "debian-2", "debian-3"];

describe("retiring old nodes on the real API server (kwok's nodes run nothing; Rancher and Proxmox are simulated)", () => {
  let plane: ControlPlane;
  let lab: RetirementLab;
  before(async () => (plane = await ControlPlane.start()));
  after(async () => plane?.stop());
  afterEach("no part has ended", () => assert.deepEqual(plane.casualties(), []));

  const retire = (node: string, hooks: Hooks = {}): Promise<unknown> =>
    retireOldNode.run(lab.input(node), lab.clients(hooks));
  const vm = (node: string): RetirementLab["home"]["proxmox"]["vms"][number] => {
    const found = lab.home.proxmox.vms.find(({ name }) => name === node);
    assert.ok(found);
    return found;
  };
  const inRancher = (node: string): RetirementLab["home"]["rancher"]["nodes"][number] => {
    const found = lab.home.rancher.nodes.find(({ nodeName }) => nodeName === node);
    assert.ok(found);
    return found;
  };

  for (const distribution of ["rke1", "rke2", "k3s"] as const) {
    describe(`with a Rancher of ${distribution}`, () => {
      before(async () => (lab = await RetirementLab.start(plane, distribution)));
      after(async () => lab?.stop());

      it("one node leaves in order: pods by the budget's leave, etcd's member and the Node with Rancher, its machine last", async () => {
        const before = await lab.standing();
        await lab.deploy("rancheros-1", "web", 2, [1]);
        await retire("rancheros-1");
        assert.deepEqual(lab.did, [
          "kubernetes.patch Node rancheros-1",
          ...["kubernetes.evict pod web", "kubernetes.evict pod web"],
          "kubernetes.patch Node rancheros-1",
          `rancher.removeNode ${distribution === "rke1" ? "c-abc12:m-101" : "fleet-default/custom-101"}`,
          ...["Rancher took rancheros-1 out of etcd", "Rancher deleted Node rancheros-1"],
          ...["proxmox.shutdownVm pve 101 300", "proxmox.deleteVm pve 101"],
        ]);
        assert.deepEqual(await lab.standing(), without(before, "rancheros-1"));
        assert.equal(await lab.failure(), undefined);
      });
    });
  }

  describe("what stands against it is refused before anything is written, and everything stays as it was", () => {
    let original: Standing;
    before(async () => {
      lab = await RetirementLab.start(plane, "rke1");
      original = await lab.standing();
    });
    after(async () => lab?.stop());
    afterEach(() => lab.restore());

    interface Case {
      readonly title: string;
      readonly breaks: () => unknown;
      readonly says: RegExp;
      readonly mends?: () => Promise<unknown>;
      readonly hooks?: () => Hooks;
      readonly input?: object;
    }

    const nodeOf = (name: string): Promise<V1Node | undefined> => lab.api.read(kinds.nodes, name);
    const pod = (name: string, spec: object, owned = true): StoredObject =>
      ({
        ...kinds.pods,
        metadata: {
          ...{ name, namespace: apps },
          ...(owned && {
            ownerReferences: [{ apiVersion: "v1", kind: "Namespace", name: apps, uid: "no-owner-that-collects" }],
          }),
        },
        spec: {
          ...{ nodeName: "rancheros-1", terminationGracePeriodSeconds: 0 },
          ...{ containers: [{ name: "main", image: "example.test/main:1" }] },
          ...spec,
        },
      }) as StoredObject;
    const ledger = (phase: string): Promise<unknown> => {
      const [volume] = lab.input("rancheros-1").volumes;
      assert.ok(volume);
      return lab.api
        .read<StoredObject & { data?: Record<string, string> }>(kinds.configMaps, ledgerName(volume), ledgerNamespace)
        .then((found) => {
          const data = { ledger: JSON.stringify({ ...(JSON.parse(found?.data?.ledger ?? "{}") as object), phase }) };
          return lab.api.patch(kinds.configMaps, ledgerName(volume), { data }, ledgerNamespace);
        });
    };

    const cases: readonly Case[] = [
      {
        title: "a volume whose ledger does not say switched",
        breaks: () => ledger("copied"),
        says: /volume \S+ is not switched: its ledger says copied/,
        mends: () => ledger("switched"),
      },
      {
        title: "a pod that no controller brings back",
        breaks: () => lab.add(pod("bare", {}, false)),
        says: /rancheros-1: pod apps\/bare has no controller that would bring it back/,
      },
      {
        title: "pods that a node selector keeps on this node",
        breaks: () =>
          lab.add(deployment("pinned", 1, { nodeSelector: { "kubernetes.io/hostname": "rancheros-1" } })).then(onIt),
        says: /pod apps\/pinned-\S+ cannot run on any node that stays \(nodeSelector kubernetes\.io\/hostname=rancheros-1\)/,
      },
      {
        title: "a pod that keeps data in a folder of the host",
        breaks: () => lab.deploy("rancheros-1", "folder", 1).then(() => replaced("folder", "/opt/data")),
        says: /keeps data in the folder \/opt\/data of this host/,
      },
      {
        title: "pods that find no room on the nodes that stay",
        breaks: () => lab.deploy("rancheros-1", "large", 1).then(() => grown("large")),
        says: /large.*7000m cpu/s,
      },
      {
        title: "a replica of Longhorn's on it",
        breaks: () => longhornOn("rancheros-1"),
        says: /rancheros-1: Longhorn keeps data on it \(pvc-1-r\)/,
        mends: () => lab.api.remove(kinds.longhornNodes, "rancheros-1", kinds.longhornNamespace),
      },
      {
        title: "a backing image of Longhorn's on it",
        breaks: () =>
          createLonghornNode(lab, "rancheros-1").then(() =>
            lab.status(
              { ...kinds.longhornNodes, metadata: { name: "rancheros-1", namespace: kinds.longhornNamespace } },
              { diskStatus: { disk: { scheduledBackingImage: { "image-1": 1 } } } },
            ),
          ),
        says: /rancheros-1: Longhorn keeps data on it \(backing image image-1\)/,
        mends: () => lab.api.remove(kinds.longhornNodes, "rancheros-1", kinds.longhornNamespace),
      },
      {
        title: "Rancher itself, which has to take the node out",
        breaks: async () => {
          const containers = [{ name: "rancher", image: "rancher/rancher:v2.11.3" }];
          const server = pod("rancher-6c5d", { containers }, false);
          await lab.add({ ...server, metadata: { ...server.metadata, namespace: ranchersNamespace } });
        },
        says: /rancheros-1: Rancher itself runs on it \(pod cattle-system\/rancher-6c5d\) and on no node that stays.*kubectl cordon rancheros-1 rancheros-2/s,
      },
      {
        title: "a Service whose external address is the node's",
        breaks: () =>
          lab.add({
            ...{ apiVersion: "v1", kind: "Service", metadata: { name: "by-address", namespace: apps } },
            spec: { ports: [{ port: 80 }], externalIPs: [lab.input("rancheros-1").address] },
          }),
        says: /Service apps\/by-address \(externalIPs\) leads to its address/,
      },
      {
        title: "an NFS volume that it serves",
        breaks: () =>
          lab.add({
            ...{ ...kinds.volumes, metadata: { name: "served-from-it" } },
            spec: {
              ...{ capacity: { storage: "1Gi" }, accessModes: ["ReadWriteMany"] },
              nfs: { server: lab.input("rancheros-1").address, path: "/" },
            },
          }),
        says: /the NFS server of volume served-from-it/,
      },
      {
        title: "an Ingress whose name resolves to it",
        breaks: async () => {
          lab.home.network.names["app.example.org"] = [lab.input("rancheros-1").address];
          await lab.add({
            ...{ apiVersion: "networking.k8s.io/v1", kind: "Ingress", metadata: { name: "app", namespace: apps } },
            spec: {
              defaultBackend: { service: { name: "a", port: { number: 1 } } },
              rules: [{ host: "app.example.org" }],
            },
          });
        },
        says: /the name app\.example\.org of an Ingress leads to its address/,
      },
      {
        title: "the ingress address answered for by an old node",
        breaks: () => lab.announce("rancheros-2"),
        says: /ingress: rancheros-2, which is to go, answers for the address/,
        mends: () => lab.announce("debian-1"),
      },
      {
        title: "fewer than three etcd members that would remain",
        breaks: () => etcdLabels(["debian-2", "debian-3", "rancheros-2", "rancheros-3"], null),
        says: /etcd: without rancheros-1 1 member is left/,
        mends: () => etcdLabels(["debian-2", "debian-3", "rancheros-2", "rancheros-3"], "true"),
      },
      {
        title: "another etcd member that is not Ready",
        breaks: () => setNodeReady(lab.api, "debian-2", false),
        says: /etcd: without rancheros-1 4 of 5 members are Ready \(not: debian-2\)/,
        mends: () => setNodeReady(lab.api, "debian-2", true),
      },
      {
        title: "the node itself not Ready: Rancher could not clean it",
        breaks: () => setNodeReady(lab.api, "rancheros-1", false),
        says: /rancheros-1: is not Ready; Rancher cleans a node through its kubelet/,
        mends: () => setNodeReady(lab.api, "rancheros-1", true),
      },
      {
        title: "a node that Rancher does not know",
        breaks: () => (inRancher("rancheros-1").nodeName = "somebody"),
        says: /is in the cluster, but Rancher does not know it/,
      },
      {
        title: "two of its name in Rancher",
        breaks: () => lab.home.rancher.nodes.push({ ...inRancher("rancheros-1"), id: "c-abc12:m-9" }),
        says: /Rancher has 2 nodes of this name \(c-abc12:m-101, c-abc12:m-9\)/,
      },
      {
        title: "a node that Rancher has not finished registering",
        breaks: () => (inRancher("rancheros-1").state = "registering"),
        says: /Rancher calls c-abc12:m-101 registering/,
      },
      {
        title: "another removal that goes on",
        breaks: () => (inRancher("rancheros-2").state = "removing"),
        says: /Rancher is still removing rancheros-2/,
      },
      {
        title: "another machine under its id",
        breaks: () => (vm("rancheros-1").macs = ["02:00:00:00:00:99"]),
        says: /machine 101 on pve is another one \(its first MAC is 02:00:00:00:00:99/,
      },
      {
        title: "its machine protected in Proxmox",
        breaks: () => (vm("rancheros-1").protection = true),
        says: /machine 101 is protected in Proxmox/,
      },
      {
        title: "its machine off",
        breaks: () => (vm("rancheros-1").status = "stopped"),
        says: /its machine 101 is off, and Rancher can only remove a node that runs/,
      },
      {
        title: "its machine gone, and its node a member",
        breaks: () => (lab.home.proxmox.vms = lab.home.proxmox.vms.filter(({ vmId }) => vmId !== 101)),
        says: /its machine 101 is gone, but the node is in the cluster/,
      },
      {
        title: "a node of its name at another address than the one recorded",
        breaks: () => undefined,
        input: { address: "192.168.10.99" },
        says: /has the address 192\.168\.10\.51, and 192\.168\.10\.99 was recorded: another machine/,
      },
      {
        title: "a rotated key of Rancher's: the old one stops it, and `up` records the new one",
        breaks: () => undefined,
        hooks: () => ({ access: { rancher: { ...lab.access.rancher, token: "token-old12:no-longer-taken" } } }),
        says: /Rancher does not answer as it should.*after a rotated token or kubeconfig, `pulumi up -s home-rancheros` records/s,
      },
      {
        title: "a rotated token of Proxmox's",
        breaks: () =>
          (lab.proxmox.fault = () => ({ kind: "status", status: 401, reason: "no such token", when: "before" })),
        says: /Proxmox does not answer as it should.*`pulumi up -s home-rancheros` records/s,
      },
      {
        title: "a kubeconfig of another cluster's CA",
        breaks: () => undefined,
        hooks: () => {
          const kubeconfig = lab.access.kubernetes.kubeconfig.replace(
            /certificate-authority-data: \S+/,
            `certificate-authority-data: ${Buffer.from(lab.access.rancher.caCertificate ?? "").toString("base64")}`,
          );
          return { access: { kubernetes: { kubeconfig } } };
        },
        says: /Kubernetes does not answer as it should.*`pulumi up -s home-rancheros` records/s,
      },
      {
        title: "a kubeconfig whose user RBAC grants nothing",
        breaks: () => undefined,
        hooks: () => ({ access: { kubernetes: { kubeconfig: plane.kubeconfigFor("nobody-much") } } }),
        says: /Forbidden: nodes is forbidden: User "nobody-much" cannot list resource "nodes"/,
      },
    ];

    for (const { title, breaks, says, mends, hooks, input } of cases) {
      it(title, async () => {
        await breaks();
        const standing = await lab.standing();
        lab.did.length = 0;
        try {
          const parts = await refusalOf(
            retireOldNode.run({ ...lab.input("rancheros-1"), ...input }, lab.clients(hooks?.())),
          );
          assert.match(parts.what, /nothing was touched|this run changed nothing/);
          assert.match(`${parts.what}\n${parts.why}\n${parts.next}`, says);
          assert.match(parts.next, /`pulumi (up|destroy) -s home-rancheros`|run the same command again/);
          assert.deepEqual(lab.did, []);
          assert.equal(await lab.lease(), undefined, "not even the Lease was written");
          assert.deepEqual(await lab.standing(), standing);
        } finally {
          await mends?.();
        }
      });
    }

    after("nothing of it is left", async () => assert.deepEqual(await lab.standing(), original));

    /** Waits for the Deployment's pod, wherever it was put. */
    async function onIt(): Promise<void> {
      await until("its pod runs", async () => {
        const found = await lab.api.list(kinds.pods, { namespace: apps });
        if (found[0]?.spec?.nodeName !== "rancheros-1") throw new Error(JSON.stringify(found[0]?.spec?.nodeName));
      });
    }

    /** A pod beside those of the Deployment, which the Deployment's ReplicaSet owns as well. */
    async function beside(name: string, spec: object): Promise<void> {
      const [one] = await lab.api.list(kinds.pods, { namespace: apps, labels: { app: name } });
      await lab.add({
        ...pod(`${name}-beside`, spec),
        metadata: {
          ...{ name: `${name}-beside`, namespace: apps },
          ownerReferences: (one?.metadata?.ownerReferences ?? []).map((owner) => ({ ...owner, controller: false })),
        },
      });
    }

    async function replaced(name: string, path: string): Promise<void> {
      await beside(name, { volumes: [{ name: "data", hostPath: { path } }] });
    }

    async function grown(name: string): Promise<void> {
      await beside(name, {
        containers: [{ name: "main", image: "example.test/main:1", resources: { requests: { cpu: "7000m" } } }],
      });
      for (const node of debian) await lab.add(deploymentOn(node));
    }

    function deploymentOn(node: string): StoredObject {
      return deployment(`fills-${node}`, 1, {
        nodeName: node,
        containers: [{ name: "main", image: "example.test/main:1", resources: { requests: { cpu: "6" } } }],
      });
    }

    async function longhornOn(node: string): Promise<void> {
      await createLonghornNode(lab, node, ["pvc-1-r"]);
    }

    async function etcdLabels(names: readonly string[], value: string | null): Promise<void> {
      for (const name of names) {
        assert.ok(await nodeOf(name));
        await lab.api.patch(kinds.nodes, name, { metadata: { labels: { "node-role.kubernetes.io/etcd": value } } });
      }
    }
  });
});
