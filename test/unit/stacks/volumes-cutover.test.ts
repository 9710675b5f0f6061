import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import type { V1Job } from "@kubernetes/client-node";
import type { Secrets } from "../../../environment/load";
import type { Environment } from "../../../environment/schema";
import { dispatch } from "../../../operations/dispatch";
import { claims, configMaps, jobs, pods } from "../../../operations/kinds";
import { rollbackVolume } from "../../../operations/volumes/rollback-volume";
import { VirtualClock } from "../../../rehearsal/home/clock";
import { answerResource } from "../../../rehearsal/models";
import { record, reveal, type Recording } from "../../../rehearsal/record";
import { volumes } from "../../../stacks/volumes";
import { ledgerOf, picture, type Way } from "../../support/cutover";
import { defaultProviders, plainSecrets, previewDifferences, strayNames } from "../../support/conventions";
import { environment } from "../../support/environment";
import { summaries } from "../../support/services";
import { cluster, migrationHome, newClaim, ref, stored, type MigrationHome } from "../../support/volumes";

const kubeconfig = "kubeconfig-that-must-not-show";

/** The home with the one volume at a stage. */
function fileOf(stage: "copy" | "cutover" | "finalize", way: Way, more: object = {}): Environment {
  return environment("home", (raw) => {
    raw.volumes = [{ ...ref, oldSize: "10Gi", size: "20Gi", stage, switch: way, ...more }];
  });
}

/**
 * Runs the layer with its own operations on the pretend home. Nothing is kept from one run to the next: every run finds what is there and declares everything
 * anew, as where the engine's state was lost; with what is there taken over.
 */
async function up(
  at: MigrationHome,
  file: Environment,
  options: { fail?: string; preview?: boolean } = {},
): Promise<Recording> {
  const clock = at.clients.clock;
  assert.ok(clock instanceof VirtualClock);
  return record(
    () => {
      const secrets = { kubeconfig: pulumi.secret(kubeconfig) } as unknown as Secrets;
      return volumes({ environment: "home", layer: "volumes", file, secrets });
    },
    {
      stack: "home-volumes",
      preview: options.preview ?? false,
      stackOutputs: { "organization/home-cluster/home-services": { storageClass: "longhorn" } },
      call: async (_, args) => {
        const verb = String(args.command).replace("operations/run ", "");
        return { stdout: await dispatch(verb, String(reveal(args.stdin)), () => at.clients), stderr: "" };
      },
      answer: async (registration) => {
        if (registration.name === options.fail) throw new Error("it failed");
        return options.preview ? {} : answerResource(registration, at.home, clock, at.clients);
      },
    },
  );
}

const name = ref.claim;
const names = (recording: Recording) => summaries(recording).map((one) => one.name);
const ofVolume = (recording: Recording) => names(recording).filter((one) => one.startsWith(name));
const warm = ["prepare", "claim", "copy", "observe", "verify", "conclude"].map((step) => `${name}-${step}`);
const cutover = ["prepare", "quiesce", "copy", "verify", "conclude", "switch", "resume", "probe"].map(
  (step) => `${name}-cutover-${step}`,
);
const mountsOf = (job: V1Job) =>
  (job.spec?.template.spec?.volumes ?? []).flatMap((volume) => volume.persistentVolumeClaim?.claimName ?? []);

describe("stacks/volumes: stages cutover and finalize (does not prove what a real control plane, engine or Job does)", () => {
  let at: MigrationHome;
  const succeed = async (file: Environment, options = {}): Promise<Recording> => {
    const recording = await up(at, file, options);
    assert.equal(recording.error, undefined);
    assert.deepEqual([...recording.failed], []);
    return recording;
  };

  for (const way of ["new-claim", "same-name"] as const) {
    describe(way, () => {
      const live = way === "new-claim" ? newClaim : name;
      const copying = way === "new-claim" ? warm : warm.filter((one) => one !== `${name}-claim`);
      beforeEach(async () => {
        at = await migrationHome();
        await succeed(fileOf("copy", way));
      });

      it("moves the workload, each step behind the one before, the first behind the warm verdict and closed nodes", async () => {
        const recording = await succeed(fileOf("cutover", way));
        assert.deepEqual(
          ofVolume(recording)
            .filter((one) => ![name, `${name}-cutover`].includes(one))
            .sort(),
          [...copying, ...cutover].sort(),
        );
        const after = new Map(summaries(recording).map((one) => [one.name, one.after ?? []]));
        assert.ok(after.get(`${name}-cutover-prepare`)?.includes(`${name}-conclude`));
        assert.ok(after.get(`${name}-prepare`)?.includes("nodes-without-longhorn-cordon"));
        for (const [index, one] of cutover.entries())
          if (index > 0) assert.ok(after.get(one)?.includes(cutover[index - 1] ?? ""), one);
        assert.equal((await ledgerOf(at)).phase, "switched");
        assert.deepEqual((await picture(at)).pods, [[`${name}-0`, live]]);
        assert.deepEqual(recording.outputs, { volumes: { [name]: { claim: live, ledger: "switched" } } });
      });

      it("keeps the rules of the code at both stages: the same in a preview, names, providers, secrets", async () => {
        for (const stage of ["cutover", "finalize"] as const) {
          const before = await succeed(fileOf(stage, way), { preview: true });
          const update = await succeed(fileOf(stage, way));
          assert.deepEqual(previewDifferences(before, update), []);
          assert.deepEqual(strayNames(update), []);
          assert.deepEqual([...defaultProviders(before), ...defaultProviders(update)], []);
          assert.deepEqual(plainSecrets(update, [kubeconfig]), []);
          const after = await succeed(fileOf(stage, way), { preview: true });
          assert.deepEqual(names(after).sort(), names(update).sort());
        }
      });

      it("a second update changes nothing of the workload or its volumes, even where the state was lost", async () => {
        await succeed(fileOf("cutover", way));
        const before = [await picture(at), await ledgerOf(at), cluster(at.home)];
        await succeed(fileOf("cutover", way));
        assert.deepEqual([await picture(at), await ledgerOf(at), cluster(at.home)], before);
      });

      it("Jobs that come back after it mount nothing, copy nothing and end", async () => {
        await succeed(fileOf("cutover", way));
        const before = await picture(at);
        const all = await at.clients.kubernetes.list<V1Job>(jobs, { namespace: ref.namespace });
        assert.equal(all.length, 4);
        for (const job of all) {
          assert.deepEqual(mountsOf(job), [name, newClaim]);
          await at.clients.kubernetes.remove(jobs, job.metadata?.name ?? "", ref.namespace);
        }
        for (const pod of await at.clients.kubernetes.list(pods, { namespace: ref.namespace }))
          if (pod.metadata?.labels?.["job-name"] !== undefined)
            await at.clients.kubernetes.remove(pods, pod.metadata.name ?? "", ref.namespace);
        await succeed(fileOf("cutover", way));
        for (const job of await at.clients.kubernetes.list<V1Job>(jobs, { namespace: ref.namespace })) {
          assert.deepEqual(mountsOf(job), [], job.metadata?.name);
          assert.equal(job.spec?.template.spec?.containers[0]?.command?.[0], "sh");
          assert.match(job.spec?.template.spec?.containers[0]?.command?.[2] ?? "", /^echo /);
        }
        assert.deepEqual(await picture(at), before);
      });

      for (const [index, step] of cutover.entries()) {
        it(`what fails at ${step} keeps exactly what comes after it, and the next update goes on to the end`, async () => {
          const recording = await up(at, fileOf("cutover", way), { fail: step });
          const missing = cutover.filter((one) => !names(recording).includes(one));
          assert.deepEqual(missing, cutover.slice(index + 1));
          await succeed(fileOf("cutover", way));
          assert.equal((await ledgerOf(at)).phase, "switched");
          assert.deepEqual((await picture(at)).pods, [[`${name}-0`, live]]);
        });
      }

      it("after a rollback the next update refuses until the file agrees, and another attempt cuts over again", async () => {
        const began = await up(at, fileOf("cutover", way), { fail: `${name}-cutover-switch` });
        assert.equal(began.failed.size, 1);
        await rollbackVolume.run({ environment: "home", ...ref }, at.clients);
        for (const preview of [true, false]) {
          const recording = await up(at, fileOf("cutover", way), { preview });
          assert.match(recording.error?.message ?? "", /was rolled back at .*, and the file still says stage cutover/);
          assert.deepEqual(ofVolume(recording), []);
        }
        await succeed(fileOf("copy", way));
        await succeed(fileOf("cutover", way, { attempt: 2 }));
        assert.equal((await ledgerOf(at)).phase, "switched");
        const final = stored<V1Job>(at.home, jobs, `volume-final-migration-${name}-attempt-2`, ref.namespace);
        const env = new Map(final.spec?.template.spec?.containers[0]?.env?.map((one) => [one.name, one.value]));
        assert.match(env.get("FENCE") ?? "", /^2-/);
        assert.match(env.get("SUPERSEDES") ?? "", /^1-/);
      });

      it("stage copy is refused once it has begun, at whatever step, with the way back named", async () => {
        for (const step of ["copy", "switch", "probe"]) {
          at = await migrationHome();
          await succeed(fileOf("copy", way));
          await up(at, fileOf("cutover", way), { fail: `${name}-cutover-${step}` });
          const recording = await up(at, fileOf("copy", way));
          assert.match(recording.error?.message ?? "", /`npm run rollback -- home games\/valheim-server-data`/, step);
          assert.deepEqual(ofVolume(recording), []);
        }
      });

      it("finalize is refused before, and afterwards holds nothing of the migration but its end", async () => {
        const early = await up(at, fileOf("finalize", way));
        assert.match(early.error?.message ?? "", /nothing shows that the workload lives on the new volume/);
        await succeed(fileOf("cutover", way));
        const before = await picture(at);
        const recording = await succeed(fileOf("finalize", way));
        assert.deepEqual(
          ofVolume(recording).sort(),
          ["finalize", "finalize-prepare", "finalize-clean", "finalize-release"].map((one) => `${name}-${one}`).sort(),
        );
        const clean = stored<V1Job>(at.home, jobs, `volume-finalize-migration-${name}`, ref.namespace);
        assert.deepEqual(mountsOf(clean), [live]);
        assert.deepEqual(clean.spec?.template.spec?.nodeSelector, { "kubernetes.io/hostname": "debian-1" });
        const after = await picture(at);
        assert.deepEqual({ ...after, policies: 0 }, { ...before, policies: 0 });
        assert.deepEqual(recording.outputs, { volumes: { [name]: { claim: live, ledger: "finalized" } } });
        await succeed(fileOf("finalize", way));
        assert.deepEqual(await picture(at), after);
      });

      it("a volume that leaves the file keeps its claims and its ledger, at every stage", async () => {
        await succeed(fileOf("cutover", way));
        const [found, ledger] = [await at.clients.kubernetes.list(claims), await ledgerOf(at)];
        await succeed(environment("home", (raw) => (raw.volumes = [])));
        assert.deepEqual(await at.clients.kubernetes.list(claims), found);
        assert.deepEqual(await ledgerOf(at), ledger);
        assert.ok((await at.clients.kubernetes.list(configMaps)).length > 0);
      });
    });
  }
});
