import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type { V1Job, V1Pod, V1PodSpec } from "@kubernetes/client-node";
import type { Clients, Kind, KubernetesApi, StoredObject } from "../../operations/clients";
import { kubernetesClient } from "../../operations/clients/kubernetes";
import * as kinds from "../../operations/kinds";
import { Refusal } from "../../operations/refusal";
import { concludeCutover } from "../../operations/volumes/conclude-cutover";
import type { CutoverVolume } from "../../operations/volumes/cutover-input";
import { finalizeVolume } from "../../operations/volumes/finalize-volume";
import { readLedger, writeLedger, type Ledger } from "../../operations/volumes/ledger";
import { migrationLabels, volumeAnnotation } from "../../operations/volumes/migration-pod";
import { prepareCutover } from "../../operations/volumes/prepare-cutover";
import { quiesceVolume } from "../../operations/volumes/quiesce-volume";
import { probeVolume, resumeVolume } from "../../operations/volumes/resume-volume";
import { rollbackVolume } from "../../operations/volumes/rollback-volume";
import { switchVolume } from "../../operations/volumes/switch-volume";
import { ApiClient } from "./lab/api-client";
import { ControlPlane, minors } from "./lab/control-plane";
import { addNodes, isReady } from "./lab/nodes";
import { until } from "./lab/processes";
import { Provisioner } from "./lab/provisioner";

type Way = CutoverVolume["switch"];

/** A namespace with one workload whose volume is copied; `web` by a claim that its template names, `db` by one that its claim template makes. */
interface Home {
  readonly namespace: string;
  readonly claim: string;
  readonly newClaim: string;
  readonly way: Way;
  readonly volume: CutoverVolume;
}

const steps = ["prepare", "quiesce", "conclude", "switch", "resume", "probe"] as const;
type Step = (typeof steps)[number];
const finalJob = "volume-final-verification";

class Killed extends Error {}

for (const minor of minors) {
  describe(`a cutover and its rollback on the ${minor} API server with its own controllers (kwok's pods run nothing: nothing is copied, compared or mounted)`, () => {
    let plane: ControlPlane;
    let raw: ApiClient;
    let api: KubernetesApi;
    let clients: Clients;
    const provisioners: Provisioner[] = [];
    const lines: string[] = [];
    let homes = 0;

    before(async () => {
      plane = await ControlPlane.start({ minor });
      raw = new ApiClient(plane.kubeconfigFor("kubelet-of-the-test", ["system:masters"]));
      api = plane.api;
      clients = clientsOf(kubernetesClient(plane.kubeconfigFor("cutover", ["system:masters"])));
      await addNodes(api, [
        { name: "debian-1", labels: kinds.debianLabels },
        { name: "rancheros-1", unschedulable: true },
      ]);
      await api.create({
        ...kinds.csiNodes,
        metadata: { name: "debian-1" },
        spec: { drivers: [{ name: kinds.longhornDriver, nodeID: "debian-1", topologyKeys: null }] },
      } as StoredObject);
      for (const [name, provisioner, source] of [
        ["nfs-client", "nfs.test", "nfs"],
        [kinds.longhornClass, kinds.longhornDriver, "csi"],
      ] as const) {
        await api.create({
          ...kinds.storageClasses,
          metadata: { name },
          provisioner,
          reclaimPolicy: "Delete",
        } as StoredObject);
        provisioners.push(Provisioner.start(plane, { name: provisioner, source }));
      }
      await plane.namespace("home-cluster");
    });

    after(async () => {
      for (const one of provisioners) await one.stop();
      raw?.close();
      await plane?.stop();
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

    /** Clients whose process ends after one request that changes something. */
    function killedAfterOne(): Clients {
      let dead = false;
      const kubernetes = new Proxy(clients.kubernetes, {
        get(target, property, receiver) {
          const value: unknown = Reflect.get(target, property, receiver);
          if (typeof value !== "function") return value;
          return async (...args: unknown[]) => {
            if (dead) throw new Killed();
            const answer: unknown = await (value as (...given: unknown[]) => Promise<unknown>).apply(target, args);
            if (["create", "replace", "patch", "remove"].includes(String(property))) {
              dead = true;
              throw new Killed();
            }
            return answer;
          };
        },
      });
      return { ...clients, kubernetes };
    }

    /** Runs it again and again, each time until its next change. Returns how often it was killed. */
    async function bitByBit(run: (dying: Clients) => Promise<unknown>): Promise<number> {
      for (let kills = 0; kills < 100; kills += 1) {
        try {
          await run(killedAfterOne());
          return kills;
        } catch (error) {
          if (!(error instanceof Killed)) throw error;
        }
      }
      return assert.fail("it never came to its end");
    }

    const found = async <T extends StoredObject>(kind: Kind<T>, name: string, namespace?: string): Promise<T> => {
      const object = await api.read(kind, name, namespace);
      assert.ok(object, `${kind.kind} ${name}`);
      return object;
    };

    async function bound(namespace: string, name: string): Promise<string> {
      return until(`claim ${name} is bound`, async () => {
        const { status, spec } = await found(kinds.claims, name, namespace);
        if (status?.phase !== "Bound" || spec?.volumeName === undefined) throw new Error(String(status?.phase));
        return spec.volumeName;
      });
    }

    /** A workload that runs, its volume copied, its ledger warm. */
    async function home(way: Way): Promise<Home> {
      const namespace = `home-${(homes += 1)}`;
      await plane.namespace(namespace);
      const spec = (claimName?: string): V1PodSpec => ({
        containers: [{ name: "main", image: "invalid.test/main" }],
        ...(claimName !== undefined && { volumes: [{ name: "data", persistentVolumeClaim: { claimName } }] }),
        terminationGracePeriodSeconds: 0,
      });
      const labels = { app: "app" };
      const request = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
      const claim = way === "same-name" ? "data-db-0" : "data";
      if (way === "new-claim") {
        await api.create({
          ...kinds.claims,
          metadata: { name: claim, namespace },
          spec: { ...request, storageClassName: "nfs-client" },
        } as StoredObject);
        await api.create({
          apiVersion: "apps/v1",
          kind: "Deployment",
          metadata: { name: "web", namespace },
          spec: {
            replicas: 2,
            selector: { matchLabels: labels },
            template: { metadata: { labels }, spec: spec(claim) },
          },
        } as StoredObject);
      } else {
        await api.create({
          apiVersion: "apps/v1",
          kind: "StatefulSet",
          metadata: { name: "db", namespace },
          spec: {
            replicas: 1,
            serviceName: "db",
            selector: { matchLabels: labels },
            template: { metadata: { labels }, spec: spec() },
            volumeClaimTemplates: [
              {
                metadata: { name: "data", labels: { of: "db" } },
                spec: { ...request, storageClassName: "nfs-client" },
              },
            ],
          },
        } as StoredObject);
      }
      const newClaim = `${claim}-longhorn`;
      await api.create({
        ...kinds.claims,
        metadata: {
          name: newClaim,
          namespace,
          labels: migrationLabels,
          annotations: { [volumeAnnotation]: `${namespace}/${claim}` },
        },
        spec: { ...request, storageClassName: kinds.longhornClass, resources: { requests: { storage: "2Gi" } } },
      } as StoredObject);
      const made: Home = {
        ...{ namespace, claim, newClaim, way },
        volume: { environment: "home", namespace, claim, newClaim, switch: way, attempt: 1 },
      };
      const sourceVolume = await bound(namespace, claim);
      await bound(namespace, newClaim);
      await running(made, claim);
      const uidOf = async (name: string): Promise<string> =>
        (await found(kinds.claims, name, namespace)).metadata?.uid ?? "";
      const ledger: Ledger = {
        version: 1,
        volume: `${namespace}/${claim}`,
        phase: "warm",
        attempt: 1,
        sourceUid: await uidOf(claim),
        sourceVolume,
        targetClaim: newClaim,
        targetUid: await uidOf(newClaim),
        times: {},
        consumers: [],
      };
      await writeLedger(clients, made, () => ledger);
      return made;
    }

    const replicas = ({ way }: Home): number => (way === "new-claim" ? 2 : 1);

    /** Waits until the workload's pods are ready, with the claim. */
    async function running(at: Home, claim: string): Promise<void> {
      await until(`the workload of ${at.namespace} runs on ${claim}`, async () => {
        const all = (await api.list(kinds.pods, { namespace: at.namespace, labels: { app: "app" } })).filter(
          ({ metadata }) => metadata?.deletionTimestamp === undefined,
        );
        const good = all.filter(
          (pod) => isReady(pod) && pod.spec?.volumes?.some((one) => one.persistentVolumeClaim?.claimName === claim),
        );
        if (all.length !== replicas(at) || good.length !== all.length)
          throw new Error(JSON.stringify(all.map(({ metadata, status }) => [metadata?.name, status?.phase])));
      });
    }

    /** The Jobs behind the fence, as kwok runs them: their pods mount both claims, end, and stay. The verification's leaves its findings. */
    async function finalJobs(at: Home, fence: string): Promise<void> {
      const job = (name: string): V1Job => ({
        apiVersion: "batch/v1",
        kind: "Job",
        metadata: { name, namespace: at.namespace, labels: migrationLabels },
        spec: {
          template: {
            metadata: { labels: migrationLabels },
            spec: {
              restartPolicy: "Never",
              nodeSelector: kinds.debianLabels,
              containers: [{ name: "main", image: "invalid.test/main" }],
              volumes: [at.claim, at.newClaim].map((claimName, index) => ({
                name: `volume-${index}`,
                persistentVolumeClaim: { claimName },
              })),
            },
          },
        },
      });
      for (const name of ["volume-final-migration", finalJob]) {
        await api.create(job(name));
        await until(`${name} is complete`, async () => {
          const { status } = await found(kinds.jobs, name, at.namespace);
          if (!status?.conditions?.some((one) => one.type === "Complete" && one.status === "True"))
            throw new Error(JSON.stringify(status));
        });
      }
      const [pod] = await api.list<V1Pod>(kinds.pods, { namespace: at.namespace, labels: { "job-name": finalJob } });
      assert.ok(pod);
      const message = JSON.stringify({
        ...{ version: 1, entries: 3, bytes: 4, differences: 0, first: [], manifest: "ab", vanished: 0 },
        ...{ phase: "final", fence },
      });
      const containerStatuses = (pod.status?.containerStatuses ?? []).map((one) => ({
        ...one,
        state: { terminated: { ...one.state?.terminated, message } },
      }));
      const { one } = await raw.paths(pod);
      const { status, body } = await raw.send("PATCH", `${one}/status`, {
        body: { status: { containerStatuses } },
        contentType: "application/merge-patch+json",
      });
      assert.equal(status, 200, JSON.stringify(body));
    }

    async function step(at: Home, name: Step, by: Clients = clients): Promise<void> {
      const { volume } = at;
      if (name === "prepare") await prepareCutover.run(volume, by);
      if (name === "quiesce") {
        const { fence } = await quiesceVolume.run(volume, by);
        if ((await readLedger(api, volume))?.phase === "quiesced") await finalJobs(at, fence);
      }
      if (name === "conclude") await concludeCutover.run({ ...volume, job: finalJob }, by);
      if (name === "switch") await switchVolume.run(volume, by);
      if (name === "resume") await resumeVolume.run(volume, by);
      if (name === "probe") await probeVolume.run(volume, by);
    }

    async function cutOver(at: Home, last: Step = "probe"): Promise<void> {
      for (const name of steps.slice(0, steps.indexOf(last) + 1)) await step(at, name);
    }

    const back = (at: Home, by: Clients = clients) =>
      rollbackVolume.run({ environment: "home", namespace: at.namespace, claim: at.claim }, by);

    /** Which claim has which volume, and what becomes of that. */
    async function layout(at: Home): Promise<Record<string, string>> {
      const all = await api.list(kinds.claims, { namespace: at.namespace });
      const said = await Promise.all(
        all.map(async ({ metadata, spec, status }) => {
          const volume = await found(kinds.volumes, spec?.volumeName ?? "");
          const { persistentVolumeReclaimPolicy: policy, claimRef } = volume.spec ?? {};
          assert.equal(claimRef?.uid, metadata?.uid);
          return [
            metadata?.name ?? "",
            `${spec?.volumeName} ${status?.phase} ${policy} ${volume.status?.phase}`,
          ] as const;
        }),
      );
      return Object.fromEntries([...said].sort(([a], [b]) => a.localeCompare(b)));
    }

    const writes = (): number =>
      plane.audit().filter(({ user, verb }) => user.username === "cutover" && !["get", "list"].includes(verb)).length;

    const volumesOf = async (at: Home): Promise<readonly [string, string]> => [
      await bound(at.namespace, at.claim),
      await bound(at.namespace, at.newClaim),
    ];

    for (const way of ["new-claim", "same-name"] as const) {
      describe(way, () => {
        const after = (at: Home, [old, fresh]: readonly [string, string]): Record<string, string> =>
          way === "new-claim"
            ? { [at.claim]: `${old} Bound Retain Bound`, [at.newClaim]: `${fresh} Bound Retain Bound` }
            : { [at.claim]: `${fresh} Bound Retain Bound`, [`${at.claim}-old`]: `${old} Bound Retain Bound` };
        const live = (at: Home): string => (way === "new-claim" ? at.newClaim : at.claim);

        it("moves the workload, keeps both volumes, and changes nothing when every step runs again", async () => {
          const at = await home(way);
          const pair = await volumesOf(at);
          await cutOver(at);
          await running(at, live(at));
          assert.deepEqual(await layout(at), after(at, pair));
          assert.equal((await readLedger(api, at))?.phase, "switched");
          if (way === "same-name")
            assert.deepEqual((await found(kinds.claims, at.claim, at.namespace)).metadata?.labels, {
              app: "app",
              of: "db",
            });
          const before = writes();
          for (const name of steps) await step(at, name);
          assert.equal(writes(), before);
          await finalizeVolume.run(at.volume, clients);
          // Its class deletes: nothing goes as long as a claim keeps it.
          assert.deepEqual(
            Object.values(await layout(at)).map((one) => one.replace("Delete", "Retain")),
            Object.values(after(at, pair)),
          );
        });

        for (const last of steps.slice(1)) {
          it(`goes back after ${last}, with its replicas, and a second time there is nothing to do`, async () => {
            const at = await home(way);
            const [old, fresh] = await volumesOf(at);
            await cutOver(at, last);
            assert.equal((await back(at)).state, "done");
            await running(at, at.claim);
            assert.deepEqual(await layout(at), {
              [at.claim]: `${old} Bound Retain Bound`,
              [at.newClaim]: `${fresh} Bound Retain Bound`,
            });
            const before = writes();
            assert.equal((await back(at)).state, "nothing");
            assert.equal(writes(), before);
          });
        }

        it("killed after each single change, every step goes on to the same end; so does the way back", async () => {
          const at = await home(way);
          const pair = await volumesOf(at);
          const kills: Partial<Record<Step | "rollback", number>> = {};
          for (const name of steps) {
            if (name === "quiesce") {
              kills.quiesce = await bitByBit((dying) => quiesceVolume.run(at.volume, dying));
              await step(at, "quiesce");
            } else kills[name] = await bitByBit((dying) => step(at, name, dying));
          }
          await running(at, live(at));
          assert.deepEqual(await layout(at), after(at, pair));
          kills.rollback = await bitByBit((dying) => back(at, dying));
          await running(at, at.claim);
          const [old, fresh] = pair;
          assert.deepEqual(await layout(at), {
            [at.claim]: `${old} Bound Retain Bound`,
            [at.newClaim]: `${fresh} Bound Retain Bound`,
          });
          assert.ok((kills.switch ?? 0) >= (way === "same-name" ? 8 : 3), JSON.stringify(kills));
          assert.ok((kills.rollback ?? 0) >= (way === "same-name" ? 8 : 4), JSON.stringify(kills));
        });
      });
    }

    it("a pod that mounts a claim behind the fence stops the switch, and the rollback still goes", async () => {
      const at = await home("same-name");
      await cutOver(at, "conclude");
      await api.create({
        ...kinds.pods,
        metadata: { name: "intruder", namespace: at.namespace },
        spec: {
          containers: [{ name: "main", image: "invalid.test/main" }],
          volumes: [{ name: "data", persistentVolumeClaim: { claimName: at.claim } }],
        },
      } as StoredObject);
      await assert.rejects(
        step(at, "switch"),
        (error) => error instanceof Refusal && /the fence does not stand any more.*pod intruder/s.test(error.message),
      );
      await back(at);
      await running(at, at.claim);
    });
  });
}
