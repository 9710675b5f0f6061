import assert from "node:assert/strict";
import type { V1Node, V1NodeSelectorRequirement, V1Taint, V1Toleration } from "@kubernetes/client-node";
import { fitsNode, isReady, selects, takesPods, tolerates } from "../../../../operations/cluster/selector";

const node = (labels: Record<string, string> = {}, taints?: V1Taint[]): V1Node => ({
  metadata: { name: "n1", labels },
  spec: { ...(taints && { taints }) },
  status: { conditions: [{ type: "Ready", status: "True" }] },
});

describe("Kubernetes' own matching rules", () => {
  it("a label selector: absent selects nothing, empty everything, labels and expressions all count", () => {
    assert.equal(selects(undefined, { a: "1" }), false);
    assert.equal(selects({}, undefined), true);
    assert.equal(selects({ matchLabels: { a: "1" } }, { a: "1", b: "2" }), true);
    assert.equal(selects({ matchLabels: { a: "1" } }, { a: "2" }), false);
    const matchExpressions = [{ key: "b", operator: "Exists" }];
    assert.equal(selects({ matchLabels: { a: "1" }, matchExpressions }, { a: "1" }), false);
    assert.equal(selects({ matchLabels: { a: "1" }, matchExpressions }, { a: "1", b: "" }), true);
  });

  const requirements: [V1NodeSelectorRequirement, Record<string, string>, boolean][] = [
    [{ key: "a", operator: "In", values: ["1", "2"] }, { a: "2" }, true],
    [{ key: "a", operator: "In", values: ["1"] }, {}, false],
    [{ key: "a", operator: "In" }, { a: "1" }, false],
    [{ key: "a", operator: "NotIn", values: ["1"] }, {}, true],
    [{ key: "a", operator: "NotIn", values: ["1"] }, { a: "1" }, false],
    [{ key: "a", operator: "Exists" }, { a: "" }, true],
    [{ key: "a", operator: "Exists" }, {}, false],
    [{ key: "a", operator: "DoesNotExist" }, {}, true],
    [{ key: "a", operator: "DoesNotExist" }, { a: "1" }, false],
    [{ key: "a", operator: "Gt", values: ["5"] }, { a: "10" }, true],
    [{ key: "a", operator: "Gt", values: ["5"] }, { a: "5" }, false],
    [{ key: "a", operator: "Gt", values: ["5"] }, {}, false],
    [{ key: "a", operator: "Lt", values: ["5"] }, { a: "4" }, true],
    [{ key: "a", operator: "Lt", values: ["5"] }, { a: "x" }, false],
    [{ key: "a", operator: "Later" }, { a: "1" }, false],
  ];
  for (const [requirement, labels, fits] of requirements) {
    it(`${JSON.stringify(requirement)} ${fits ? "fits" : "does not fit"} ${JSON.stringify(labels)}`, () => {
      const required = { nodeSelectorTerms: [{ matchExpressions: [requirement] }] };
      assert.equal(fitsNode(required, node(labels)), fits);
    });
  }

  it("node selector terms are alternatives, requirements within one all count, an empty term fits nothing", () => {
    const has = (key: string): V1NodeSelectorRequirement => ({ key, operator: "Exists" });
    assert.equal(fitsNode(undefined, node()), true);
    assert.equal(fitsNode({ nodeSelectorTerms: [] }, node()), false);
    assert.equal(fitsNode({ nodeSelectorTerms: [{}] }, node()), false);
    assert.equal(
      fitsNode(
        { nodeSelectorTerms: [{ matchExpressions: [has("a")] }, { matchExpressions: [has("b")] }] },
        node({ b: "" }),
      ),
      true,
    );
    assert.equal(fitsNode({ nodeSelectorTerms: [{ matchExpressions: [has("a"), has("b")] }] }, node({ b: "" })), false);
  });

  it("fields name the node itself", () => {
    const named = (name: string): boolean =>
      fitsNode(
        { nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: [name] }] }] },
        node(),
      );
    assert.deepEqual([named("n1"), named("n2")], [true, false]);
  });

  const taint = { key: "a", value: "1", effect: "NoSchedule" };
  const tolerations: [string, V1Toleration[] | undefined, boolean][] = [
    ["none", undefined, false],
    ["its key and value", [{ key: "a", value: "1" }], true],
    ["its key, value and effect", [{ key: "a", operator: "Equal", value: "1", effect: "NoSchedule" }], true],
    ["another value", [{ key: "a", value: "2" }], false],
    ["another key", [{ key: "b", value: "1" }], false],
    ["another effect", [{ key: "a", value: "1", effect: "NoExecute" }], false],
    ["its key, whatever the value", [{ key: "a", operator: "Exists" }], true],
    ["another key, whatever the value", [{ key: "b", operator: "Exists" }], false],
    ["everything", [{ operator: "Exists" }], true],
  ];
  for (const [what, given, result] of tolerations) {
    it(`a toleration of ${what} ${result ? "covers" : "does not cover"} the taint`, () =>
      assert.equal(tolerates(given, node({}, [taint])), result));
  }

  it("a taint without a value is covered by a toleration without one; a mere preference needs none", () => {
    assert.equal(tolerates([{ key: "a" }], node({}, [{ key: "a", effect: "NoExecute" }])), true);
    assert.equal(tolerates(undefined, node({}, [{ key: "a", effect: "PreferNoSchedule" }])), true);
  });

  it("the taint of a cordon, which lags behind it, says nothing: the node itself does", () => {
    const lagging = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };
    assert.equal(tolerates(undefined, node({}, [lagging])), true);
    assert.equal(tolerates(undefined, node({}, [lagging, taint])), false);
  });

  it("a node takes pods when it is Ready and not cordoned", () => {
    assert.equal(takesPods(node()), true);
    assert.equal(takesPods({ ...node(), spec: { unschedulable: true } }), false);
    assert.equal(isReady({ status: { conditions: [{ type: "Ready", status: "Unknown" }] } }), false);
    assert.equal(isReady({}), false);
  });
});
