import { z } from "zod";
import { longhornNamespace, longhornSettings, longhornVolumes, type LonghornVolume } from "../kinds";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";

const schema = z.strictObject({
  /** The switch `longhorn.leaving`, as the last `up` recorded it. */
  leaving: z.boolean(),
});

/** How many volumes a refusal names. */
const named = 10;

/** Records the switch for the deletion, which cannot read the file: `destroy` does not run the program. */
export const guardLonghorn = defineOperation({
  verb: "guard-longhorn",
  needs: [],
  schema,
  async run({ leaving }, { log }) {
    if (leaving) log("longhorn.leaving is set: `pulumi destroy` will uninstall Longhorn once it holds no volume");
    return { leaving };
  },
});

/**
 * Stands before the removal of everything in the layer. Refuses while the switch is off, while any volume is left, and while Longhorn's own
 * confirmation flag would fail the uninstall half-way.
 */
export const leaveLonghorn = defineOperation({
  verb: "leave-longhorn",
  needs: ["kubernetes"],
  schema,
  async run({ leaving }, { kubernetes }) {
    if (!leaving) {
      throw new Refusal({
        what: "Longhorn, and the layer around it, leaves only by its switch",
        why: "uninstalling it takes every volume with it",
        next: "set `leaving: true` under home-cluster:longhorn in the environment file, `pulumi up`, then destroy",
      });
    }
    const volumes = await kubernetes.list(longhornVolumes, { namespace: longhornNamespace });
    if (volumes.length > 0) {
      const more = volumes.length > named ? ` and ${volumes.length - named} more` : "";
      throw new Refusal({
        what: `Longhorn still holds ${volumes.length} volume${volumes.length === 1 ? "" : "s"}: ${volumes.slice(0, named).map(describe).join(", ")}${more}`,
        why: "uninstalling it deletes them and their data; the class retains volumes, so deleting a claim alone does not remove them",
        next: `move or give up their data, then \`kubectl -n ${longhornNamespace} delete volumes.longhorn.io <name>\` for each`,
      });
    }
    const flag = await kubernetes.read(longhornSettings, "deleting-confirmation-flag", longhornNamespace);
    if (flag && flag.value !== "true") {
      throw new Refusal({
        what: `Longhorn's setting deleting-confirmation-flag is ${flag.value}`,
        why: "its uninstaller would refuse in the middle of the removal; `pulumi up` sets it together with the switch",
        next: "`pulumi up --refresh`, then destroy",
      });
    }
    return { volumes: 0 };
  },
});

function describe(volume: LonghornVolume): string {
  const { namespace, pvcName } = volume.status?.kubernetesStatus ?? {};
  return `${volume.metadata?.name}${pvcName ? ` (${namespace}/${pvcName})` : ""}`;
}
