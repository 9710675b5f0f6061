import assert from "node:assert/strict";
import type { V1ConfigMap, V1ManagedFieldsEntry, V1Service } from "@kubernetes/client-node";
import { ownMetadata, ownSpec } from "../../../../components/services/ingress-own-service";
import { ingressTarget } from "../../../../components/services/ingress-target";
import { ApiRefusal, type Clients } from "../../../../operations/clients";
import { configMaps, services } from "../../../../operations/kinds";
import {
  recordIngressService,
  restoreIngressService,
} from "../../../../operations/load-balancer/record-ingress-service";
import { originalOf, withOriginal } from "../../../../operations/load-balancer/service-record";
import { Refusal } from "../../../../operations/refusal";
import { lbHome, liveService, otherService, ways, type LbHome, type Way } from "../../../support/load-balancer";

const name = { namespace: "ingress-nginx", service: "ingress-nginx" };
const recordName = "home-cluster-ingress-service";

async function recordOf({ kubernetes }: Clients): Promise<V1ConfigMap | undefined> {
  return kubernetes.read(configMaps, recordName, "ingress-nginx");
}

/** What the engine then does: our fields over the Service's, the selector whole, and the API server's consequences of the type. */
async function takeOver(clients: LbHome): Promise<void> {
  const { ingress, cluster } = clients.file;
  const target = ingressTarget(ingress, cluster.distribution);
  await clients.kubernetes.patch(services, name.service, { spec: { selector: null } }, name.namespace);
  await clients.kubernetes.patch(
    services,
    name.service,
    {
      metadata: {
        ...ownMetadata(ingress, target),
        annotations: {
          ...ownMetadata(ingress, target).annotations,
          "metallb.io/ip-allocated-from-pool": "default",
        },
      },
      spec: { ...ownSpec(ingress, target), allocateLoadBalancerNodePorts: true },
    },
    name.namespace,
  );
}

/** Without what the server changes at every write. */
function content(service: V1Service | undefined): unknown {
  return { ...service, metadata: { ...service?.metadata, resourceVersion: undefined } };
}

async function refusal(run: Promise<unknown>): Promise<Refusal> {
  const error = await run.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Refusal, String(error));
  return error;
}

/** In pairs: who writes, and what the name is while the Service is taken over. */
const kept: readonly (readonly [V1ManagedFieldsEntry, string])[] = [
  [{ manager: "rancher", operation: "Update" }, "rancher"],
  [{ manager: "argocd", operation: "Apply" }, "argocd"],
  [{ manager: "pulumi-kubernetes-1", operation: "Apply" }, "pulumi-kubernetes-1"],
  [{ manager: "before-first-apply", operation: "Apply" }, "before-first-apply"],
  [{ manager: "kubectl-edit", operation: "Update", subresource: "status" }, "kubectl-edit"],
  [{ manager: "kubectl-client-side-apply", operation: "Update" }, "home-cluster/kubectl-client-side-apply"],
  [{ manager: "kubectl", operation: "Apply", subresource: "" }, "home-cluster/kubectl"],
  [{ manager: "before-first-apply", operation: "Update" }, "home-cluster/before-first-apply"],
  [{ manager: "pulumi-kubernetes", operation: "Update" }, "home-cluster/pulumi-kubernetes"],
  [{ manager: "pulumi-resource-kubernetes", operation: "Update" }, "home-cluster/pulumi-resource-kubernetes"],
  [{ operation: "Update" }, ""],
  [{}, ""],
];
const everyone = kept.map(([entry]) => entry);

async function writtenBy(clients: LbHome, managedFields: readonly V1ManagedFieldsEntry[]): Promise<void> {
  await clients.kubernetes.patch(services, name.service, { metadata: { managedFields } }, name.namespace);
}

describe("record-ingress-service (pretend API server: does not prove what a real one defaults)", () => {
  it("records what taking over changes, beside the Service, and changes nothing", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    const before = await liveService(clients);
    assert.deepEqual(await recordIngressService.run(name, clients), {
      service: "ingress-nginx",
      original: originalOf(before ?? {}).spec,
    });
    const record = await recordOf(clients);
    assert.deepEqual(JSON.parse(record?.data?.original ?? ""), {
      version: 1,
      uid: before?.metadata?.uid,
      spec: {
        type: "NodePort",
        selector: { "workloadID_ingress-nginx": "true" },
        ports: [
          { name: "http", port: 80, targetPort: 80, nodePort: 30176, protocol: "TCP" },
          { name: "https", port: 443, targetPort: 443, nodePort: 32182, protocol: "TCP" },
        ],
      },
      labels: { "cattle.io/creator": "norman" },
      annotations: { "field.cattle.io/targetWorkloadIds": '["daemonset:ingress-nginx:nginx-ingress-controller"]' },
    });
    assert.deepEqual(await liveService(clients), before);
  });

  it("keeps those apart from the engine whose fields its provider would take for its own", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    const before = await liveService(clients);
    await writtenBy(clients, everyone);
    // The second run is one after a first update that failed, where somebody has written meanwhile.
    for (const time of ["first", "second"]) {
      await recordIngressService.run(name, clients);
      const after = await liveService(clients);
      assert.deepEqual(
        after?.metadata?.managedFields?.map(({ manager = "" }) => manager),
        kept.map(([, manager]) => manager),
        time,
      );
      const metadata = { ...after?.metadata, managedFields: undefined, resourceVersion: undefined };
      assert.deepEqual(
        { ...after, metadata },
        { ...before, metadata: { ...before?.metadata, managedFields: undefined, resourceVersion: undefined } },
        time,
      );
      await writtenBy(clients, everyone);
    }

    // Taken over, the engine's own entry may not be touched.
    await takeOver(clients);
    await recordIngressService.run(name, clients);
    assert.deepEqual((await liveService(clients))?.metadata?.managedFields, everyone);
  });

  it("writes that down again where Rancher wrote in between, and gives up after a minute of it", async () => {
    for (const [races, passes] of [
      [2, true],
      [9999, false],
    ] as const) {
      const clients = await lbHome(ways["rke1, existing, selector app"]());
      await writtenBy(clients, everyone);
      const { kubernetes } = clients;
      const racing = Object.create(kubernetes) as typeof kubernetes;
      let raced = 0;
      racing.replace = async (object) => {
        if (object.kind === "Service" && raced < races) {
          raced += 1;
          const annotations = { "field.cattle.io/publicEndpoints": `[${raced}]` };
          await kubernetes.patch(services, name.service, { metadata: { annotations } }, name.namespace);
        }
        return kubernetes.replace(object);
      };
      const start = clients.clock.now();
      const run = recordIngressService.run(name, { ...clients, kubernetes: racing });
      if (passes) {
        await run;
        const { annotations, managedFields } = (await liveService(clients))?.metadata ?? {};
        assert.equal(annotations?.["field.cattle.io/publicEndpoints"], "[2]");
        assert.deepEqual(
          managedFields?.filter(({ manager }) => manager === "kubectl"),
          [],
        );
      } else {
        const { parts } = await refusal(run);
        assert.match(
          parts.what,
          /Service ingress-nginx\/ingress-nginx: writing down whose fields are whose: not within/,
        );
        assert.equal(clients.clock.now() - start, 60_000);
      }
    }
  });

  it("never overwrites: a second run, after the take-over, keeps the first record and answers the same", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    const first = await recordIngressService.run(name, clients);
    const record = await recordOf(clients);
    await takeOver(clients);
    assert.deepEqual(await recordIngressService.run(name, clients), first);
    assert.deepEqual(await recordOf(clients), record);
  });

  it("refuses to record its own work as the original", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await takeOver(clients);
    const { parts } = await refusal(recordIngressService.run(name, clients));
    assert.match(parts.what, /there is no record of what it was before/);
    assert.equal(await recordOf(clients), undefined);
  });

  it("writes the record anew for another Service of the same name", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await recordIngressService.run(name, clients);
    const old = await liveService(clients);
    await clients.kubernetes.remove(services, name.service, name.namespace);
    await clients.kubernetes.create<V1Service>({
      ...old,
      metadata: { name: name.service, namespace: name.namespace },
      spec: { ...old?.spec, type: "ClusterIP" },
    });
    await recordIngressService.run(name, clients);
    const record = JSON.parse((await recordOf(clients))?.data?.original ?? "") as { uid: string; spec: object };
    assert.equal(record.uid, (await liveService(clients))?.metadata?.uid);
    assert.deepEqual(Object.entries(record.spec)[0], ["type", "ClusterIP"]);
    assert.match(clients.lines.join(), /of an earlier Service/);
  });

  it("does not give up the record of a Service that is taken over for another one, as after a change of the name", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await recordIngressService.run(name, clients);
    const record = await recordOf(clients);
    await clients.kubernetes.create<V1Service>({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "another", namespace: name.namespace },
      spec: { type: "NodePort" },
    });
    const { parts } = await refusal(recordIngressService.run({ ...name, service: "another" }, clients));
    assert.match(parts.what, /Service ingress-nginx\/ingress-nginx is taken over/);
    assert.match(parts.next, /name back to ingress-nginx/);
    assert.deepEqual(await recordOf(clients), record);
  });

  it("refuses a Service that is not there", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await clients.kubernetes.remove(services, name.service, name.namespace);
    assert.match((await refusal(recordIngressService.run(name, clients))).parts.what, /does not exist/);
  });

  it("refuses a record that somebody broke, when recording as when restoring", async () => {
    for (const text of ["{", '{"version":2}', undefined]) {
      const clients = await lbHome(ways["rke1, existing, selector app"]());
      await clients.kubernetes.create({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: recordName, namespace: "ingress-nginx" },
        ...(text !== undefined && { data: { original: text } }),
      });
      const before = await liveService(clients);
      for (const operation of [recordIngressService, restoreIngressService])
        assert.match((await refusal(operation.run(name, clients))).parts.what, /cannot be read/);
      assert.deepEqual(await liveService(clients), before);
    }
  });
});

describe("restore-ingress-service (pretend API server: does not prove what a real one refuses)", () => {
  for (const way of ["rke1, existing, selector app", "rke1, existing, selector workload"] satisfies Way[]) {
    it(`${way}: puts back exactly what was there, and removes the record`, async () => {
      const clients = await lbHome(ways[way]());
      const before = await liveService(clients);
      await recordIngressService.run(name, clients);
      await takeOver(clients);
      assert.notDeepEqual(content(await liveService(clients)), content(before));
      assert.deepEqual(await restoreIngressService.run(name, clients), {
        service: "ingress-nginx",
        restored: "is what it was before",
      });
      assert.deepEqual(content(await liveService(clients)), content(before));
      assert.equal(await recordOf(clients), undefined);
    });
  }

  it("leaves what others wrote meanwhile, and the cluster IP", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await recordIngressService.run(name, clients);
    await takeOver(clients);
    const others = {
      metadata: { annotations: { "field.cattle.io/publicEndpoints": "[1]" }, labels: { team: "x" } },
      spec: { internalTrafficPolicy: "Cluster" },
    };
    await clients.kubernetes.patch(services, name.service, others, name.namespace);
    await restoreIngressService.run(name, clients);
    const after = await liveService(clients);
    assert.deepEqual(after?.metadata?.annotations, {
      "field.cattle.io/publicEndpoints": "[1]",
      "field.cattle.io/targetWorkloadIds": '["daemonset:ingress-nginx:nginx-ingress-controller"]',
    });
    assert.deepEqual(after?.metadata?.labels, { "cattle.io/creator": "norman", team: "x" });
    assert.equal(after?.spec?.internalTrafficPolicy, "Cluster");
    assert.equal(after?.spec?.clusterIP, "10.43.7.7");
  });

  it("gives back an annotation's and a label's own earlier value", () => {
    const service: V1Service = {
      metadata: {
        uid: "u",
        annotations: { "metallb.io/loadBalancerIPs": "10.0.0.9", "pulumi.com/skipAwait": "false" },
        labels: {},
      },
      spec: { type: "LoadBalancer", externalTrafficPolicy: "Cluster", healthCheckNodePort: 0 },
    };
    const taken: V1Service = {
      metadata: {
        uid: "u",
        annotations: {
          "metallb.io/loadBalancerIPs": "192.168.40.5",
          "metallb.io/address-pool": "default",
          "pulumi.com/skipAwait": "true",
        },
        labels: { "home-cluster/address": "ingress", "cattle.io/creator": "norman" },
      },
      spec: { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 31431 },
    };
    assert.deepEqual(withOriginal(taken, originalOf(service)), service);
    assert.deepEqual(withOriginal({}, originalOf({})), { metadata: { labels: {}, annotations: {} }, spec: {} });
  });

  it("a second run changes nothing, whatever was done since", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await recordIngressService.run(name, clients);
    await takeOver(clients);
    await restoreIngressService.run(name, clients);
    await clients.kubernetes.patch(services, name.service, { spec: { type: "ClusterIP" } }, name.namespace);
    const later = await liveService(clients);
    assert.equal((await restoreIngressService.run(name, clients)).restored, "was put back before");
    assert.deepEqual(await liveService(clients), later);
  });

  it("after a run that was cut off before the record went: the record goes, the Service stays as it is", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await recordIngressService.run(name, clients);
    const before = await liveService(clients);
    assert.equal((await restoreIngressService.run(name, clients)).restored, "was put back before");
    assert.deepEqual(await liveService(clients), before);
    assert.equal(await recordOf(clients), undefined);
  });

  it("waits until the record is gone, which the server's garbage collection takes its time with", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await recordIngressService.run(name, clients);
    const { kubernetes } = clients;
    const [read, remove] = [kubernetes.read.bind(kubernetes), kubernetes.remove.bind(kubernetes)];
    let reads = Infinity;
    kubernetes.remove = () => Promise.resolve(void (reads = 0));
    kubernetes.read = async (kind, one, namespace) => {
      if (++reads === 3) await remove(configMaps, recordName, name.namespace);
      return read(kind, one, namespace);
    };
    await restoreIngressService.run(name, clients);
    assert.equal(reads, 3);
    assert.equal(await recordOf(clients), undefined);
  });

  it("a Service that is gone is not made again; the record goes", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await recordIngressService.run(name, clients);
    await clients.kubernetes.remove(services, name.service, name.namespace);
    assert.equal((await restoreIngressService.run(name, clients)).restored, "is gone");
    assert.equal(await liveService(clients), undefined);
    assert.equal(await recordOf(clients), undefined);
  });

  it("another Service of the same name is said to be another, also where it does not look like ours", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await recordIngressService.run(name, clients);
    const old = await liveService(clients);
    await clients.kubernetes.remove(services, name.service, name.namespace);
    await clients.kubernetes.create<V1Service>({ ...old, metadata: { ...old?.metadata, uid: "another" } });
    assert.equal((await restoreIngressService.run(name, clients)).restored, "is another one by now, left alone");
    assert.equal(await recordOf(clients), undefined);
  });

  it("takes our fields' owner off, and nobody else", () => {
    const entry = (manager: string, operation: string, labels?: object): V1ManagedFieldsEntry => ({
      manager,
      operation,
      ...(labels && { fieldsV1: { "f:metadata": { "f:labels": labels } } }),
    });
    const mark = { "f:home-cluster/address": {} };
    const others = [entry("rancher", "Update", mark), entry("argocd", "Apply", { "f:x": {} }), entry("x", "Apply")];
    const managedFields = [entry("pulumi-kubernetes-1", "Apply", mark), ...others];
    const put = withOriginal({ metadata: { managedFields } }, originalOf({}));
    assert.deepEqual(put.metadata?.managedFields, others);
  });

  it("gives writers whose names were kept their own again, also where the first update failed", async () => {
    for (const taken of [true, false]) {
      const clients = await lbHome(ways["rke1, existing, selector app"]());
      await writtenBy(clients, everyone);
      await recordIngressService.run(name, clients);
      if (taken) await takeOver(clients);
      await restoreIngressService.run(name, clients);
      assert.deepEqual((await liveService(clients))?.metadata?.managedFields, everyone);
      const { resourceVersion } = (await liveService(clients))?.metadata ?? {};
      await restoreIngressService.run(name, clients);
      assert.equal((await liveService(clients))?.metadata?.resourceVersion, resourceVersion);
    }
  });

  describe("a port that the API server does not give back", () => {
    const taken = new ApiRefusal(422, "Invalid", "spec.ports[0].nodePort: provided port is already allocated");

    /** Taken over, and a server that says so to the first tries. */
    async function refusing(tries: number): Promise<LbHome> {
      const clients = await lbHome(ways["rke1, existing, selector app"]());
      await recordIngressService.run(name, clients);
      await takeOver(clients);
      const kubernetes = Object.create(clients.kubernetes) as typeof clients.kubernetes;
      let tried = 0;
      kubernetes.replace = (object) => (tried++ < tries ? Promise.reject(taken) : clients.kubernetes.replace(object));
      return { ...clients, kubernetes };
    }

    it("is waited for where nobody has it", async () => {
      const clients = await refusing(300);
      const start = clients.clock.now();
      assert.equal((await restoreIngressService.run(name, clients)).restored, "is what it was before");
      assert.equal(clients.clock.now() - start, 600_000);
      assert.match(
        (await refusal(restoreIngressService.run(name, await refusing(9999)))).parts.why,
        /still holds a node/,
      );
    });

    const holders: readonly [string, V1Service["spec"]][] = [
      ["a node port", { ports: [{ port: 1, nodePort: 32182 }] }],
      ["its health check port", { healthCheckNodePort: 30176 }],
    ];
    for (const [what, spec] of holders) {
      it(`is refused at once where another Service has it by now as ${what}; the record stays`, async () => {
        const clients = await refusing(1);
        await clients.kubernetes.create(otherService("bare", {}));
        await clients.kubernetes.create(otherService("web", { spec }));
        const { parts } = await refusal(restoreIngressService.run(name, clients));
        assert.match(parts.what, /^Service default\/web: has the node port (32182|30176)$/);
        assert.match(parts.next, /edit service web`: give it another one, then `pulumi destroy` again/);
        assert.ok(await recordOf(clients));
      });
    }
  });

  it("another Service of the same name is left alone", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await recordIngressService.run(name, clients);
    await takeOver(clients);
    const taken = await liveService(clients);
    await clients.kubernetes.remove(services, name.service, name.namespace);
    await clients.kubernetes.create<V1Service>({ ...taken, metadata: { ...taken?.metadata, uid: "another" } });
    const other = await liveService(clients);
    assert.equal((await restoreIngressService.run(name, clients)).restored, "is another one by now, left alone");
    assert.deepEqual(await liveService(clients), other);
  });

  it("refuses, and touches nothing, when the record is gone while the Service is still ours", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await takeOver(clients);
    const taken = await liveService(clients);
    assert.match((await refusal(restoreIngressService.run(name, clients))).parts.what, /there is no record/);
    assert.deepEqual(await liveService(clients), taken);
  });

  it("reads again when Rancher wrote in between, and loses neither", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await recordIngressService.run(name, clients);
    await takeOver(clients);
    const { kubernetes } = clients;
    let raced = 0;
    const racing = Object.create(kubernetes) as typeof kubernetes;
    racing.replace = async (object) => {
      if (raced < 2 && object.kind === "Service") {
        raced += 1;
        const annotations = { "field.cattle.io/publicEndpoints": `[${raced}]` };
        await kubernetes.patch(services, name.service, { metadata: { annotations } }, name.namespace);
      }
      return kubernetes.replace(object);
    };
    await restoreIngressService.run(name, { ...clients, kubernetes: racing });
    const after = await liveService(clients);
    assert.equal(raced, 2);
    assert.equal(after?.spec?.type, "NodePort");
    assert.equal(after?.metadata?.annotations?.["field.cattle.io/publicEndpoints"], "[2]");
  });

  it("gives up after a quarter of an hour of conflicts, keeps the record, and shows any other error at once", async () => {
    const clients = await lbHome(ways["rke1, existing, selector app"]());
    await recordIngressService.run(name, clients);
    await takeOver(clients);
    const start = clients.clock.now();
    const failing = (error: Error): Clients => {
      const kubernetes = Object.create(clients.kubernetes) as typeof clients.kubernetes;
      kubernetes.replace = () => Promise.reject(error);
      return { ...clients, kubernetes };
    };
    const conflict = new ApiRefusal(409, "Conflict", "the object has been modified");
    const { parts } = await refusal(restoreIngressService.run(name, failing(conflict)));
    assert.match(parts.why, /the object has been modified/);
    assert.equal(clients.clock.now() - start, 900_000);
    const invalid = new ApiRefusal(422, "Invalid", "spec.ports[0].name: Required value");
    await assert.rejects(restoreIngressService.run(name, failing(invalid)), invalid);
    assert.ok(await recordOf(clients));
  });
});
