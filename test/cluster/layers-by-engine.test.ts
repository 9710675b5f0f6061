import assert from "node:assert/strict";
import type { V1PersistentVolumeClaim } from "@kubernetes/client-node";
import type { Layer } from "../../environment/stack";
import * as kinds from "../../operations/kinds";
import type { LabStack, Outcome } from "../engine/lab/stack";
import { needs } from "../support/needs";
import type { AuditEvent } from "./lab/control-plane";
import { EngineLab, type EngineLabOptions } from "./lab/engine-lab";
import { difference, type Everything } from "./lab/everything";
import { longhornNote } from "./lab/longhorn-kinds";
import { until } from "./lab/processes";

const labs: readonly EngineLabOptions[] = [
  { name: "home", minor: "newest" },
  { name: "lab", minor: "oldest" },
];

for (const options of labs) {
  const { name, minor } = options;
  describe(`${name}'s services and volumes by the real engine on the ${minor} API server (made-up charts, ${longhornNote}, no process runs in a pod: that storage, addresses or copies work is not shown)`, function () {
    // A whole `up` each: ten seconds to a minute, and several on a machine with more to do.
    this.timeout(600_000);
    let lab: EngineLab;
    /** The cluster before the first `up`. */
    let untouched: Everything;
    /** And after the last one of the layer services. */
    let withServices: Everything;
    const stacks = new Map<Layer, LabStack>();
    const stack = (layer: Layer): LabStack => {
      const found = stacks.get(layer);
      if (!found) throw new Error(`${name}-${layer} was not created`);
      return found;
    };

    before(async function () {
      needs(
        this,
        "pulumi",
        "pulumi-language-nodejs",
        ...["command", "kubernetes", "random"].map((plugin) => `pulumi-resource-${plugin}`),
      );
      lab = await EngineLab.start(options);
      untouched = await lab.everything();
      for (const layer of ["services", "volumes"] as const) stacks.set(layer, await lab.stack(layer));
    });

    after(() => lab?.stop());

    afterEach("no part has ended", () => assert.deepEqual(lab.plane.casualties(), []));

    for (const layer of ["services", "volumes"] as const) {
      describe(`the layer ${layer}`, () => {
        let planned: readonly string[] = [];

        it("is previewed without a write", async () => {
          const { outcome, writes } = await watched(() => stack(layer).preview());
          succeeded(outcome);
          assert.deepEqual(writes, []);
          planned = outcome.done.map(({ name }) => name);
        });

        it("is made by one up, as previewed", async () => {
          const outcome = await stack(layer).up();
          succeeded(outcome);
          const made = new Set(outcome.done.map(({ name }) => name));
          assert.deepEqual(
            [...made].filter((one) => !planned.includes(one)),
            [],
          );
          assert.deepEqual(
            outcome.done.filter(({ op }) => !["create", "read", "import", "update"].includes(op)),
            [],
          );
        });

        it("is as it is at the next up, which writes nothing", async () => {
          const settled = await settledState();
          const { outcome, writes } = await watched(() => stack(layer).up());
          succeeded(outcome);
          assert.deepEqual(changes(outcome), []);
          assert.deepEqual(writes, []);
          assert.deepEqual(difference(settled, await lab.everything()), same);
          if (layer === "services") withServices = settled;
        });

        it("has no drift at a refresh", async () => {
          const outcome = await stack(layer).refresh();
          succeeded(outcome);
          assert.deepEqual(changes(outcome), []);
        });
      });
    }

    describe("leaving", () => {
      /** Declared to stay: the ledgers, and the scripts that their Jobs had. With a namespace come a ConfigMap and an account. */
      const staying = (): string[] => [
        "Namespace home-cluster",
        "ConfigMap home-cluster/kube-root-ca.crt",
        "ServiceAccount home-cluster/default",
        ...lab.file.volumes.map(({ namespace, claim }) => `ConfigMap home-cluster/volume-${namespace}-${claim}`),
        ...new Set(lab.file.volumes.map(({ namespace }) => `ConfigMap ${namespace}/volume-migration-scripts-#`)),
      ];

      it("the volumes leave with their Jobs, and ledgers, scripts and the claims with what was copied stay", async () => {
        const outcome = await stack("volumes").destroy();
        succeeded(outcome);
        assert.equal((await stack("volumes").resources()).size, 0);
        const copies = (await newClaims()).flatMap(({ metadata, spec }) => [
          `PersistentVolumeClaim ${metadata?.namespace}/${metadata?.name}`,
          `PersistentVolume ${spec?.volumeName}`,
          `Volume.longhorn.io ${kinds.longhornNamespace}/${spec?.volumeName}`,
        ]);
        assert.equal(copies.length, 3 * lab.file.volumes.length);
        const { left, ...rest } = difference(withServices, await settledState());
        assert.deepEqual(left.map(withoutHash).sort(), [...staying(), ...copies].sort());
        assert.deepEqual(rest, { gone: [], changed: [] });
      });

      it("the services do not without their switch, nor with it while Longhorn holds volumes, and nothing of them is touched", async () => {
        const refused = async (why: RegExp): Promise<void> => {
          const settled = await settledState();
          const { ok, text, done, failed } = await stack("services").destroy();
          assert.deepEqual({ ok, done, failed }, { ok: false, done: [], failed: ["longhorn-guard-guard"] });
          assert.match(text, why);
          assert.deepEqual(difference(settled, await lab.everything()), same);
        };
        await refused(/leaves only by its switch/);
        lab.edit((file) => (file.longhorn.leaving = true));
        succeeded(await stack("services").up());
        await refused(new RegExp(`Longhorn still holds ${lab.file.volumes.length} volumes`));
      });

      it("the services leave in order once the copies were given up, and the cluster is what it was, but for what stays", async () => {
        await giveUpCopies();
        const outcome = await stack("services").destroy();
        succeeded(outcome);
        assert.equal((await stack("services").resources()).size, 0);
        const order = outcome.done.filter(({ op }) => op === "delete").map((one) => one.name);
        assert.equal(order[0], "longhorn-guard-guard");
        for (const [first, then] of inOrder) {
          assert.ok(order.includes(first) && order.includes(then), `${first} and ${then}: ${order.join(" ")}`);
          assert.ok(order.lastIndexOf(first) < order.indexOf(then), `${first} before ${then}: ${order.join(" ")}`);
        }
        const { left, ...rest } = difference(untouched, await settledState());
        assert.deepEqual(left.map(withoutHash).sort(), staying().sort());
        assert.deepEqual(rest, { gone: [], changed: [] });
      });
    });

    async function newClaims(): Promise<readonly V1PersistentVolumeClaim[]> {
      const all = await lab.plane.api.list<V1PersistentVolumeClaim>(kinds.claims);
      return all.filter(({ spec }) => spec?.storageClassName === kinds.longhornClass);
    }

    /** As the guard tells the operator: each claim, its volume, and Longhorn's own object of it. */
    async function giveUpCopies(): Promise<void> {
      const { api } = lab.plane;
      for (const { metadata, spec } of await newClaims()) {
        const { name: claim = "", namespace = "" } = metadata ?? {};
        const volume = spec?.volumeName ?? "";
        await api.remove(kinds.claims, claim, namespace);
        await until(`claim ${claim} is gone`, async () => {
          assert.equal(await api.read(kinds.claims, claim, namespace), undefined);
        });
        await api.remove(kinds.volumes, volume);
        await until(`volume ${volume} is gone`, async () => {
          assert.equal(await api.read(kinds.volumes, volume), undefined);
        });
        await api.remove(kinds.longhornVolumes, volume, kinds.longhornNamespace);
      }
    }

    /** What is there once others have come to rest: two looks that say the same. */
    async function settledState(): Promise<Everything> {
      let last = await lab.everything();
      await until("nobody writes any more", async () => {
        const now = await lab.everything();
        const between = difference(last, now);
        last = now;
        assert.deepEqual(between, same);
      });
      return last;
    }

    async function watched(run: () => Promise<Outcome>): Promise<{ outcome: Outcome; writes: readonly string[] }> {
      const before = lab.asked().length;
      const outcome = await run();
      return { outcome, writes: lab.asked().slice(before).filter(isWrite).map(described) };
    }
  });
}

/** What must be gone before what, in any of the environments. */
const inOrder = [
  ["longhorn-ui-way-ingress", "longhorn-ui-auth-secret"],
  ["longhorn-ui-way-ingress", "longhorn-helm-release"],
  ["longhorn-default-default-class", "longhorn-helm-release"],
  ["longhorn-helm-release", "longhorn-storage-namespace"],
  ["ingress", "pools-default"],
  ["pools-default-announcement", "pools-default"],
  ["pools-default", "metallb-release"],
  ["metallb-release", "metallb-namespace"],
] as const;

const same = { left: [], gone: [], changed: [] };

function succeeded({ ok, text, failed }: Outcome): void {
  assert.ok(ok, text);
  assert.deepEqual(failed, []);
}

/** Reading another stack is no change. */
function changes({ done }: Outcome): readonly string[] {
  return done.filter(({ op }) => op !== "read").map(({ op, name }) => `${op} ${name}`);
}

/** Not a dry run, and not what only asks. */
function isWrite({ verb, requestURI, objectRef }: AuditEvent): boolean {
  const asks = ["get", "list", "watch"].includes(verb) || /access?reviews$/.test(objectRef?.resource ?? "");
  return !asks && !requestURI.includes("dryRun=All");
}

/** Of a scripts' ConfigMap, whose name ends with what it holds. */
function withoutHash(name: string): string {
  return name.replace(/(volume-migration-scripts-)[0-9a-f]+$/, "$1#");
}

function described({ verb, requestURI }: AuditEvent): string {
  return `${verb} ${requestURI}`;
}
