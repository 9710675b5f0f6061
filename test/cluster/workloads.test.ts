import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type { V1CustomResourceDefinition, V1PodSpec, V1PodTemplateSpec } from "@kubernetes/client-node";
import { ApiRefusal, type Clients, type Kind, type KubernetesApi, type StoredObject } from "../../operations/clients";
import { kubernetesClient } from "../../operations/clients/kubernetes";
import * as kinds from "../../operations/kinds";
import { Refusal } from "../../operations/refusal";
import { migrationLabels } from "../../operations/volumes/migration-pod";
import { awaitNoMount, mounts } from "../../operations/volumes/workloads/await-no-mount";
import { holdAnnotation, holdOf } from "../../operations/volumes/workloads/hold";
import { observeWorkloads } from "../../operations/volumes/workloads/observe";
import { pointFindings, pointTo } from "../../operations/volumes/workloads/point-to";
import { probe } from "../../operations/volumes/workloads/probe";
import { withObserved, workloadRecord, type WorkloadRecord } from "../../operations/volumes/workloads/record";
import { resume } from "../../operations/volumes/workloads/resume";
import { stop } from "../../operations/volumes/workloads/stop";
import type { Workload } from "../../operations/volumes/workloads/template";
import { undoers } from "../../operations/volumes/workloads/undoers";
import { ControlPlane, minors, type AuditEvent } from "./lab/control-plane";
import { install } from "./lab/crds";
import { addNodes, isReady, jobThat, readiness } from "./lab/nodes";
import { until } from "./lab/processes";
import { Provisioner } from "./lab/provisioner";

const rollback = "npm run rollback -- home games/data";
const oldClaim = "data";
const newClaim = "data-longhorn";

for (const minor of minors) {
  describe(`a volume's workload is stopped, pointed elsewhere and resumed on the ${minor} API server with its own controllers (no container runs and nothing is mounted)`, () => {
    let plane: ControlPlane;
    let clients: Clients;
    let api: KubernetesApi;
    const provisioners: Provisioner[] = [];
    const lines: string[] = [];
    let namespaces = 0;
    let games: string;

    before(async () => {
      plane = await ControlPlane.start({ minor });
      api = plane.api;
      clients = clientsOf(kubernetesClient(plane.kubeconfigFor("cutover", ["system:masters"])));
      await addNodes(api, [{ name: "debian-1" }, { name: "debian-2" }]);
      for (const [name, source] of [
        ["nfs", "nfs"],
        ["longhorn", "csi"],
      ] as const) {
        await create({ ...kinds.storageClasses, metadata: { name }, provisioner: `${name}.test` });
        provisioners.push(Provisioner.start(plane, { name: `${name}.test`, source }));
      }
    });

    after(async () => {
      for (const one of provisioners) await one.stop();
      await plane?.stop();
    });

    /** A namespace of its own for each test, with the old and the new claim in it. */
    beforeEach(async () => {
      lines.length = 0;
      games = `games-${(namespaces += 1)}`;
      await plane.namespace(games);
      await claim(oldClaim, "nfs");
      await claim(newClaim, "longhorn");
    });
    afterEach("no part has ended", () => assert.deepEqual(plane.casualties(), []));

    /** Real time, looked at often. */
    function clientsOf(kubernetes: KubernetesApi): Clients {
      const untouched = new Proxy({}, { get: () => assert.fail("only the cluster may be asked") }) as never;
      const clock = { now: () => Date.now(), sleep: async () => void (await pause(50)) };
      return {
        kubernetes,
        clock,
        log: (line) => lines.push(line),
        proxmox: untouched,
        rancher: untouched,
        network: untouched,
        ssh: untouched,
      };
    }

    const create = (object: StoredObject & Record<string, unknown>): Promise<StoredObject> => api.create(object);
    const ref = () => ({ namespace: games, claim: oldClaim });
    const observe = async (): Promise<WorkloadRecord> => {
      const { record, findings } = await observeWorkloads(clients.kubernetes, ref());
      assert.deepEqual(findings, []);
      // As it comes back out of the ledger.
      return workloadRecord.parse(JSON.parse(JSON.stringify(record)));
    };
    const stopped = (record: WorkloadRecord) => stop(clients, record, { rollback });
    const unmounted = (timeoutSeconds = 60) => awaitNoMount(clients, ref(), { timeoutSeconds, rollback });
    const probed = (record: WorkloadRecord, name = newClaim, timeoutSeconds = 60) =>
      probe(clients, record, { claim: name, timeoutSeconds, rollback });
    const found = async <T extends StoredObject>(kind: Kind<T>, name: string): Promise<T> => {
      const object = await api.read(kind, name, games);
      assert.ok(object, `${kind.kind} ${name}`);
      return object;
    };

    async function claim(name: string, storageClassName: string): Promise<void> {
      await create({
        ...kinds.claims,
        metadata: { name, namespace: games },
        spec: { storageClassName, accessModes: ["ReadWriteMany"], resources: { requests: { storage: "1Gi" } } },
      });
    }

    /** What was asked of the API server by the operations, reads left out. */
    const written = (): AuditEvent[] =>
      plane
        .audit()
        .filter(({ user, objectRef }) => user.username === "cutover" && objectRef?.namespace === games)
        .filter(({ verb }) => !["get", "list"].includes(verb));

    async function podsReady(count: number): Promise<void> {
      await until(`${count} pods are ready`, async () => {
        const pods = await api.list(kinds.pods, { namespace: games });
        const said = pods.map(({ metadata, status }) => [metadata?.name, status?.phase, status?.conditions]);
        if (pods.filter(isReady).length !== count) throw new Error(JSON.stringify(said));
      });
    }

    describe("every kind of owner", () => {
      const all = [
        "CronJob night",
        "DaemonSet agent",
        "Deployment web",
        "Pod lone",
        "ReplicaSet set",
        "StatefulSet db",
      ];

      async function makeAll(): Promise<void> {
        await create(deployment("web", { replicas: 3 }));
        await create({
          ...kinds.statefulSets,
          metadata: { name: "db", namespace: games },
          spec: { ...selected("db"), serviceName: "db", replicas: 2 },
        });
        await create({
          ...kinds.daemonSets,
          metadata: { name: "agent", namespace: games },
          spec: selected("agent", { nodeSelector: { "kubernetes.io/os": "linux" } }),
        });
        await create({
          ...kinds.replicaSets,
          metadata: { name: "set", namespace: games },
          spec: { ...selected("set"), replicas: 2 },
        });
        await create({
          ...kinds.cronJobs,
          metadata: { name: "night", namespace: games },
          spec: {
            schedule: "0 3 1 1 *",
            jobTemplate: { spec: { template: template("night", { restartPolicy: "Never" }) } },
          },
        });
        const { metadata, spec } = template("lone");
        await create({ ...kinds.pods, metadata: { ...metadata, name: "lone", namespace: games }, spec });
        await podsReady(3 + 2 + 2 + 2 + 1);
      }

      it("is stopped, awaited, pointed to the new claim, resumed as it was and found Ready on it; a second run of each changes nothing", async () => {
        await makeAll();
        const before = await specs();
        const record = await observe();
        assert.deepEqual(
          record.owners.map(({ kind, name }) => `${kind} ${name}`),
          all,
        );
        assert.deepEqual(await stopped(record), [
          `CronJob ${games}/night: stopped (had not suspended)`,
          `DaemonSet ${games}/agent: stopped (had its node selector)`,
          `Deployment ${games}/web: stopped (had 3 replicas)`,
          `Pod ${games}/lone: deleted (its manifest is in the ledger)`,
          `ReplicaSet ${games}/set: stopped (had 2 replicas)`,
          `StatefulSet ${games}/db: stopped (had 2 replicas)`,
        ]);
        await unmounted();
        assert.deepEqual(await api.list(kinds.pods, { namespace: games }), []);
        assert.deepEqual(await stopped(record), []);
        // Looked at again while stopped, it is recorded as it was.
        assert.deepEqual(withObserved(record, await observe()), {
          ...record,
          owners: [
            ...record.owners.filter(({ kind }) => kind !== "Pod"),
            ...record.owners.filter(({ kind }) => kind === "Pod"),
          ],
        });
        assert.deepEqual(
          await pointTo(clients, record, oldClaim, newClaim),
          all
            .filter((one) => one !== "Pod lone")
            .map((one) => `${one.replace(" ", ` ${games}/`)}: uses the claim ${newClaim}`),
        );
        assert.deepEqual(await pointTo(clients, record, oldClaim, newClaim), []);
        assert.deepEqual(await resume(clients, record, { claim: newClaim }), {
          restored: [
            `DaemonSet ${games}/agent: its node selector`,
            `Deployment ${games}/web: 3 replicas`,
            `Pod ${games}/lone: made again, with the claim ${newClaim}`,
            `ReplicaSet ${games}/set: 2 replicas`,
            `StatefulSet ${games}/db: 2 replicas`,
            `CronJob ${games}/night: not suspended`,
          ],
          left: [],
        });
        assert.deepEqual(await resume(clients, record, { claim: newClaim }), { restored: [], left: [] });
        const { ready, silent } = await probed(record);
        assert.equal(ready.length, 5);
        assert.deepEqual(silent, [`CronJob ${games}/night: runs when its time comes`]);
        assert.equal((await api.list(kinds.pods, { namespace: games })).length, 10);
        assert.deepEqual(await specs(), before.replaceAll(`"claimName":"${oldClaim}"`, `"claimName":"${newClaim}"`));
        assert.deepEqual(
          written()
            .map(({ verb, responseStatus }) => [verb, responseStatus?.code])
            .filter(([, code]) => code !== 200 && code !== 201),
          [],
        );
      });

      it("goes back to the old claim the same way", async () => {
        await makeAll();
        const before = await specs();
        const record = await observe();
        await stopped(record);
        await unmounted();
        await pointTo(clients, record, oldClaim, newClaim);
        await resume(clients, record, { claim: newClaim });
        await probed(record);
        // With the same record, although the bare pod is another one by now.
        await stopped(record);
        await awaitNoMount(clients, { namespace: games, claim: newClaim }, { timeoutSeconds: 60, rollback });
        await pointTo(clients, record, newClaim, oldClaim);
        await resume(clients, record, { claim: oldClaim });
        const { ready } = await probed(record, oldClaim);
        assert.equal(ready.length, 5);
        assert.deepEqual(await specs(), before);
      });

      /** Everything but what the server counts and dates, of every owner. */
      async function specs(): Promise<string> {
        const objects: unknown[] = [];
        for (const kind of [
          kinds.cronJobs,
          kinds.daemonSets,
          kinds.deployments,
          kinds.pods,
          kinds.replicaSets,
          kinds.statefulSets,
        ] as Kind<StoredObject & { spec?: { nodeName?: string } }>[]) {
          for (const { metadata, spec } of await api.list(kind, { namespace: games })) {
            if ((metadata?.ownerReferences ?? []).length > 0) continue;
            const annotations = Object.entries(metadata?.annotations ?? {}).filter(
              ([key]) => !/deprecated|deployment.kubernetes.io|made-again-for/.test(key),
            );
            delete spec?.nodeName;
            objects.push([kind.kind, metadata?.name, metadata?.labels, annotations, spec]);
          }
        }
        return JSON.stringify(objects);
      }
    });

    describe("a StatefulSet that makes the claim, and a Job", () => {
      beforeEach(() => claim("data-db-1", "nfs"));
      const volume = () => ({ namespace: games, claim: "data-db-1" });

      it("are stopped and resumed on the same name, and refuse to be pointed to another", async () => {
        await create(claimSet());
        await create({
          ...kinds.jobs,
          metadata: { name: "import", namespace: games },
          spec: { template: template("import", { restartPolicy: "Never" }, "data-db-1", jobThat("runs")) },
        });
        await podsReady(4);
        const { record, findings } = await observeWorkloads(clients.kubernetes, volume());
        assert.deepEqual(findings, []);
        assert.deepEqual(
          record.owners.map(({ kind, name, reference, original }) => [kind, name, reference, original]),
          [
            ["Job", "import", { by: "template", volumes: ["data"] }, { suspend: false }],
            ["StatefulSet", "db", { by: "claim-template", template: "data" }, { replicas: 3 }],
          ],
        );
        assert.deepEqual(
          (await pointFindings(clients.kubernetes, record, newClaim)).map(({ why }) => why),
          [
            `Job ${games}/import uses the claim, and nothing can change a Job's template`,
            `the volumeClaimTemplate data of StatefulSet ${games}/db makes the claim data-db-1, and nothing can change it`,
          ],
        );
        await stopped(record);
        await awaitNoMount(clients, volume(), { timeoutSeconds: 60, rollback });
        await refused(pointTo(clients, record, "data-db-1", newClaim), /was not pointed.*switch: same-name/s);
        assert.equal((await resume(clients, record, { claim: "data-db-1" })).restored.length, 2);
        const { ready } = await probed(record, "data-db-1");
        assert.equal(ready.length, 2);
        // The claims of its other pods were never touched.
        assert.equal((await api.list(kinds.claims, { namespace: games })).length, 5);
      });

      it("would lose the claim with a StatefulSet that deletes claims when it is scaled, where the server has that: refused, and the policy is real", async function () {
        await create(
          claimSet({ persistentVolumeClaimRetentionPolicy: { whenDeleted: "Retain", whenScaled: "Delete" } }),
        );
        await podsReady(3);
        const set = await found(kinds.statefulSets, "db");
        const has = set.spec?.persistentVolumeClaimRetentionPolicy !== undefined;
        assert.equal(has, minor === "newest", "the oldest has it behind a feature gate");
        const { findings } = await observeWorkloads(clients.kubernetes, volume());
        if (!has) return assert.deepEqual(findings, []);
        assert.match(findings[0]?.why ?? "", /deletes its claims, and their data, when it is scaled down/);
        await api.patch(kinds.statefulSets, "db", { spec: { replicas: 0 } }, games);
        await until("the claim is deleted", async () => {
          const left = await api.read(kinds.claims, "data-db-1", games);
          if (left !== undefined && left.metadata?.deletionTimestamp === undefined) throw new Error("it is there");
        });
      });

      function claimSet(more: object = {}) {
        const { metadata, spec } = template("db");
        return {
          ...kinds.statefulSets,
          metadata: { name: "db", namespace: games },
          spec: {
            ...selected("db"),
            ...more,
            serviceName: "db",
            replicas: 3,
            podManagementPolicy: "Parallel",
            template: { metadata, spec: { ...spec, volumes: [] } },
            volumeClaimTemplates: [
              {
                metadata: { name: "data" },
                spec: {
                  storageClassName: "nfs",
                  accessModes: ["ReadWriteMany"],
                  resources: { requests: { storage: "1Gi" } },
                },
              },
            ],
          },
        };
      }
    });

    describe("a CronJob", () => {
      it("is suspended first, and the run that is under way ends before anything else is stopped", async () => {
        await create(deployment("web"));
        const cron = await create({
          ...kinds.cronJobs,
          metadata: { name: "night", namespace: games },
          spec: {
            schedule: "0 3 1 1 *",
            jobTemplate: {
              spec: { template: template("night", { restartPolicy: "Never" }, oldClaim, jobThat("runs")) },
            },
          },
        });
        // As the CronJob's controller, and `kubectl create job --from`, make it.
        await create({
          ...kinds.jobs,
          metadata: {
            name: "night-1",
            namespace: games,
            ownerReferences: [
              {
                apiVersion: "batch/v1",
                kind: "CronJob",
                name: "night",
                uid: cron.metadata?.uid ?? "",
                controller: true,
              },
            ],
          },
          spec: { template: template("night", { restartPolicy: "Never" }, oldClaim, jobThat("runs")) },
        });
        await podsReady(2);
        const record = await observe();
        assert.deepEqual(
          record.owners.map(({ kind, name }) => `${kind} ${name}`),
          ["CronJob night", "Deployment web"],
        );
        await refused(
          stop(clients, record, { rollback, jobSeconds: 0 }),
          /CronJob .*night: the last run.*Job .*night-1 is running.*npm run rollback/s,
        );
        assert.equal((await found(kinds.cronJobs, "night")).spec?.suspend, true);
        assert.equal((await found(kinds.deployments, "web")).spec?.replicas, 1);
        const stopping = stopped(record);
        const [pod] = await api.list(kinds.pods, { namespace: games, labels: { "job-name": "night-1" } });
        await until("it waits", () =>
          assert.deepEqual(lines.slice(-1), [`waiting for the end of Job ${games}/night-1`]),
        );
        assert.equal((await found(kinds.deployments, "web")).spec?.replicas, 1);
        await api.patch(
          kinds.pods,
          pod?.metadata?.name ?? "",
          { metadata: { annotations: { "home-cluster.test/job": null } } },
          games,
        );
        assert.deepEqual(await stopping, [`Deployment ${games}/web: stopped (had 1 replica)`]);
        // Its pod has ended, is still there, and holds nothing up.
        await unmounted();
        assert.equal((await api.list(kinds.pods, { namespace: games })).length, 1);
      });
    });

    describe("what happens meanwhile", () => {
      it("a pod that appears after the stop is named, with its owner", async () => {
        await create(deployment("web"));
        await podsReady(1);
        const record = await observe();
        await stopped(record);
        await unmounted();
        await create({ ...kinds.pods, metadata: { name: "stranger", namespace: games }, spec: template("x").spec });
        await podsReady(1);
        assert.match((await mounts(clients.kubernetes, ref())).join(), /^bare pod \(pod stranger on debian-\d\)$/);
        await refused(unmounted(1), /still in use.*bare pod \(pod stranger on debian-\d\).*npm run rollback/s);
      });

      it("a terminating pod counts until it is gone", async () => {
        const { metadata, spec } = template("slow");
        await create(
          deployment("web", {
            template: { metadata: { ...metadata, labels: { app: "web" }, finalizers: ["test/slow"] }, spec },
          }),
        );
        await podsReady(1);
        const record = await observe();
        await stopped(record);
        await refused(unmounted(2), /ReplicaSet\/web-\w+ \(pod web-\S+ on debian-\d\), terminating/);
        const [pod] = await api.list(kinds.pods, { namespace: games });
        await api.patch(kinds.pods, pod?.metadata?.name ?? "", { metadata: { finalizers: null } }, games);
        await unmounted();
      });

      it("a volume that is attached counts until it is detached (the attachment is made by hand: no attacher runs)", async () => {
        await create(deployment("web", { template: template("web", {}, newClaim) }));
        await podsReady(1);
        const volume = { namespace: games, claim: newClaim };
        const persistentVolumeName = (await found(kinds.claims, newClaim)).spec?.volumeName;
        const attachment = { ...kinds.volumeAttachments, metadata: { name: `csi-${games}` } };
        await create({
          ...attachment,
          spec: { attacher: "longhorn.test", nodeName: "debian-1", source: { persistentVolumeName } },
        });
        const { record } = await observeWorkloads(clients.kubernetes, volume);
        await stopped(record);
        const awaited = (timeoutSeconds: number) => awaitNoMount(clients, volume, { timeoutSeconds, rollback });
        await refused(awaited(5), /last seen: PersistentVolume pvc-\S+ attached to debian-1\n/);
        // One of ours may have it there.
        const ours = template("copy", { nodeName: "debian-1" }, newClaim);
        await create({
          ...kinds.pods,
          metadata: { name: "copy", namespace: games, labels: migrationLabels },
          spec: ours.spec,
        });
        await awaited(5);
        await api.remove(kinds.pods, "copy", games);
        await until("it is gone", async () => assert.equal(await api.read(kinds.pods, "copy", games), undefined));
        await refused(awaited(1), /attached to debian-1/);
        await api.remove(kinds.volumeAttachments, attachment.metadata.name);
        await awaited(5);
      });

      it("a rollout in progress is stopped with both of its templates, and goes on after it", async () => {
        await create(deployment("web", { replicas: 3 }));
        await podsReady(3);
        const next = template("web", { terminationGracePeriodSeconds: 5 }, oldClaim, readiness(false));
        await api.patch(kinds.deployments, "web", { spec: { template: next } }, games);
        await until("the new pod waits beside the old ones", async () => {
          const pods = await api.list(kinds.pods, { namespace: games });
          assert.deepEqual([pods.length, pods.filter(isReady).length], [4, 3]);
        });
        const record = await observe();
        assert.equal(record.owners.length, 1);
        await stopped(record);
        await unmounted();
        await pointTo(clients, record, oldClaim, newClaim);
        await api.patch(
          kinds.deployments,
          "web",
          { spec: { template: { metadata: { annotations: readiness(true) } } } },
          games,
        );
        await resume(clients, record, { claim: newClaim });
        const { ready } = await probed(record);
        assert.equal(ready[0]?.split(", ").length, 3);
      });

      it("an owner that was made anew under its name is not touched; looked at again, it is stopped", async () => {
        await create(deployment("web", { replicas: 2 }));
        await podsReady(2);
        const record = await observe();
        await api.remove(kinds.deployments, "web", games);
        await until("it is gone", async () => assert.equal(await api.read(kinds.deployments, "web", games), undefined));
        assert.deepEqual(await stopped(record), []);
        await create(deployment("web"));
        await podsReady(1);
        await refused(stopped(record), /Deployment .*web: left as it is.*made anew.*pulumi up/s);
        assert.equal((await found(kinds.deployments, "web")).spec?.replicas, 1);
        const again = withObserved(record, await observe());
        assert.deepEqual(await stopped(again), [`Deployment ${games}/web: stopped (had 1 replica)`]);
        assert.deepEqual(await resume(clients, record, { claim: oldClaim }), {
          restored: [],
          left: [`Deployment ${games}/web: another one of its name stands there now`],
        });
      });

      it("two runs at once stop once and resume once; two volumes of one workload start it after the second", async () => {
        const { spec } = template("web");
        const volumes = [oldClaim, newClaim].map((claimName) => ({
          name: claimName,
          persistentVolumeClaim: { claimName },
        }));
        await create(
          deployment("web", {
            replicas: 3,
            template: { metadata: { labels: { app: "web" } }, spec: { ...spec, volumes } },
          }),
        );
        await podsReady(3);
        const record = await observe();
        const twice = (await Promise.all([stopped(record), stopped(record), stopped(record)])).flat();
        assert.deepEqual(twice, [`Deployment ${games}/web: stopped (had 3 replicas)`]);
        const { record: other } = await observeWorkloads(clients.kubernetes, { namespace: games, claim: newClaim });
        assert.deepEqual(other.owners[0]?.original, { replicas: 3 });
        await stopped(other);
        assert.deepEqual(holdOf(await found(kinds.deployments, "web"))?.for, [
          `${games}/${oldClaim}`,
          `${games}/${newClaim}`,
        ]);
        assert.deepEqual(await resume(clients, record, { claim: oldClaim }), {
          restored: [],
          left: [`Deployment ${games}/web: stays stopped for volume ${games}/${newClaim}`],
        });
        assert.deepEqual((await probed(record, oldClaim)).silent, [
          `Deployment ${games}/web: still stopped for volume ${games}/${newClaim}`,
        ]);
        const ends = await Promise.all([1, 2, 3].map(() => resume(clients, other, { claim: newClaim })));
        assert.deepEqual(
          ends.flatMap(({ restored }) => restored),
          [`Deployment ${games}/web: 3 replicas`],
        );
        const web = await found(kinds.deployments, "web");
        assert.deepEqual([web.spec?.replicas, web.metadata?.annotations?.[holdAnnotation]], [3, undefined]);
      });

      it("a person's own scale is left alone, while stopped and after it was resumed", async () => {
        await create(deployment("web", { replicas: 3 }));
        await podsReady(3);
        const record = await observe();
        await stopped(record);
        await api.patch(kinds.deployments, "web", { spec: { replicas: 1 } }, games);
        assert.deepEqual(await resume(clients, record, { claim: oldClaim }), {
          restored: [],
          left: [`Deployment ${games}/web: has 1 replica by now, which stays`],
        });
        await api.patch(kinds.deployments, "web", { spec: { replicas: 0 } }, games);
        assert.deepEqual(await resume(clients, record, { claim: oldClaim }), {
          restored: [],
          left: [`Deployment ${games}/web: it is stopped, and not by us any more; it had 3 replicas`],
        });
        assert.equal((await found(kinds.deployments, "web")).spec?.replicas, 0);
      });

      it("a write that the API server refuses for good is shown, not tried for ever", async () => {
        await create(deployment("web"));
        await podsReady(1);
        const record = await observe();
        const stale = [{ op: "test", path: "/spec/replicas", value: 7 }];
        await assert.rejects(api.patch(kinds.deployments, "web", stale, games), (error: unknown) => {
          assert.ok(error instanceof ApiRefusal);
          assert.deepEqual([error.status, error.reason], [422, "Invalid"]);
          return true;
        });
        await stopped(record);
        await assert.rejects(pointTo(clients, record, oldClaim, ""), /claimName: Required value/);
        assert.ok(written().filter(({ responseStatus }) => responseStatus?.code === 422).length < 5);
      });
    });

    describe("the probe", () => {
      it("names what the pods and the scheduler say, and the rollback", async () => {
        await create(deployment("web", { replicas: 2 }));
        await podsReady(2);
        const record = await observe();
        await stopped(record);
        await unmounted();
        await pointTo(clients, record, oldClaim, "nowhere");
        await resume(clients, record, { claim: "nowhere" });
        await until("the scheduler has said so", async () => {
          const said = await api.list(kinds.events, { namespace: games });
          assert.ok(said.some(({ message }) => message?.includes("nowhere")));
        });
        await refused(
          probed(record, "nowhere", 2),
          /not Ready on the claim nowhere within 2 s.*0 of 2 pods are Ready.*persistentvolumeclaim "nowhere" not found.*npm run rollback/s,
        );
      });
    });

    describe("what would undo it", () => {
      describe("by kinds that only some clusters have (no tool of theirs runs; the kinds' schemas are ours and take anything)", () => {
        before(() =>
          install(
            api,
            [...foreignKinds].map(([name, versions]) => definition(name, versions)),
          ),
        );

        it("is paused where that can be taken back, and let go on with the workload; a person's own pause stays", async () => {
          const flux = { "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": games };
          await create({
            ...deployment("web", { replicas: 2 }),
            metadata: { name: "web", namespace: games, labels: flux },
          });
          const kustomization = { apiVersion: "kustomize.toolkit.fluxcd.io/v1", kind: "Kustomization" };
          const scaledObject = { apiVersion: "keda.sh/v1alpha1", kind: "ScaledObject" };
          await create({ ...kustomization, metadata: { name: "apps", namespace: games }, spec: { interval: "1m" } });
          const spec = { scaleTargetRef: { name: "web" }, minReplicaCount: 0 };
          await create({ ...scaledObject, metadata: { name: "web", namespace: games }, spec });
          const annotations = { "autoscaling.keda.sh/paused": "true" };
          await create({ ...scaledObject, metadata: { name: "still", namespace: games, annotations }, spec });
          await podsReady(2);
          const before = await Promise.all(
            [found(kustomization, "apps"), found(scaledObject, "web")].map(async (one) => bare(await one)),
          );
          const observed = await observe();
          const { paused, findings, notes } = await undoers(clients.kubernetes, observed);
          assert.deepEqual(findings, []);
          assert.deepEqual(notes, [`ScaledObject ${games}/still is paused already`]);
          assert.deepEqual(
            paused.map(({ apiVersion, kind, name }) => `${apiVersion} ${kind} ${name}`),
            ["kustomize.toolkit.fluxcd.io/v1 Kustomization apps", "keda.sh/v1alpha1 ScaledObject web"],
          );
          const record = workloadRecord.parse({ ...observed, paused });
          assert.deepEqual(await stopped(record), [
            `Kustomization ${games}/apps: stopped (had not suspended)`,
            `ScaledObject ${games}/web: stopped (had not paused)`,
            `Deployment ${games}/web: stopped (had 2 replicas)`,
          ]);
          assert.equal((await found<Workload>(kustomization, "apps")).spec?.suspend, true);
          assert.equal(
            (await found(scaledObject, "web")).metadata?.annotations?.["autoscaling.keda.sh/paused"],
            "true",
          );
          // Looked at while they are paused, by us, they are still ours to let go on.
          assert.deepEqual((await undoers(clients.kubernetes, observed)).paused, paused);
          assert.equal((await resume(clients, record, { claim: oldClaim })).restored.length, 3);
          const after = await Promise.all(
            [found(kustomization, "apps"), found(scaledObject, "web")].map(async (one) => bare(await one)),
          );
          assert.deepEqual(after, before);
          assert.deepEqual((await found(scaledObject, "still")).metadata?.annotations, annotations);
        });

        it("is refused where its own source would take a pause back, and passes once it rests", async () => {
          const annotations = {
            "argocd.argoproj.io/tracking-id": `${games}:apps/Deployment:${games}/web`,
            "objectset.rio.cattle.io/id": "default-games-bundle-cattle-fleet-system",
          };
          await create({ ...deployment("web"), metadata: { name: "web", namespace: games, annotations } });
          const application = { apiVersion: "argoproj.io/v1alpha1", kind: "Application" };
          const bundle = { apiVersion: "fleet.cattle.io/v1alpha1", kind: "BundleDeployment" };
          const automated = { selfHeal: true };
          await create({
            ...application,
            metadata: { name: games, namespace: "default" },
            spec: { syncPolicy: { automated } },
          });
          const labels = {
            "fleet.cattle.io/bundle-name": "games-bundle",
            "fleet.cattle.io/bundle-namespace": "fleet-local",
          };
          await create({ ...bundle, metadata: { name: "games-bundle", namespace: games, labels }, spec: {} });
          await podsReady(1);
          const record = await observe();
          const asked = async () => undoers(clients.kubernetes, record);
          assert.deepEqual(
            (await asked()).findings.map(({ why, next }) => [
              why,
              next
                .split(/, or|`/)
                .slice(0, 2)
                .join(""),
            ]),
            [
              [
                `Deployment ${games}/web: Argo CD's Application ${games} would start it again: automated sync with selfHeal`,
                `kubectl -n default patch applications.argoproj.io ${games} --type merge -p '{"spec":{"syncPolicy":{"automated":null}}}'`,
              ],
              [
                `Deployment ${games}/web: Fleet's bundle default-games-bundle-cattle-fleet-system would start it again, at the next commit or by correctDrift`,
                "pause it at its GitRepo (spec.paused), where it has none, ",
              ],
            ],
          );
          await api.patch(application, games, { spec: { syncPolicy: { automated: null } } }, "default");
          await api.patch(bundle, "games-bundle", { spec: { paused: true } }, games);
          assert.deepEqual((await asked()).findings, []);
        });

        it("an operator's Deployment is refused with who keeps it, until it rests by its own resource", async () => {
          const operated = { apiVersion: "games.test/v1", kind: "Valheim" };
          const { metadata } = await create({ ...operated, metadata: { name: "odin", namespace: games }, spec: {} });
          const owner = { ...operated, name: "odin", uid: metadata?.uid ?? "", controller: true };
          await create({ ...deployment("web"), metadata: { name: "web", namespace: games, ownerReferences: [owner] } });
          await podsReady(1);
          const { findings } = await observeWorkloads(clients.kubernetes, ref());
          assert.match(
            findings[0]?.why ?? "",
            /belongs to something that only its own program can stop: Valheim games-\d+\/odin → Deployment games-\d+\/web/,
          );
          await api.patch(kinds.deployments, "web", { spec: { replicas: 0 } }, games);
          assert.deepEqual((await observe()).owners[0]?.original, { replicas: 0 });
        });

        /** Without what the server counts and dates. */
        function bare({ metadata, ...object }: StoredObject): object {
          const { name, annotations = {} } = metadata ?? {};
          return { ...object, name, annotations };
        }
      });

      it("a HorizontalPodAutoscaler rests while its target is at 0, by its own account, and is left as it is", async () => {
        await create(deployment("web", { replicas: 2 }));
        await create({
          ...kinds.autoscalers,
          metadata: { name: "web", namespace: games },
          spec: {
            minReplicas: 2,
            maxReplicas: 5,
            scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
          },
        });
        await podsReady(2);
        const record = await observe();
        assert.deepEqual(await undoers(clients.kubernetes, record), {
          paused: [],
          findings: [],
          notes: [
            `HorizontalPodAutoscaler ${games}/web rests while Deployment ${games}/web is at 0, and goes on after it`,
          ],
        });
        await stopped(record);
        await until("it says that it rests", async () => {
          const { status } = await found(kinds.autoscalers, "web");
          const active = status?.conditions?.find(({ type }) => type === "ScalingActive");
          assert.deepEqual([active?.status, active?.reason], ["False", "ScalingDisabled"]);
        });
        assert.equal((await found(kinds.deployments, "web")).spec?.replicas, 0);
      });
    });

    function selected(app: string, more: Partial<V1PodSpec> = {}) {
      return { selector: { matchLabels: { app } }, template: template(app, more) };
    }

    function deployment(name: string, spec: object = {}) {
      return {
        ...kinds.deployments,
        metadata: { name, namespace: games },
        spec: { replicas: 1, ...selected(name), ...spec },
      };
    }
  });
}

/** Plural, group and versions by kind, as their tools have them; one is of no tool. */
const foreignKinds = new Map([
  ["Kustomization kustomizations.kustomize.toolkit.fluxcd.io", ["v1beta2", "v1"]],
  ["ScaledObject scaledobjects.keda.sh", ["v1alpha1"]],
  ["Application applications.argoproj.io", ["v1alpha1"]],
  ["BundleDeployment bundledeployments.fleet.cattle.io", ["v1alpha1"]],
  ["Valheim valheims.games.test", ["v1"]],
]);

function definition(name: string, versions: readonly string[]): V1CustomResourceDefinition {
  const [kind = "", full = ""] = name.split(" ");
  const [plural = "", ...group] = full.split(".");
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: full },
    spec: {
      group: group.join("."),
      scope: "Namespaced",
      names: { kind, plural },
      versions: versions.map((version, index) => ({
        name: version,
        served: true,
        storage: index === versions.length - 1,
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      })),
    },
  };
}

function template(
  app: string,
  more: Partial<V1PodSpec> = {},
  claimName = oldClaim,
  annotations: Record<string, string> = {},
): V1PodTemplateSpec {
  return {
    metadata: { labels: { app }, annotations },
    spec: {
      containers: [{ name: "main", image: "invalid", volumeMounts: [{ name: "data", mountPath: "/data" }] }],
      volumes: [{ name: "data", persistentVolumeClaim: { claimName } }],
      ...more,
    },
  };
}

async function refused(action: Promise<unknown>, pattern: RegExp): Promise<void> {
  await assert.rejects(action, (error: unknown) => {
    assert.ok(error instanceof Refusal, String(error));
    assert.match(error.message, pattern);
    return true;
  });
}
