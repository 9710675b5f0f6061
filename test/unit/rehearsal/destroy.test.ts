import assert from "node:assert/strict";
import { destroyLayer } from "../../../rehearsal/destroy";
import { buildHome } from "../../../rehearsal/home/build";
import type { Registration } from "../../../rehearsal/record";
import type { LayerRun } from "../../../rehearsal/story";
import { environment } from "../../support/environment";
import { noOptions as options } from "../../support/registration";

/** A resource without a delete of its own, waiting for others by name. */
function resource(name: string, ...waitsFor: string[]): Registration {
  return {
    urn: urn(name),
    type: "test:index:Thing",
    name,
    custom: true,
    parent: "",
    provider: "",
    inputs: {},
    dependencies: waitsFor.map(urn),
    options,
  };
}

function urn(name: string): string {
  return `urn:pulumi:home-rancheros::home-cluster::test:index:Thing::${name}`;
}

function run(...registrations: Registration[]): LayerRun {
  return {
    layer: "rancheros",
    stack: "home-rancheros",
    steps: registrations.map((registration) => ({ registration, startedAt: 0, finishedAt: 0 })),
    registered: registrations.map((registration) => registration.urn),
    asked: [],
    failed: [],
    error: undefined,
    outputs: {},
    peakMemory: 0,
    home: buildHome(environment("home")),
  };
}

describe("destroy in the rehearsal (does not prove the engine's own order)", () => {
  it("deletes what nothing depends on first", async () => {
    const layer = run(resource("vm"), resource("membership", "vm"), resource("gate", "membership", "vm"));
    const { deleted, failed, notDeleted } = await destroyLayer(layer, layer.home, undefined);
    assert.deepEqual(deleted, [urn("gate"), urn("membership"), urn("vm")]);
    assert.deepEqual([failed, notDeleted], [[], []]);
  });

  it("leaves standing what a failed deletion depends on, and nothing else", async () => {
    const layer = run(resource("vm"), resource("membership", "vm"), resource("other"));
    const { deleted, failed, notDeleted } = await destroyLayer(layer, layer.home, "delete:membership");
    assert.deepEqual(deleted, [urn("other")]);
    assert.deepEqual(failed, [[urn("membership"), "membership: made to fail by --fail delete:membership"]]);
    assert.deepEqual(notDeleted, [urn("vm")]);
  });

  it("runs a resource's own delete with the request that up recorded, and says what it refused", async () => {
    const layer = run({ ...resource("gone"), inputs: { delete: "operations/run no-such-verb", stdin: "{}" } });
    const { deleted, failed } = await destroyLayer(layer, layer.home, undefined);
    assert.deepEqual(deleted, []);
    assert.equal(failed.length, 1);
    assert.match(failed[0]?.[1] ?? "", /^operations\/run no-such-verb: no such operation/);
  });

  it("runs no delete of what is retained", async () => {
    const retained = {
      ...resource("kept"),
      inputs: { delete: "operations/run no-such-verb", stdin: "{}" },
      options: { ...options, retainOnDelete: true },
    };
    const layer = run(retained);
    assert.deepEqual((await destroyLayer(layer, layer.home, undefined)).deleted, [urn("kept")]);
  });
});
