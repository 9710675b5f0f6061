import type { RecordedResource, ReplacementReason } from "../format";
import { formatPath, hasUnknown, parsePath, touches, type Difference } from "../values";
import { reveal, type Properties } from "../../rehearsal/record";

/** A property that cannot be changed in place. */
export interface ReplacementRule {
  /** Types that it holds for. */
  readonly types: RegExp;
  /** As Pulumi writes paths; `*` stands for any key or index. */
  readonly paths: readonly string[];
  readonly why: string;
  /** Where that is known from: the provider's source at a version, its schema, or what was tried. */
  readonly source: string;
  /** Only then. Default: always. */
  readonly when?: (after: Properties, provider: Properties) => boolean;
}

const kubernetesSource = "pulumi-kubernetes provider/pkg/provider/diff.go, forceNew (94977969d)";

/**
 * What replaces a resource, for every type that a layer registers. A type that is not here is only ever updated in place; test/unit/diff/replacement.test.ts
 * holds the recorded types against this list, test/engine/diff.test.ts the rules against the providers themselves.
 */
export const replacementRules: readonly ReplacementRule[] = [
  {
    types: /^kubernetes:(?!helm\.sh)/,
    paths: ["metadata.name", "metadata.namespace", "kind", "apiVersion"],
    why: "a Kubernetes object is known by its name and namespace",
    source: `${kubernetesSource}, metadataForceNewProperties`,
  },
  {
    types: /^kubernetes:core\/v1:PersistentVolumeClaim$/,
    paths: ["spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"],
    why: "a claim's class, access modes and volume are fixed; a new claim is a new, empty volume",
    source: kubernetesSource,
  },
  {
    types: /^kubernetes:batch\/v1:Job$/,
    paths: ["spec.completions", "spec.parallelism", "spec.selector", "spec.template"],
    why: "a Job's template is fixed; a new Job runs again",
    source: kubernetesSource,
  },
  {
    types: /^kubernetes:core\/v1:Secret$/,
    paths: ["type", "data", "stringData"],
    why: "the provider treats a Secret's data as fixed",
    source: kubernetesSource,
    when: (after, provider) => provider.enableSecretMutable !== true || after.immutable === true,
  },
  {
    types: /^kubernetes:core\/v1:Secret$/,
    paths: ["type"],
    why: "the API refuses another type",
    source: kubernetesSource,
  },
  {
    types: /^kubernetes:core\/v1:ConfigMap$/,
    paths: ["data", "binaryData"],
    why: "the provider treats a ConfigMap's data as fixed",
    source: kubernetesSource,
    when: (after, provider) => provider.enableConfigMapMutable !== true || after.immutable === true,
  },
  {
    types: /^kubernetes:core\/v1:Service$/,
    paths: ["spec.clusterIP"],
    why: "a Service's cluster address is fixed",
    source: kubernetesSource,
  },
  {
    types: /^kubernetes:apps\/v1:(Deployment|DaemonSet|StatefulSet)$/,
    paths: ["spec.selector"],
    why: "a workload's selector is fixed",
    source: kubernetesSource,
  },
  {
    types: /^kubernetes:apps\/v1:StatefulSet$/,
    paths: ["spec.podManagementPolicy", "spec.revisionHistoryLimit", "spec.serviceName", "spec.volumeClaimTemplates"],
    why: "the API refuses the change in place",
    source: kubernetesSource,
  },
  {
    types: /^kubernetes:storage\.k8s\.io\/v1:StorageClass$/,
    paths: ["parameters", "provisioner"],
    why: "a storage class is fixed but for its labels",
    source: kubernetesSource,
  },
  {
    types: /^kubernetes:rbac\.authorization\.k8s\.io\/v1:(Cluster)?RoleBinding$/,
    paths: ["roleRef"],
    why: "a binding's role is fixed",
    source: kubernetesSource,
  },
  {
    types: /^kubernetes:core\/v1:PersistentVolume$/,
    paths: ["spec.csi", "spec.nfs", "spec.hostPath", "spec.local", "spec.iscsi"],
    why: "where a volume's data is, is fixed",
    source: kubernetesSource,
  },
  {
    types: /^kubernetes:helm\.sh\/v3:Release$/,
    paths: ["name", "namespace"],
    why: "Helm knows a release by its name and namespace; a new one is installed, and the old one uninstalled",
    source: "pulumi-kubernetes provider/pkg/provider/helm_release.go, Diff, forceNewFields (94977969d)",
  },
  {
    types: /^pulumi:providers:kubernetes$/,
    paths: ["clusterIdentifier"],
    why: "another cluster: every object of it goes and is made anew in the other",
    source: "pulumi-kubernetes provider/pkg/provider/provider.go, DiffConfig; tried on the real engine",
  },
  {
    types: /^pulumi:providers:kubernetes$/,
    paths: ["renderYamlToDirectory"],
    why: "objects become files",
    source: "pulumi-kubernetes provider/pkg/provider/provider.go, DiffConfig",
  },
  {
    types: /^proxmoxve:index\/vmLegacy:VmLegacy$/,
    paths: ["nodeName"],
    why: "a machine stays on its host unless told to migrate; a new machine has new, empty disks",
    source: "terraform-provider-proxmox proxmoxtf/resource/vm/vm.go, CustomizeDiff",
    when: (after) => after.migrate !== true,
  },
  {
    types: /^proxmoxve:index\/vmLegacy:VmLegacy$/,
    paths: ["vmId"],
    why: "a machine is known by its id; a new machine has new, empty disks",
    source: "terraform-provider-proxmox proxmoxtf/resource/vm/vm.go, CustomizeDiff; tried on the real provider",
  },
  {
    types: /^proxmoxve:index\/vmLegacy:VmLegacy$/,
    paths: [
      "amdSev",
      "clone",
      "disks[*].fileId",
      "initialization.metaDataFileId",
      "initialization.networkDataFileId",
      "initialization.type",
      "initialization.userDataFileId",
      "initialization.vendorDataFileId",
    ],
    why: "the provider cannot change it on a machine that exists",
    source: "schema of the plugin proxmoxve 8.6.0, willReplaceOnChanges",
  },
  {
    types: /^proxmoxve:download\/file:File$/,
    paths: [
      "nodeName",
      "datastoreId",
      "contentType",
      "url",
      "fileName",
      "checksum",
      "checksumAlgorithm",
      "decompressionAlgorithm",
    ],
    why: "another file is downloaded",
    source: "terraform-provider-proxmox fwprovider, download_file, RequiresReplace; tried on the real provider",
  },
  {
    types: /^command:local:Command$/,
    paths: ["triggers"],
    why: "it runs again: its delete, then its create",
    source: "schema of the plugin command 1.2.1, replaceOnChanges",
  },
  {
    types: /^random:index\/random(Password|String|Pet|Id|Uuid|Integer|Bytes|Shuffle):/,
    paths: [
      ...["length", "special", "keepers", "lower", "upper", "numeric", "number", "overrideSpecial"],
      ...["minLower", "minUpper", "minNumeric", "minSpecial", "min", "max", "byteLength"],
    ],
    why: "another value is drawn",
    source: "terraform-provider-random internal/provider, RequiresReplace",
  },
];

/** Types that are only ever changed in place, or have nothing to change. */
export const neverReplaced: readonly RegExp[] = [/^pulumi:providers:(proxmoxve|command|random)$/];

/** Why these differences replace the resource; empty when they do not. */
export function replacementReasons(
  { type, inputs, options }: Pick<RecordedResource, "type" | "inputs" | "options">,
  found: readonly Difference[],
  provider: Properties = {},
): readonly ReplacementReason[] {
  const after = reveal(inputs) as Properties;
  const rules = replacementRules.filter((rule) => rule.types.test(type) && (rule.when?.(after, provider) ?? true));
  const byRule = found.flatMap((difference) => {
    const rule = rules.find(({ paths }) => paths.some((path) => replaces(difference, path)));
    return rule ? [{ path: formatPath(difference.path), why: rule.why, source: rule.source }] : [];
  });
  const asked = found
    .filter((difference) => options.replaceOnChanges.some((path) => replaces(difference, path)))
    .map(({ path }) => ({ path: formatPath(path), why: "declared so (replaceOnChanges)", source: "the program" }));
  return [...byRule, ...asked.filter(({ path }) => byRule.every((reason) => reason.path !== path))];
}

/** A difference inside of the path, or a whole around it that came, went or is not known. */
function replaces({ path, before, after }: Difference, pattern: string): boolean {
  const fixed = parsePath(pattern);
  if (!touches(path, fixed)) return false;
  if (path.length >= fixed.length) return true;
  // The whole is there on one side only: it replaces if that side has the part, or cannot tell.
  const rest = fixed.slice(path.length);
  return [before, after].some((side) => hasUnknown(side) || part(reveal(side), rest) !== undefined);
}

function part(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (typeof inner === "object" && inner !== null ? (inner as Properties)[key] : undefined),
    value,
  );
}
