import { repeated } from "../duplicates";
import { at, whole } from "../origin";
import type { Finding } from "../problem";
import { toMebibytes } from "../quantity";
import type { Environment } from "../schema";
import { keptClaimName, migrationJobName, newClaimName } from "../volume-name";

/** The volumes that move: which claim becomes which, and what is named after them. */

type Volume = Environment["volumes"][number];

const nameOf = (volume: Volume): string => `${volume.namespace}/${volume.claim}`;

/** Without repetitions, which have a rule of their own. */
function distinct(volumes: readonly Volume[]): readonly Volume[] {
  return volumes.filter((volume, index) => volumes.findIndex((other) => nameOf(other) === nameOf(volume)) === index);
}

export function duplicateVolumes(environment: Environment): readonly Finding[] {
  return repeated(
    environment.volumes.map((volume) => ({ value: nameOf(volume), who: "another entry", path: at(volume, "claim") })),
    "claim",
    "remove one of the two entries",
  );
}

/** The copy would stop when the new volume is full. */
export function claimSmallerThanOld(environment: Environment): readonly Finding[] {
  return environment.volumes
    .filter((volume) => toMebibytes(volume.size) < toMebibytes(volume.oldSize))
    .map((volume) => ({
      path: at(volume, "size"),
      value: volume.size,
      why: `is smaller than the old volume (${volume.oldSize})`,
      remedy: `write ${volume.oldSize} or more`,
    }));
}

/** A new claim over an old one, or two copies into one claim, would mix or lose data. */
export function newClaimTaken(environment: Environment): readonly Finding[] {
  const volumes = distinct(environment.volumes);
  const old = volumes.map((volume) => ({
    value: nameOf(volume),
    who: "an old volume",
    path: at(volume, "claim"),
  }));
  const fresh = volumes.map((volume) => ({
    value: `${volume.namespace}/${newClaimName(volume)}`,
    who: `the new volume of ${nameOf(volume)}`,
    path: at(volume, volume.newClaim === undefined ? "claim" : "newClaim"),
  }));
  return repeated([...old, ...fresh], "claim", "write a newClaim that nothing else has");
}

/** The old volume keeps its data under a name of its own. */
export function keptClaimTaken(environment: Environment): readonly Finding[] {
  const volumes = distinct(environment.volumes);
  const taken = volumes.flatMap((volume) => [
    { value: nameOf(volume), who: "an old volume", path: at(volume, "claim") },
    {
      value: `${volume.namespace}/${newClaimName(volume)}`,
      who: `the new volume of ${nameOf(volume)}`,
      path: at(volume, volume.newClaim === undefined ? "claim" : "newClaim"),
    },
  ]);
  return volumes
    .filter((volume) => volume.switch === "same-name")
    .flatMap((volume) => {
      const kept = `${volume.namespace}/${keptClaimName(volume)}`;
      return taken
        .filter(({ value }) => value === kept)
        .map(({ who, path }) => ({
          path: at(volume, "switch"),
          value: kept,
          why: `its old volume is to be kept under this name, which is the claim of ${who} already (${path})`,
          remedy: "write another newClaim there, or switch: new-claim here",
        }));
    });
}

/** 63, because the claim's name becomes a label's value. */
export function newClaimTooLong(environment: Environment): readonly Finding[] {
  return environment.volumes
    .filter((volume) => newClaimName(volume).length > 63)
    .map((volume) => ({
      path: at(volume, "newClaim"),
      value: newClaimName(volume),
      why: `has ${newClaimName(volume).length} characters, and at most 63 can be used as a label`,
      remedy: "write a shorter newClaim",
    }));
}

/** Neither way of switching is right for every workload, so none is taken for granted where a workload is about to be stopped. */
export function switchNotChosen(environment: Environment): readonly Finding[] {
  return environment.volumes
    .filter((volume) => volume.stage !== "copy" && volume.switch === undefined)
    .map((volume) => ({
      path: at(volume, "stage"),
      value: volume.stage,
      why: "needs a switch: how the workload comes to the new volume",
      remedy:
        "write switch: same-name where the claim's name must stay (a StatefulSet's own claims, a chart without existingClaim), else switch: new-claim",
    }));
}

/** A Job's name becomes a label of its pods. Two volumes may come to one name only when a claim is called like another's namespace and claim together. */
export function migrationJobNames(environment: Environment): readonly Finding[] {
  if (!whole(environment.volumes)) return [];
  const volumes = distinct(environment.volumes);
  const jobs = volumes.map((volume) => ({
    value: migrationJobName(volume, volumes),
    who: nameOf(volume),
    path: at(volume, "claim"),
  }));
  return [
    ...jobs
      .filter(({ value }) => value.length > 63)
      .map(({ value, path }) => ({
        path,
        value,
        why: `the copy Job would have a name of ${value.length} characters, and 63 is the most that its pods' labels take`,
        remedy: "move the data to a claim with a shorter name by hand first",
      })),
    ...repeated(jobs, "copy Job's name", "move one of the two by hand: their claims cannot be told apart by name"),
  ];
}
