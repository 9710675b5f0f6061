import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { V1Node, V1PersistentVolumeClaim } from "@kubernetes/client-node";
import { ApiRefusal, type Clients, type KubernetesApi, type StoredObject } from "../../operations/clients";
import { kubernetesClient } from "../../operations/clients/kubernetes";
import * as kinds from "../../operations/kinds";
import { membershipInput } from "../../operations/nodes/membership-input";
import { refreshMembership } from "../../operations/nodes/refresh-membership";
import { Refusal } from "../../operations/refusal";
import { checkLonghornRelease } from "../../operations/storage/check-longhorn-release";
import { defaultClass, recordAnnotation, restoreDefaultClass } from "../../operations/storage/default-class";
import { leaveLonghorn } from "../../operations/storage/leave-longhorn";
import { storageReady } from "../../operations/storage/storage-ready";
import { reveal } from "../../rehearsal/record";
import { versions } from "../../versions";
import { environment } from "../support/environment";
import { csiNode, defaultFlag, helmSecret, longhornNode, storageClass, type HelmRecord } from "../support/longhorn";
import { skip } from "../support/needs";
import { recordLayer } from "../support/program";
import { ApiClient } from "./lab/api-client";
import { ControlPlane, minors } from "./lab/control-plane";
import { differencesFrom, longhornDefinitions, longhornNote } from "./lab/longhorn-kinds";
import { addNodes } from "./lab/nodes";
import { until } from "./lab/processes";

const { longhornNamespace } = kinds;

for (const minor of minors) {
  describe(`Longhorn's operations on the ${minor} API server (${longhornNote}; no Longhorn runs: nothing is said of its manager, webhooks, uninstaller or data)`, () => {
    let plane: ControlPlane;
    let raw: ApiClient;
    let clients: Clients;
    const lines: string[] = [];

    before(async () => {
      plane = await ControlPlane.start({ minor });
      raw = new ApiClient(plane.kubeconfigFor("longhorn-manager", ["system:masters"]));
      clients = clientsOf(plane.api);
      await plane.namespace(longhornNamespace);
      await plane.namespace("games");
    });

    after(async () => {
      raw?.close();
      await plane?.stop();
    });

    beforeEach(() => void (lines.length = 0));
    afterEach("no part has ended", () => assert.deepEqual(plane.casualties(), []));

    /** Real time, looked at often: what an operation would wait for in minutes is there within a second here. */
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

    /** An object with a status, which a real API server takes only by the way that is for it. */
    async function put<T extends StoredObject>(object: T & { status?: unknown }): Promise<void> {
      await plane.api.create(object);
      if (object.status === undefined) return;
      const { one } = await raw.paths(object);
      const { status, body } = await raw.send("PATCH", `${one}/status`, {
        body: { status: object.status },
        contentType: "application/merge-patch+json",
      });
      assert.equal(status, 200, JSON.stringify(body));
    }

    describe("leave-longhorn, before its kinds exist", () => {
      it("refuses without the switch, and asks the cluster nothing", async () => {
        const kubernetes = kubernetesClient(plane.kubeconfigFor("leaving-without", ["system:masters"]));
        await refused(leaveLonghorn.run({ leaving: false }, clientsOf(kubernetes)), /leaves only by its switch/);
        assert.deepEqual(
          plane.audit().filter(({ user }) => user.username === "leaving-without"),
          [],
        );
      });

      it("lets pass where Longhorn is gone with its kinds, so that a half-done destroy can be finished", async () => {
        assert.deepEqual(await leaveLonghorn.run({ leaving: true }, clients), { volumes: 0 });
      });
    });

    describe("leave-longhorn, where Longhorn lives", () => {
      const flag = {
        ...kinds.longhornSettings,
        metadata: { name: "deleting-confirmation-flag", namespace: longhornNamespace },
      };
      const finalizers = ["longhorn.io"];

      before(async () => {
        const definitions = longhornDefinitions();
        for (const definition of definitions) await plane.api.create(definition);
        for (const { spec } of definitions) {
          const { kind } = spec.names;
          const one = { apiVersion: kinds.longhornVolumes.apiVersion, kind };
          // A read would take a kind that is not served yet for an object that is not there.
          const ask = (): Promise<unknown> => plane.api.patch(one, "none", {}, longhornNamespace);
          await until(`Longhorn's ${kind} is served`, () => ask().catch(isMissingObject));
        }
      });

      it("refuses while Longhorn's own flag would stop its uninstaller, and passes once it is set", async () => {
        await put({ ...flag, value: "false" });
        await refused(leaveLonghorn.run({ leaving: true }, clients), /deleting-confirmation-flag is false/);
        await plane.api.patch(kinds.longhornSettings, flag.metadata.name, { value: "true" }, longhornNamespace);
        assert.deepEqual(await leaveLonghorn.run({ leaving: true }, clients), { volumes: 0 });
      });

      it("still refuses without the switch", () =>
        refused(leaveLonghorn.run({ leaving: false }, clients), /leaves only by its switch/));

      it("refuses while a volume exists, by its claim's name; one that is being deleted exists until Longhorn lets go of it", async () => {
        await put({
          ...kinds.longhornVolumes,
          metadata: { name: "pvc-1", namespace: longhornNamespace, finalizers },
          spec: { numberOfReplicas: 3 },
          status: { state: "detached", kubernetesStatus: { namespace: "games", pvcName: "valheim-server-data" } },
        });
        const holds = /still holds 1 volume: pvc-1 \(games\/valheim-server-data\)/;
        await refused(leaveLonghorn.run({ leaving: true }, clients), holds);
        await plane.api.remove(kinds.longhornVolumes, "pvc-1", longhornNamespace);
        const leaving = await plane.api.read(kinds.longhornVolumes, "pvc-1", longhornNamespace);
        assert.ok(leaving?.metadata?.deletionTimestamp);
        await refused(leaveLonghorn.run({ leaving: true }, clients), holds);
        await plane.api.patch(kinds.longhornVolumes, "pvc-1", { metadata: { finalizers: null } }, longhornNamespace);
        assert.deepEqual(await leaveLonghorn.run({ leaving: true }, clients), { volumes: 0 });
      });

      it("does not take volumes that it may not see for none", async () => {
        const blind = clientsOf(kubernetesClient(plane.kubeconfigFor("blind", ["visitors"])));
        await assert.rejects(leaveLonghorn.run({ leaving: true }, blind), (error: unknown) => {
          assert.ok(error instanceof ApiRefusal);
          assert.equal(error.status, 403);
          assert.match(error.message, /User "blind" cannot list resource "volumes" in API group "longhorn\.io"/);
          return true;
        });
      });
    });

    describe("check-longhorn-release, with Helm's records as Secrets", () => {
      const declared = { name: "longhorn", namespace: longhornNamespace, chart: "longhorn", version: "1.12.1" };
      const check = (): Promise<unknown> => checkLonghornRelease.run(declared, clients);
      const accepted = { chart: "longhorn", version: "1.12.1" };

      /** Exactly these revisions, in the cluster. */
      async function live(...records: readonly HelmRecord[]): Promise<void> {
        for (const one of await plane.api.list(kinds.secrets, { labels: { owner: "helm" } })) {
          await removed(one.metadata?.name ?? "", one.metadata?.namespace);
        }
        for (const record of records) await plane.api.create(helmSecret(record));
      }

      async function removed(name: string, namespace?: string): Promise<void> {
        await plane.api.remove(kinds.secrets, name, namespace);
        await until(`Secret ${name} is gone`, async () =>
          assert.equal(await plane.api.read(kinds.secrets, name, namespace), undefined),
        );
      }

      afterEach(() => live());

      it("lets a first installation pass, and one minor version on", async () => {
        await live();
        assert.deepEqual(await check(), accepted);
        await live({ version: "1.10.2", status: "superseded" }, { version: "1.11.3", revision: 2 });
        assert.deepEqual(await check(), accepted);
      });

      for (const [version, what, next] of [
        ["1.10.2", /Longhorn 1\.10\.2 lives there; declared is 1\.12\.1/, /newest 1\.11\.x/],
        ["1.12.2", /Longhorn 1\.12\.2 lives there; declared is 1\.12\.1/, /to 1\.12\.2 or newer/],
      ] as const) {
        it(`refuses to go on from ${version}`, async () => {
          await live({ version });
          await refused(check(), what, next);
        });
      }

      it("goes by what Longhorn says of itself, too", async () => {
        await live({});
        const name = "current-longhorn-version";
        await put({ ...kinds.longhornSettings, metadata: { name, namespace: longhornNamespace }, value: "v1.13.0" });
        await refused(check(), /Longhorn 1\.13\.0 lives there/);
        await plane.api.patch(kinds.longhornSettings, name, { value: "v1.12.1" }, longhornNamespace);
        assert.deepEqual(await check(), accepted);
      });

      it("refuses an unfinished release, and passes after the command that it names", async () => {
        await live({ version: "1.11.3" }, { revision: 2, status: "pending-upgrade" });
        const { next } = await refused(check(), /revision 2 is pending-upgrade/);
        const [, namespace, name = ""] = /`kubectl -n (\S+) delete secret (\S+)`/.exec(next) ?? [];
        assert.ok(await plane.api.read(kinds.secrets, name, namespace));
        await removed(name, namespace);
        assert.deepEqual(await check(), accepted);
      });

      it("finds a Longhorn in another namespace, beside hundreds of revisions of others", async () => {
        const others = Array.from({ length: 120 }, (_, index) => ({
          ...{ name: `app-${index % 12}`, namespace: "games", chart: "app", version: "1.0.0" },
          revision: 1 + Math.floor(index / 12),
        }));
        await live(...others, { namespace: "games" });
        await refused(check(), /lives as release longhorn in namespace games/);
      });

      it("reads a record as large as the API server takes one", async () => {
        // What cannot be packed: base64 twice and gzip leave a Secret of almost one MiB, the most that the API server stores.
        const manifest = randomBytes(430_000).toString("base64");
        await live({ version: "1.11.3", manifest });
        assert.deepEqual(await check(), accepted);
        await assert.rejects(live({ manifest: manifest.repeat(2) }), /Too long: .*1048576/);
      });
    });

    describe("the default class (admission by the API server decides which class a claim gets)", () => {
      const { storageClass: old } = environment("home").oldStorage;
      const input = { storageClass: "longhorn", oldStorageClass: old };
      let claims = 0;

      /** The class that a claim without one gets now. */
      async function given(): Promise<string | undefined> {
        const claim: V1PersistentVolumeClaim = {
          ...kinds.claims,
          metadata: { name: `claim-${++claims}`, namespace: "games" },
          spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
        };
        return (await plane.api.create(claim)).spec?.storageClassName;
      }

      async function annotations(name: string): Promise<unknown> {
        return (await plane.api.read(kinds.storageClasses, name))?.metadata?.annotations;
      }

      it("stays with the old one for as long as Longhorn's has not appeared, moves once it has, and is put back on leaving", async () => {
        const before = { [defaultFlag]: "true", "example.org/kept": "yes" };
        await plane.api.create(storageClass(old, before));
        assert.equal(await given(), old);

        const asked = counting(plane.api);
        const moving = defaultClass.run(input, clientsOf(asked.api));
        await until("the operation has looked for the class several times", () => assert.ok(asked.reads() > 3));
        assert.equal(await given(), old);
        assert.deepEqual(await annotations(old), before);

        await plane.api.create(storageClass("longhorn", { [defaultFlag]: "true" }));
        assert.deepEqual(await moving, { storageClass: "longhorn", recorded: [old] });
        assert.equal(await given(), "longhorn");
        const record = JSON.stringify({ [defaultFlag]: "true" });
        assert.deepEqual(await annotations(old), { "example.org/kept": "yes", [recordAnnotation]: record });

        assert.deepEqual(await restoreDefaultClass.run(input, clients), { restored: [old] });
        assert.equal(await given(), old);
        assert.deepEqual(await annotations(old), before);
      });

      it("moves again without a write when nothing is left to do", async () => {
        await defaultClass.run(input, clients);
        const versionsOf = async (): Promise<unknown> =>
          (await plane.api.list(kinds.storageClasses)).map(({ metadata }) => metadata?.resourceVersion);
        const first = await versionsOf();
        assert.deepEqual(await defaultClass.run(input, clients), { storageClass: "longhorn", recorded: [old] });
        assert.deepEqual(await versionsOf(), first);
      });

      it("is Longhorn's again after its manager made the class anew, as it does when its parameters change", async () => {
        await plane.api.remove(kinds.storageClasses, "longhorn");
        await until("the class is gone", async () =>
          assert.equal(await plane.api.read(kinds.storageClasses, "longhorn"), undefined),
        );
        await plane.api.create(storageClass("longhorn", { [defaultFlag]: "true" }));
        assert.equal(await given(), "longhorn");
        assert.deepEqual(await restoreDefaultClass.run(input, clients), { restored: [old] });
        assert.equal(await given(), old);
        await defaultClass.run(input, clients);
      });
    });

    describe("storage-ready", () => {
      const names = ["debian-1", "debian-2"];
      const input = { storageClass: "longhorn", nodes: names, reservedPercent: 30, revision: 1 };
      const reserved = (name: string, storageReserved: number): ReturnType<typeof longhornNode> => {
        const node = longhornNode(name);
        const [disk] = Object.values(node.status?.diskStatus ?? {});
        return {
          ...node,
          spec: {
            allowScheduling: true,
            disks: { first: { allowScheduling: true, path: "/var/lib/longhorn/", storageReserved } },
          },
          status: { ...node.status, diskStatus: { first: { ...disk, storageMaximum: 200 * 2 ** 30 } } },
        };
      };

      it("waits for class, driver and every node's disk, each of which comes late, in any order", async () => {
        const asked = counting(plane.api);
        await plane.api.remove(kinds.storageClasses, "longhorn");
        let done = false;
        const ready = storageReady.run(input, clientsOf(asked.api)).then((result) => {
          done = true;
          return result;
        });
        const late: readonly StoredObject[] = [
          csiNode("debian-1"),
          reserved("debian-2", 60 * 2 ** 30),
          {
            ...kinds.csiDrivers,
            metadata: { name: kinds.longhornDriver },
            spec: { attachRequired: true },
          } as StoredObject,
          csiNode("debian-2"),
          storageClass("longhorn", { [defaultFlag]: "true" }),
          reserved("debian-1", 20 * 2 ** 30),
        ];
        for (const object of late) {
          assert.equal(done, false, `ready without ${object.kind} ${object.metadata?.name}`);
          const before = asked.reads();
          await put(object);
          if (object !== late.at(-1)) await until("it has looked again", () => assert.ok(asked.reads() > before + 10));
        }
        assert.deepEqual(await ready, { storageClass: "longhorn" });
        assert.deepEqual(lines, [
          "node debian-1: disk first keeps 10 % free, longhorn.reservedPercent says 30: Longhorn took it when the disk was made; change it in its UI (Node, Edit node and disks)",
        ]);
      });
    });

    describe("what Longhorn reads of a node, as joining and its update set it (by longhorn-manager v1.12.1, kubernetes_node_controller.go)", () => {
      const tags = "node.longhorn.io/default-node-tags";
      const disk = "node.longhorn.io/create-default-disk";

      it("label and tags reach the Node beside what others keep there, converge, and go again", async () => {
        const recording = await recordLayer("home", "nodes");
        const member = recording.registrations.find(({ name }) => name === "debian-1-membership-member");
        const request = JSON.parse(String(reveal(member?.inputs.stdin))) as { input: unknown };
        const declared = membershipInput.parse(request.input);
        const roles = declared.roles.map((role) => [`node-role.kubernetes.io/${role}`, "true"] as const);
        const labels = { ...Object.fromEntries(roles), "example.org/theirs": "kept" };
        await addNodes(plane.api, [{ name: declared.node, address: declared.address, labels }]);
        const untouched = await metadata(declared.node);

        const tagged = { ...declared, annotations: { [tags]: JSON.stringify(["ssd", "example.org/fast"]) } };
        await refreshMembership.run(tagged, clients);
        const after = await metadata(declared.node);
        assert.equal(after.labels?.[disk]?.toLowerCase(), "true");
        assert.deepEqual(JSON.parse(after.annotations?.[tags] ?? ""), ["ssd", "example.org/fast"]);
        assert.deepEqual(selected(after.labels, kinds.debianLabels), kinds.debianLabels);
        assert.deepEqual(without(after.labels, Object.keys(declared.labels)), untouched.labels);

        // Once, and metadata alone: spec and status of a Node are others'.
        await refreshMembership.run(tagged, clients);
        const written = plane
          .audit()
          .filter(
            ({ objectRef, verb, user }) =>
              objectRef?.name === declared.node && verb === "patch" && user.username === "operator",
          );
        assert.deepEqual(
          written.map(({ requestObject }) => Object.keys(requestObject as object)),
          [["metadata"]],
        );

        await refreshMembership.run(declared, clients);
        const { annotations } = await metadata(declared.node);
        assert.equal(annotations?.[tags], undefined);
        assert.equal(annotations?.["home-cluster/annotations"], "");
      });

      async function metadata(name: string): Promise<NonNullable<V1Node["metadata"]>> {
        return (await plane.api.read(kinds.nodes, name))?.metadata ?? {};
      }
    });
  });
}

describe("Longhorn's kinds as this tier has them", () => {
  it(`take what the CRDs of Longhorn's chart ${versions.charts.longhorn.version} take`, function () {
    const path = process.env.LONGHORN_CHART ?? "";
    if (path === "")
      skip(this, `LONGHORN_CHART names no folder or .tgz of longhorn's chart ${versions.charts.longhorn.version}`);
    assert.deepEqual(differencesFrom(path), []);
  });
});

/** What a refusal says; anything else is thrown on. */
async function refused(run: Promise<unknown>, what: RegExp, next?: RegExp): Promise<Refusal["parts"]> {
  const error = await run.then(
    () => assert.fail("it was let pass"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof Refusal)) throw error;
  assert.match(error.parts.what, what);
  if (next) assert.match(error.parts.next, next);
  return error.parts;
}

/** Throws what is not the answer that there is no such object. */
function isMissingObject(error: unknown): void {
  if (!(error instanceof ApiRefusal) || !error.message.endsWith('"none" not found')) throw error;
}

/** The API, and how often something was read. */
function counting(api: KubernetesApi): { readonly api: KubernetesApi; readonly reads: () => number } {
  let reads = 0;
  const counted = new Proxy(api, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      if (key === "read" || key === "list") reads += 1;
      return value.bind(target) as unknown;
    },
  });
  return { api: counted, reads: () => reads };
}

function selected(labels: Readonly<Record<string, string>> = {}, keys: object): object {
  return Object.fromEntries(Object.entries(labels).filter(([key]) => key in keys));
}

function without(labels: Readonly<Record<string, string>> = {}, keys: readonly string[]): object {
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !keys.includes(key)));
}
