import assert from "node:assert/strict";
import type { PlannedStep, RecordedResource } from "../../../diff/format";
import { Planner } from "../../../diff/plan/planner";
import { unknown } from "../../../diff/plan/unknown";
import { isUnknown } from "../../../rehearsal/record";

const noOptions: RecordedResource["options"] = {
  protect: false,
  retainOnDelete: false,
  deleteBeforeReplace: undefined,
  deletedWith: "",
  ignoreChanges: [],
  replaceOnChanges: [],
  importId: "",
  customTimeouts: { create: "", update: "", delete: "" },
};

/** A resource as a side records it; its outputs are its inputs unless said. */
function resource(
  type: string,
  name: string,
  inputs: Record<string, unknown>,
  more: Omit<Partial<RecordedResource>, "options"> & { options?: Partial<RecordedResource["options"]> } = {},
): RecordedResource {
  return {
    urn: `urn:pulumi:home-nodes::home-cluster::${type}::${name}`,
    type,
    name,
    custom: true,
    parent: "",
    provider: "",
    version: "",
    inputs,
    id: `${name}-id`,
    outputs: inputs,
    dependencies: [],
    propertyDependencies: {},
    aliases: [],
    ...more,
    options: { ...noOptions, ...more.options },
  };
}

const claim = "kubernetes:core/v1:PersistentVolumeClaim";
const commandType = "command:local:Command";

function plan(old: readonly RecordedResource[], now: readonly RecordedResource[]): readonly PlannedStep[] {
  const planner = new Planner(old);
  for (const one of now) planner.register(one);
  return planner.finish();
}

function operations(steps: readonly PlannedStep[]): readonly string[] {
  return steps.map(({ urn, operation }) => `${urn.split("::").at(-1)} ${operation}`);
}

describe("diff: the engine's decisions (test/engine/diff.test.ts holds them against the engine itself)", () => {
  const old = resource(claim, "data", {
    metadata: { name: "data", namespace: "a" },
    spec: { storageClassName: "x", size: 1 },
  });

  it("nothing, created, updated, replaced, deleted", () => {
    const changed = (spec: object): RecordedResource => ({ ...old, inputs: { ...old.inputs, spec } });
    assert.deepEqual(operations(plan([old], [old])), ["data same"]);
    assert.deepEqual(operations(plan([], [old])), ["data create"]);
    assert.deepEqual(operations(plan([old], [changed({ storageClassName: "x", size: 2 })])), ["data update"]);
    assert.deepEqual(operations(plan([old], [changed({ storageClassName: "y", size: 1 })])), ["data replace"]);
    assert.deepEqual(operations(plan([old], [])), ["data delete"]);
  });

  it("a replacement names the property, why, and where that is known from; its old object goes first where the name stays", () => {
    const [step] = plan([old], [{ ...old, inputs: { ...old.inputs, spec: { storageClassName: "y", size: 1 } } }]);
    assert.deepEqual([step?.deletesFirst, step?.replacedBy.map(({ path }) => path)], [true, ["spec.storageClassName"]]);
    assert.match(step?.replacedBy[0]?.source ?? "", /pulumi-kubernetes .*diff\.go/);
    const [renamed] = plan([old], [{ ...old, inputs: { ...old.inputs, metadata: { name: "other", namespace: "a" } } }]);
    assert.deepEqual([renamed?.operation, renamed?.deletesFirst], ["replace", false]);
  });

  it("what is protected is neither replaced nor deleted: the engine refuses; without the protection it does", () => {
    const guarded = { ...old, options: { ...noOptions, protect: true } };
    const other = { ...guarded, inputs: { ...old.inputs, spec: { storageClassName: "y" } } };
    assert.match(plan([guarded], [other])[0]?.refused ?? "", /does not replace/);
    assert.match(plan([guarded], [])[0]?.refused ?? "", /does not delete/);
    assert.equal(plan([guarded], [{ ...other, options: noOptions }])[0]?.refused, undefined);
  });

  it("ignoreChanges leaves the old value, and says what it hides", () => {
    const now = {
      ...old,
      inputs: { ...old.inputs, spec: { storageClassName: "y", size: 1 } },
      options: { ...noOptions, ignoreChanges: ["spec"] },
    };
    const [step] = plan([old], [now]);
    assert.deepEqual([step?.operation, step?.ignored], ["same", ["spec.storageClassName"]]);
  });

  it("a resource that was moved is found by its alias and is the same", () => {
    const moved = { ...old, urn: old.urn.replace(/data$/, "new-name"), aliases: [old.urn] };
    const steps = plan([old], [moved]);
    assert.deepEqual(operations(steps), ["new-name same"]);
    assert.equal(steps[0]?.before, old.urn);
    assert.deepEqual(operations(plan([old], [{ ...moved, aliases: [] }])), ["new-name create", "data delete"]);
  });

  it("an import is one where nothing is in the state, or something else", () => {
    const imported = { ...old, options: { ...noOptions, importId: "a/data" } };
    assert.deepEqual(operations(plan([], [imported])), ["data import"]);
    assert.deepEqual(operations(plan([imported], [imported])), ["data same"]);
    assert.deepEqual(operations(plan([imported], [{ ...imported, options: { ...noOptions, importId: "a/b" } }])), [
      "data replace",
    ]);
  });

  it("another version of a provider's package updates the provider", () => {
    const provider = resource("pulumi:providers:kubernetes", "cluster", {}, { version: "4.34.1" });
    assert.deepEqual(operations(plan([provider], [{ ...provider, version: "4.34.2" }])), ["cluster update"]);
  });

  it("another cluster replaces the provider and everything of it", () => {
    const provider = resource("pulumi:providers:kubernetes", "cluster", { clusterIdentifier: "home" });
    const of = { ...old, provider: provider.urn };
    const steps = plan([provider, of], [{ ...provider, inputs: { clusterIdentifier: "lab" } }, of]);
    assert.deepEqual(operations(steps), ["cluster replace", "data replace"]);
    assert.equal(steps[1]?.replacedBy[0]?.why, "its provider is replaced");
  });

  it("what is deleted first takes along what was made from it and cannot stay, and nothing else", () => {
    const machine = resource(
      "proxmoxve:index/vmLegacy:VmLegacy",
      "vm",
      { vmId: 1 },
      { options: { deleteBeforeReplace: true } },
    );
    const from = { propertyDependencies: { triggers: [machine.urn], stdin: [machine.urn] } };
    const guard = resource(commandType, "guard", { triggers: ["uuid"], stdin: "x" }, from);
    const look = resource(commandType, "look", { stdin: "x" }, { propertyDependencies: { stdin: [machine.urn] } });
    const steps = plan([machine, guard, look], [{ ...machine, inputs: { vmId: 2 } }, guard, look]);
    assert.deepEqual(operations(steps), ["vm replace", "guard replace", "look same"]);
    assert.equal(steps[1]?.replacedBy[0]?.why, "made from vm, which is deleted first");
    // Made first, nobody has to go along.
    const created = plan([machine, guard], [{ ...machine, inputs: { vmId: 2 }, options: noOptions }, guard]);
    assert.deepEqual(operations(created), ["vm replace", "guard same"]);
  });

  it("a change is unknown to what follows until it has happened; what stays is known", () => {
    const planner = new Planner([
      resource(commandType, "a", { stdin: "1" }, { outputs: { stdin: "1", stdout: "answer" } }),
    ]);
    assert.deepEqual(planner.register(resource(commandType, "a", { stdin: "1" })).outputs, {
      stdin: "1",
      stdout: "answer",
    });
    assert.deepEqual(planner.register(resource(commandType, "b", { stdin: "1" })), { id: "", outputs: { stdin: "1" } });
    const { metadata } = planner.register(old).outputs as { metadata: Record<string, unknown> };
    assert.ok(isUnknown(metadata.uid));
    const fixed = planner.register(resource(commandType, "c", { stdin: unknown }));
    assert.equal(fixed.id, "");
    assert.deepEqual(planner.finish().at(-1)?.unknown, ["stdin"]);
  });
});
