import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { MigrationScripts } from "../components/volumes/migration-scripts";
import { NodesWithoutLonghorn, pastCopy } from "../components/volumes/nodes-without-longhorn";
import { VolumeCutover, type VolumeCutoverArgs } from "../components/volumes/volume-cutover";
import { VolumeFinalization } from "../components/volumes/volume-finalization";
import { VolumeMigration, type VolumeMigrationArgs } from "../components/volumes/volume-migration";
import { newClaimName, volumeName } from "../environment/volume-name";
import { ask } from "../operations/declare";
import { podSecurity } from "../operations/pod-security";
import { ledgerNamespace } from "../operations/volumes/ledger";
import { readLedgers, type LedgersRead } from "../operations/volumes/read-ledgers";
import type { Context, Declared, VolumesOutputs } from "./context";
import { access, kubernetesProvider, operationsProvider } from "./providers";
import { requireOutput } from "./reference";

/** The layer volumes: the ledgers read and held against the file, then every volume on its own way; the outputs are the ledgers after that. */
export async function volumes(context: Context): Promise<Declared<VolumesOutputs>> {
  const { file } = context;
  const cluster = kubernetesProvider(context, { upsertExistingObjects: true });
  const operations = operationsProvider();
  const providers = [cluster, operations];
  const ways = access(context, ["kubernetes"]);
  const storageClass = await requireOutput<string>(context, "services", "storageClass");
  const declared = file.volumes.map((volume) => ({
    namespace: volume.namespace,
    claim: volume.claim,
    newClaim: newClaimName(volume),
    accessMode: volume.accessMode,
    stage: volume.stage,
    ...(volume.switch && { switch: volume.switch }),
    attempt: volume.attempt,
    environment: context.environment,
  }));

  const agreed = ask(readLedgers, ways, { volumes: declared }, { provider: operations });
  const ledgers = new kubernetes.core.v1.Namespace(
    "ledgers",
    // From the answer: nothing of a volume is registered before its ledger has been held against the file. Through a property, because a component whose
    // dependsOn is refused makes the engine wait for ever instead of saying why (tried).
    { metadata: { name: agreed.apply(() => ledgerNamespace), labels: podSecurity("restricted") } },
    // The ledgers in it are the truth for every later step, and outlive this layer.
    { provider: cluster, retainOnDelete: true },
  );
  const dependsOn = [ledgers];
  const namespaces = file.volumes.map(({ namespace }) => namespace);
  const scripts = new MigrationScripts("scripts", { namespaces }, { providers, dependsOn });
  const moving = file.volumes.filter(pastCopy);
  // Before the first cutover, and for as long as there is one. Volumes that are only copied do not wait for it.
  const closed =
    moving.length === 0
      ? []
      : [
          new NodesWithoutLonghorn(
            "nodes-without-longhorn",
            { volumes: moving, access: ways },
            { providers, dependsOn },
          ),
        ];
  const migrations = file.volumes.map((volume, index) => {
    const name = volumeName(volume, file.volumes);
    const over = agreed.apply((read) => read.volumes[index]?.over ?? { copy: false, cutover: false, finalize: false });
    const given = {
      volume,
      name,
      environment: context.environment,
      scripts: scripts.in(volume.namespace),
      access: ways,
    };
    const after = { providers, dependsOn: pastCopy(volume) ? [...dependsOn, ...closed] : dependsOn };
    return moved(given, over, { storageClass, oldStorageClass: file.oldStorage.storageClass }, after);
  });
  // Read again behind every verdict: what the first read found is what was there before this update.
  const last = migrations.map(({ done }) => done);
  const after = ask(readLedgers, ways, { volumes: declared }, { provider: operations, dependsOn: last });
  return {
    volumes: Object.fromEntries(
      migrations.map(({ name, claim }, index) => [
        name,
        { claim, ledger: after.apply((read) => read.volumes[index]?.phase ?? "none") },
      ]),
    ),
  };
}

/** A volume as far as its stage lets it go. Each stage holds what the one before it declared, but for the last: nothing of the migration is left then. */
function moved(
  given: Omit<VolumeCutoverArgs, "switch" | "uids" | "over">,
  over: pulumi.Output<LedgersRead["volumes"][number]["over"]>,
  classes: Pick<VolumeMigrationArgs, "storageClass" | "oldStorageClass">,
  opts: pulumi.ComponentResourceOptions,
): { readonly name: string; readonly claim: pulumi.Output<string>; readonly done: pulumi.Resource } {
  const { volume, name } = given;
  const way = volume.switch;
  if (volume.stage === "finalize" && way) {
    const { done } = new VolumeFinalization(`${name}-finalize`, { ...given, switch: way, over: over.finalize }, opts);
    return { name, claim: pulumi.output(way === "same-name" ? volume.claim : newClaimName(volume)), done };
  }
  const migration = new VolumeMigration(name, { ...given, ...classes, over: over.copy }, opts);
  // The file's rules see to it that there is a switch from stage cutover on.
  if (volume.stage === "copy" || !way) return { name, claim: migration.claim, done: migration.verdict };
  const cutover = { ...given, switch: way, uids: migration.uids, over: over.cutover };
  const { done } = new VolumeCutover(`${name}-cutover`, cutover, { ...opts, dependsOn: migration.verdict });
  return { name, claim: way === "same-name" ? pulumi.output(volume.claim) : migration.claim, done };
}
