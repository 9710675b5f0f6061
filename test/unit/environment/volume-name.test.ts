import assert from "node:assert/strict";
import * as fc from "fast-check";
import { migrationJobName, newClaimName, volumeName, type NamedVolume } from "../../../environment/volume-name";

const word = fc.constantFrom("a", "b", "c", "d");
const volumes = fc.uniqueArray(fc.record({ namespace: word, claim: word }), {
  selector: ({ namespace, claim }) => `${namespace}/${claim}`,
  minLength: 1,
});

describe("environment/volume-name", () => {
  const data: NamedVolume = { namespace: "games", claim: "data" };

  it("is the claim's name where no other volume has it", () => {
    assert.equal(volumeName(data, [data, { namespace: "games", claim: "other" }]), "data");
    assert.equal(volumeName(data, []), "data");
  });

  it("has the namespace before it where another volume has the claim's name, too", () => {
    const other = { namespace: "media", claim: "data" };
    assert.equal(volumeName(data, [data, other]), "games-data");
    assert.equal(volumeName(other, [data, other]), "media-data");
  });

  it("knows the volume itself by what names it, not by being the same object", () => {
    assert.equal(volumeName(data, [{ ...data }]), "data");
  });

  it("is different for different volumes, as long as no name holds a hyphen", () => {
    fc.assert(fc.property(volumes, (all) => new Set(all.map((volume) => volumeName(volume, all))).size === all.length));
  });

  it("names the copy Job after it", () => {
    assert.equal(migrationJobName(data, [data]), "volume-migration-data");
  });

  it("takes the new claim's name from the file, or makes one", () => {
    assert.equal(newClaimName({ ...data, newClaim: "fresh" }), "fresh");
    assert.equal(newClaimName({ ...data, newClaim: undefined }), "data-longhorn");
  });
});
