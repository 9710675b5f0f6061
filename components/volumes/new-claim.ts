import * as kubernetes from "@pulumi/kubernetes";
import type * as pulumi from "@pulumi/pulumi";
import { newClaimName } from "../../environment/volume-name";
import { migrationLabels, volumeAnnotation, volumeId } from "../../operations/volumes/migration-pod";
import type { VolumeMigrationArgs } from "./volume-migration";

/** The new claim. The preflight that it waits for has refused what the engine would answer by replacing it. */
export function newVolumeClaim(
  name: string,
  { volume, storageClass }: Pick<VolumeMigrationArgs, "volume" | "storageClass">,
  opts: pulumi.CustomResourceOptions,
): kubernetes.core.v1.PersistentVolumeClaim {
  return new kubernetes.core.v1.PersistentVolumeClaim(
    name,
    {
      metadata: {
        name: newClaimName(volume),
        namespace: volume.namespace,
        labels: migrationLabels,
        annotations: {
          [volumeAnnotation]: volumeId(volume),
          // The provider's own wait ends after five minutes whatever customTimeouts says, and cannot say why.
          "pulumi.com/waitFor": "jsonpath={.status.phase}=Bound",
        },
      },
      spec: {
        accessModes: [volume.accessMode],
        storageClassName: storageClass,
        resources: { requests: { storage: volume.size } },
      },
    },
    {
      ...opts,
      // A volume that leaves the file, or a stack that is destroyed, lets go of the claim and leaves it; so does a cutover under the old claim's name. Not
      // `protect` as well: it would refuse exactly that. What it would guard against, a change of class or access mode, is refused by the preflight.
      retainOnDelete: true,
      customTimeouts: { create: "15m", update: "15m" },
    },
  );
}
