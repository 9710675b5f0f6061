import assert from "node:assert/strict";
import {
  copyCapabilities,
  isMigration,
  migrationLabels,
  refusedByPodSecurity,
  verifyCapabilities,
} from "../../../../operations/volumes/migration-pod";

describe("operations/volumes/migration-pod (does not prove what an admission controller other than Pod Security refuses)", () => {
  it("restricted takes no root, and so none of our pods", () => {
    assert.match(refusedByPodSecurity("restricted") ?? "", /restricted, which takes no root/);
  });
  it("baseline takes our pods as they are", () => {
    assert.equal(refusedByPodSecurity("baseline"), undefined);
    assert.equal(refusedByPodSecurity("baseline", copyCapabilities), undefined);
    assert.equal(refusedByPodSecurity("baseline", verifyCapabilities), undefined);
  });
  it("baseline would not take what reading alone would need, nor SYS_ADMIN", () => {
    assert.equal(
      refusedByPodSecurity("baseline", ["CHOWN", "DAC_READ_SEARCH", "SYS_ADMIN"]),
      "it enforces the Pod Security level baseline, which takes no DAC_READ_SEARCH, SYS_ADMIN",
    );
  });
  for (const level of ["privileged", undefined, "unheard-of"]) {
    it(`${level ?? "no level"} takes them`, () => assert.equal(refusedByPodSecurity(level), undefined));
  }
  it("knows our objects by both labels", () => {
    assert.equal(isMigration({ metadata: { labels: { ...migrationLabels, other: "x" } } }), true);
    assert.equal(isMigration({ metadata: { labels: { "app.kubernetes.io/managed-by": "home-cluster" } } }), false);
    assert.equal(isMigration({}), false);
  });
});
