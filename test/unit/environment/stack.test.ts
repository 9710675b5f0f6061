import assert from "node:assert/strict";
import * as fc from "fast-check";
import { layers, parseStackName } from "../../../environment/stack";

describe("environment/stack", () => {
  it("splits at the last hyphen, since environments may carry hyphens", () => {
    assert.deepEqual(parseStackName("home-nodes"), { environment: "home", layer: "nodes" });
    assert.deepEqual(parseStackName("my-home-rancheros"), { environment: "my-home", layer: "rancheros" });
    assert.deepEqual(parseStackName("nodes-nodes"), { environment: "nodes", layer: "nodes" });
  });

  it("takes apart what was put together", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/), fc.constantFrom(...layers), (environment, layer) => {
        assert.deepEqual(parseStackName(`${environment}-${layer}`), { environment, layer });
      }),
    );
  });

  const refused: readonly (readonly [string, string])[] = [
    ["home", "home"],
    ["nodes", "home"],
    ["-nodes", "home"],
    ["home-node", "home"],
    ["home-Nodes", "home"],
    ["lab-", "lab"],
    ["", "home"],
  ];
  for (const [stack, example] of refused) {
    it(`refuses "${stack}" and lists the names to use`, () => {
      assert.throws(
        () => parseStackName(stack),
        new Error(
          `stack ${stack}: not <environment>-<layer>; use one of ${example}-nodes, ${example}-services, ${example}-volumes, ${example}-rancheros: ` +
            `\`pulumi stack select ${example}-nodes\``,
        ),
      );
    });
  }
});
