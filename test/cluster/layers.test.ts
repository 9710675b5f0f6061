import assert from "node:assert/strict";
import type { V1Job, V1Namespace, V1PodSpec } from "@kubernetes/client-node";
import Table from "cli-table3";
import type { StoredObject } from "../../operations/clients";
import * as kinds from "../../operations/kinds";
import { podSecurity, type PodSecurityLevel } from "../../operations/pod-security";
import { refusedByPodSecurity } from "../../operations/volumes/migration-pod";
import { reveal, type Registration } from "../../rehearsal/record";
import { skip } from "../support/needs";
import { ApiClient } from "./lab/api-client";
import { beforeIngress, beforeVolumes, furnish } from "./lab/cluster-before";
import { combinations, fileOf, isObject, leftOut, recordingOf, titleOf, type Recorded } from "./lab/combinations";
import { ControlPlane, minors, type Minor } from "./lab/control-plane";
import { metallbFile, yamlObjects } from "./lab/crds";
import { deprecatedApis } from "./lab/deprecated";
import { differencesFrom, longhornNote } from "./lab/longhorn-kinds";
import { readyPods } from "./lab/nodes";
import { until } from "./lab/processes";
import { objectOf, Provider, type Write } from "./lab/provider";
import { gone, isClean, take, unchanged } from "./lab/take";

const layers = ["services", "volumes"] as const;
const levels: readonly PodSecurityLevel[] = ["privileged", "baseline", "restricted"];

for (const minor of minors) {
  describe(`the recorded layers on the ${minor} API server (no engine, no Helm release, no webhook of MetalLB or Longhorn; kwok's pods run nothing)`, () => {
    let plane: ControlPlane;
    let api: ApiClient;
    let furniture: Awaited<ReturnType<typeof furnish>>;
    const rows: string[][] = [];
    /** Layers that this server has had, with the row that says so. */
    const had = new Map<string, string>();
    /** Namespaces of the program that are there, as they were declared: to delete and make one anew takes seconds. */
    const namespaces = new Map<string, string>();
    /** What is taken away after each test. */
    let applied: { readonly provider: Provider; readonly registration: Registration }[] = [];

    let removeClaims = async (): Promise<void> => undefined;

    before(async () => {
      plane = await ControlPlane.start({ minor });
      api = new ApiClient(plane.kubeconfigFor("provider", ["system:masters"]));
      furniture = await furnish(plane, minor);
    });

    after(async () => {
      if (rows.length > 0) print(minor, plane.version, rows);
      await furniture?.stop();
      api?.close();
      await plane?.stop();
    });

    afterEach("the cluster is as it was before, and no part has ended", async () => {
      assert.deepEqual(plane.casualties(), []);
      await Promise.all(applied.map(({ provider, registration }) => provider.remove(registration)));
      await Promise.all(applied.map(({ provider, registration }) => gone(provider, registration)));
      applied = [];
      await removeClaims();
      removeClaims = async () => undefined;
    });

    for (const [index, combination] of combinations().entries()) {
      it(`takes every object of ${titleOf(combination)}, and is not changed by the same again`, async () => {
        const recorded = await recordingOf(combination);
        const file = fileOf(combination);
        const row = String(index + 1);
        await beforeIngress(plane, file);
        if (isNew(recorded.volumes)) removeClaims = await beforeVolumes(plane, file);
        const counted = requests();
        const objects: string[] = [];
        for (const layer of layers) objects.push(await applyLayer(recorded[layer], row));
        const others = layers.map((layer) => `${layer}: ${leftOut(recorded[layer])}`).join("\n");
        rows.push([row, titleOf(combination), ...objects, String(requests() - counted), others]);
      });
    }

    it("was asked for nothing that it calls deprecated, by its audit log and by its own count", async () => {
      const said = plane.audit().filter(({ user, annotations }) => user.username === "provider" && annotations);
      assert.deepEqual(
        said.filter(({ annotations = {} }) => annotations["k8s.io/deprecated"] === "true"),
        [],
      );
      // The count does not say who asked: Kubernetes' own parts ask for deprecated kinds too.
      const recorded = await Promise.all(combinations().map(recordingOf));
      const objects = recorded.flatMap((one) => layers.flatMap((layer) => one[layer].filter(isObject).map(objectOf)));
      const ours = new Set(await Promise.all(objects.map(resourceOf)));
      assert.ok(ours.has("batch/v1 jobs"));
      assert.deepEqual(
        (await deprecatedApis(api)).filter((one) => ours.has(one)),
        [],
      );
    });

    it("takes the pods of each of the program's namespaces at the level that the namespace states", async () => {
      const declared = await namespacesOfTheProgram();
      assert.deepEqual(Object.fromEntries([...declared].map(([name, { metadata }]) => [name, metadata?.labels])), {
        "home-cluster": podSecurity("restricted"),
        "longhorn-system": podSecurity("privileged"),
        "metallb-system": podSecurity("privileged"),
      });
      for (const [name, { metadata }] of declared)
        if (!namespaces.has(name)) await plane.namespace(name, metadata?.labels);
      // MetalLB's own pods, by the manifests of its release. (The chart's are templates.)
      const theirs = yamlObjects(await metallbFile("config/manifests/metallb-native.yaml")) as StoredObject[];
      for (const object of theirs.filter(({ kind }) => /^(ServiceAccount|Deployment|DaemonSet)$/.test(kind ?? "")))
        isClean(await post(object));
      await readyPods(plane.api, 2, { namespace: "metallb-system", labels: { app: "metallb" } });
      isClean(await post(pod("longhorn-system", likeLonghorn)));
      // And nobody's pod beside the ledgers that could do anything.
      const { refused } = await post(pod("home-cluster", likeLonghorn));
      assert.match(refused ?? "", /violates PodSecurity "restricted:latest": privileged/);
    });

    for (const level of levels) {
      it(`takes a migration's pods in a ${level} namespace exactly if the preflight says so`, async () => {
        const [combination] = combinations();
        assert.ok(combination);
        const jobs = (await recordingOf(combination)).volumes.filter(isJob).map((one): V1Job => objectOf(one));
        const namespace = `level-${level}`;
        await plane.namespace(namespace, podSecurity(level));
        const verdicts = new Set<boolean>();
        for (const { metadata, spec } of jobs) {
          const { refused } = await post(pod(namespace, spec?.template.spec, metadata?.name));
          verdicts.add(refused === undefined);
        }
        assert.deepEqual([...verdicts], [refusedByPodSecurity(level) === undefined]);
        await plane.api.remove(kinds.namespaces, namespace);
      });
    }

    describe("one of these tests fails", () => {
      before(() => plane.namespace("sceptic", podSecurity("restricted")));

      it("for a field that the kind does not have, of Kubernetes or of a CRD", async () => {
        await assert.rejects(sceptic({ kind: "ConfigMap", datas: {} }), /\.datas: field not declared in schema/);
        const job = { apiVersion: "longhorn.io/v1beta2", kind: "RecurringJob" };
        await assert.rejects(
          sceptic({ ...job, spec: { retains: 1 } }),
          /\.spec\.retains: field not declared in schema/,
        );
      });

      it("for a word that a CRD does not take", async () => {
        const config = { apiVersion: "helm.cattle.io/v1", kind: "HelmChartConfig" };
        await assert.rejects(sceptic({ ...config, spec: { failurePolicy: "undo" } }), /Unsupported value: "undo"/);
      });

      it("for a deprecated field", async () => {
        const volumes = [{ name: "data", gitRepo: { repository: "https://git.example.test/data" } }];
        const [container] = likeLonghorn.containers;
        const template = {
          spec: { restartPolicy: "Never", containers: [{ ...container, volumeMounts: [] }], volumes },
        };
        const job = { apiVersion: "batch/v1", kind: "Job", spec: { template } };
        await assert.rejects(sceptic(job), /spec\.template\.spec\.volumes\[0\]\.gitRepo: deprecated/);
      });

      it("for a deprecated version of a kind, by the warning and by the server's count", async () => {
        const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
        const spec = { maxReplicas: 2, scaleTargetRef };
        const object: StoredObject =
          minor === "oldest"
            ? { apiVersion: "autoscaling/v2beta2", kind: "HorizontalPodAutoscaler", ...{ spec } }
            : { apiVersion: "v1", kind: "Endpoints" };
        await assert.rejects(sceptic(object), / is deprecated in v1\.\d+/);
        assert.ok((await deprecatedApis(api)).includes(await resourceOf(object)));
      });

      it("for a version of a kind that is not there any more", async () => {
        await assert.rejects(
          sceptic({ apiVersion: "batch/v1beta1", kind: "CronJob" }),
          /no matches for kind "CronJob"/,
        );
      });

      it("for a Job whose pods the namespace would refuse", async () => {
        const spec = { template: { spec: { ...likeLonghorn, restartPolicy: "Never" } } };
        const job = { apiVersion: "batch/v1", kind: "Job", spec };
        await assert.rejects(sceptic(job), /would violate PodSecurity "restricted:latest": privileged/);
      });

      it("for a value that the server does not keep", async () => {
        const ports = [{ port: 80, name: "" }];
        await assert.rejects(
          sceptic({ kind: "Service", ...{ spec: { ports } } }),
          /ports\[0\]\.name: "" became undefined/,
        );
      });

      it("for an object that is another one whenever it is declared", async () => {
        let round = 0;
        const registration = {
          ...registrationOf({ kind: "ConfigMap" }),
          get inputs() {
            return { ...objectIn("sceptic", { kind: "ConfigMap" }), data: { round: String((round += 1)) } };
          },
        };
        const provider = new Provider(api, true);
        await provider.create(registration);
        await assert.rejects(
          unchanged(provider, registration, 1),
          /stays as it is when it is applied again: not within 1 s.*round/s,
        );
      });

      it("for a Service of Rancher's that is taken without force", async () => {
        const spec = { ports: [{ port: 80 }], type: "NodePort" };
        const service = objectIn("sceptic", { kind: "Service", ...{ spec } });
        await plane.api.create(service);
        const taken = registrationOf({ kind: "Service", ...{ spec: { ...spec, type: "LoadBalancer" } } });
        const options = { ...taken.options, importId: "sceptic/object" };
        await assert.rejects(
          take(new Provider(api, false), { ...taken, options }),
          /conflict with "home-cluster".*\.spec\.type/s,
        );
      });
    });

    function isNew(registrations: readonly Registration[]): boolean {
      return !had.has(withoutUids(registrations));
    }

    /** Applies a layer's objects in their order; says how many there are, and where the same have been applied before. */
    async function applyLayer(registrations: Recorded["services"], row: string): Promise<string> {
      const objects = registrations.filter(isObject);
      const key = withoutUids(registrations);
      const before = had.get(key);
      if (before !== undefined) return `${objects.length} (as in ${before})`;
      const provider = new Provider(api, upserts(registrations));
      for (const registration of objects) {
        const { kind, metadata: { name = "" } = {} } = objectOf(registration);
        const text = JSON.stringify(objectOf(registration));
        const there = kind === "Namespace" ? namespaces.get(name) : undefined;
        if (there === text) continue;
        if (there !== undefined) await provider.remove(registration).then(() => gone(provider, registration));
        if (kind === "Namespace") namespaces.set(name, text);
        else applied.push({ provider, registration });
        await take(provider, registration);
      }
      await jobsComplete(objects.filter(isJob).map(objectOf));
      had.set(key, row);
      return String(objects.length);
    }

    /** Which they only are when the namespace lets their pods in and a node takes them. */
    async function jobsComplete(jobs: readonly V1Job[]): Promise<void> {
      for (const { metadata } of jobs) {
        await until(`${metadata?.namespace}/${metadata?.name} is complete`, async () => {
          const { status } = (await plane.api.read(kinds.jobs, metadata?.name ?? "", metadata?.namespace)) ?? {};
          if (!status?.conditions?.some((one) => one.type === "Complete" && one.status === "True"))
            throw new Error(JSON.stringify(status));
        });
      }
    }

    /** What has been asked for objects so far, as the provider's user; discovery left out. */
    function requests(): number {
      const mine = plane.audit().filter(({ user }) => user.username === "provider");
      return mine.filter(({ objectRef }) => objectRef?.resource !== undefined).length;
    }

    /** `batch/v1 jobs`. */
    async function resourceOf(object: StoredObject): Promise<string> {
      return `${object.apiVersion} ${(await api.paths(object)).all.split("/").at(-1)}`;
    }

    /** Made for real, by whoever the provider is. */
    async function post(object: StoredObject): Promise<Write> {
      const { all } = await api.paths(object);
      const { status, body, warnings } = await api.send("POST", all, {
        body: object,
        query: { fieldValidation: "Strict" },
      });
      const refused = status > 299 ? String((body as { message?: string }).message) : undefined;
      return { what: `create ${object.kind} ${object.metadata?.name}`, status, refused, warnings, object };
    }

    /** What the tests above do with a registration, done with an object in a namespace of its own. */
    async function sceptic(object: StoredObject & { datas?: object; spec?: object }): Promise<void> {
      const registration = registrationOf(object);
      const provider = new Provider(api, true);
      try {
        await take(provider, registration);
      } finally {
        await provider.remove(registration).catch(() => undefined);
      }
    }
  });
}

describe(longhornNote, () => {
  it("agree with the chart of LONGHORN_CHART (says nothing of what Longhorn's webhook changes)", function () {
    const { LONGHORN_CHART: chart } = process.env;
    if (!chart) skip(this, "LONGHORN_CHART names no chart (a folder or a .tgz)");
    assert.deepEqual(differencesFrom(chart), []);
  });
});

function isJob({ type }: Registration): boolean {
  return type === "kubernetes:batch/v1:Job";
}

/** By the layer's own provider. */
function upserts(registrations: readonly Registration[]): boolean {
  const provider = registrations.find(({ type }) => type === "pulumi:providers:kubernetes");
  assert.ok(provider, "the layer has no provider to the cluster");
  return String(reveal(provider.inputs.upsertExistingObjects)) === "true";
}

/** A layer's objects as text; the pretend home's UIDs, which say when it made something, left out. */
function withoutUids(registrations: readonly Registration[]): string {
  const objects = registrations.filter(isObject).map(objectOf);
  const text = JSON.stringify(objects.map((object) => JSON.stringify(object)).sort());
  return text.replaceAll(/[0-9a-f]{8}-0000-4000-8000-\d{12}/g, "uid");
}

/** By name, of all combinations. */
async function namespacesOfTheProgram(): Promise<ReadonlyMap<string, V1Namespace>> {
  const recorded = await Promise.all(combinations().map(recordingOf));
  const all = recorded.flatMap((one) => layers.flatMap((layer) => one[layer].filter(isObject)));
  const namespaces = all.map(objectOf).filter(({ kind }) => kind === "Namespace");
  return new Map(namespaces.map((one) => [one.metadata?.name ?? "", one] as const).sort());
}

/** As Longhorn's manager asks for (chart/templates/daemonset-sa.yaml). */
const likeLonghorn: V1PodSpec = {
  containers: [
    {
      name: "main",
      image: "example.test/main:1",
      securityContext: { privileged: true },
      volumeMounts: [{ name: "dev", mountPath: "/host/dev" }],
    },
  ],
  volumes: [{ name: "dev", hostPath: { path: "/dev/" } }],
};

function pod(namespace: string, spec: V1PodSpec | undefined, name = "object"): StoredObject {
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace }, ...{ spec } };
}

function objectIn(namespace: string, object: StoredObject): StoredObject {
  return { apiVersion: "v1", ...object, metadata: { ...object.metadata, name: "object", namespace } };
}

function registrationOf(object: StoredObject): Registration {
  const name = `${object.kind}`;
  return {
    urn: `urn:pulumi:test::test::${name}::object`,
    type: "kubernetes:test:Object",
    name: "object",
    custom: true,
    parent: "",
    provider: "",
    inputs: { ...objectIn("sceptic", object) },
    dependencies: [],
    options: {
      protect: false,
      retainOnDelete: false,
      deleteBeforeReplace: false,
      deletedWith: "",
      ignoreChanges: [],
      importId: "",
      customTimeouts: { create: "", update: "", delete: "" },
      aliases: [],
      additionalSecretOutputs: [],
    },
  };
}

function print(minor: Minor, version: string, rows: readonly string[][]): void {
  const head = ["", "combination", "services", "volumes", "requests here", "recorded and left out"];
  const table = new Table({ head, style: { head: [], border: [] } });
  table.push(...rows);
  process.stdout.write(`objects applied to Kubernetes ${version} (${minor}); ${longhornNote}\n${table.toString()}\n`);
}
