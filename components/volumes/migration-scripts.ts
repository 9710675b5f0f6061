import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import { migrationLabels } from "../../operations/volumes/migration-pod";

export interface MigrationScriptsArgs {
  /** Those of the volumes, each once or more. */
  readonly namespaces: readonly string[];
}

/** What the Jobs run, in each namespace once: a ConfigMap can only be mounted in its own. */
export class MigrationScripts extends pulumi.ComponentResource {
  private readonly configMaps: ReadonlyMap<string, pulumi.Output<string>>;

  constructor(name: string, args: MigrationScriptsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:volumes:MigrationScripts", name, args, opts);
    const data = scripts();
    const version = hash(data);
    this.configMaps = new Map(
      [...new Set(args.namespaces)].map((namespace) => {
        const configMap = new kubernetes.core.v1.ConfigMap(
          `${name}-${namespace}-${version}`,
          {
            metadata: { name: `volume-migration-scripts-${version}`, namespace, labels: migrationLabels },
            immutable: true,
            data,
          },
          // Kept: changed scripts are another ConfigMap, and a Job that still runs starts its next pod with the one that it was made with.
          { parent: this, dependsOn: opts?.dependsOn, retainOnDelete: true },
        );
        return [namespace, configMap.metadata.name];
      }),
    );
    this.registerOutputs({ configMaps: Object.fromEntries(this.configMaps) });
  }

  /** The ConfigMap's name, known once it exists. Throws for a namespace that it was not made for. */
  in(namespace: string): pulumi.Output<string> {
    const configMap = this.configMaps.get(namespace);
    if (configMap) return configMap;
    throw new Error(`no migration scripts were declared for the namespace ${namespace}`);
  }
}

/** The files' text; read beside this one, so that no machine's path enters the state. */
function scripts(): Record<string, string> {
  return Object.fromEntries(
    ["copy.sh", "verify.py"].map((file) => [file, readFileSync(join(__dirname, "scripts", file), "utf8")]),
  );
}

/** Ten hexadecimal digits of the content's hash: the same in every checkout, and another one for another content. */
export function hash(data: Readonly<Record<string, string>>): string {
  return createHash("sha256").update(JSON.stringify(data)).digest("hex").slice(0, 10);
}
