import { at, each, goes, type Rule, type Sketch } from "./rule";

const claim = "kubernetes:core/v1:PersistentVolumeClaim";
const release = "kubernetes:helm.sh/v3:Release";
const command = "command:local:Command";

function aClaim(storageClassName: string, retainOnDelete: boolean): Sketch {
  return {
    type: claim,
    name: "data",
    inputs: { metadata: { name: "data", namespace: "a" }, spec: { storageClassName } },
    options: { retainOnDelete },
  };
}

function longhorn(values: object, options: Sketch["options"] = {}): Sketch {
  return {
    type: release,
    name: "longhorn",
    inputs: { name: "longhorn", namespace: "longhorn-system", values },
    options,
  };
}

function staged(stage: string): Sketch {
  return {
    type: command,
    name: "data-prepare",
    inputs: {
      create: "operations/run prepare-volume",
      stdin: JSON.stringify({ input: { namespace: "a", claim: "data", stage } }),
    },
  };
}

function job(retain: number): Sketch {
  return {
    type: "kubernetes:longhorn.io/v1beta2:RecurringJob",
    name: "nightly",
    inputs: { metadata: { name: "nightly" }, spec: { task: "backup", retain } },
  };
}

/** A volume's stage that is another one now. */
function comesTo(stage: string): Rule["find"] {
  return each(/^command:local:Command$/, ({ before, after }) => {
    const [from, to] = [before, after].map((inputs) => at(inputs, "stdin.input.stage"));
    if (to !== stage || from === stage) return undefined;
    const volume = `${String(at(after, "stdin.input.namespace"))}/${String(at(after, "stdin.input.claim"))}`;
    return `${volume} comes to the stage ${stage}`;
  });
}

/** Data that is lost, or that nothing keeps any more. */
export const dataRules: readonly Rule[] = [
  {
    name: "claim-deleted",
    reason: "a claim that is deleted may take its volume along",
    find: each(/PersistentVolume(Claim)?$/, (subject) =>
      subject.operation === "delete" && subject.optionsBefore?.retainOnDelete !== true
        ? `the claim ${String(at(subject.before, "metadata.name"))} is deleted from the cluster`
        : undefined,
    ),
    good: [{ title: "a claim that the engine only forgets", before: [aClaim("longhorn", true)], after: [] }],
    bad: [{ title: "a claim that goes with its entry", before: [aClaim("longhorn", false)], after: [] }],
  },
  {
    name: "claim-replaced",
    reason: "the new claim is a new, empty volume under the same name, and what uses it starts without its data",
    find: each(/PersistentVolume(Claim)?$/, (subject) =>
      subject.operation === "replace"
        ? `the claim ${String(at(subject.before, "metadata.name"))} is replaced`
        : undefined,
    ),
    good: [{ title: "nothing changes", before: [aClaim("longhorn", true)], after: [aClaim("longhorn", true)] }],
    bad: [{ title: "another class", before: [aClaim("longhorn", true)], after: [aClaim("other", true)] }],
  },
  {
    name: "reclaim-policy",
    reason: "with Delete a volume's data goes with its claim, at once and for good",
    find: each(/Release$|StorageClass$|PersistentVolume$/, ({ before, after }) => {
      const paths = ["values.persistence.reclaimPolicy", "reclaimPolicy", "spec.persistentVolumeReclaimPolicy"];
      const lost = paths.find((path) => at(before, path) === "Retain" && after && at(after, path) !== "Retain");
      const made = paths.find((path) => at(after, path) === "Delete" && !before);
      return lost === undefined && made === undefined ? undefined : `${lost ?? made ?? ""} is no longer Retain`;
    }),
    good: [
      {
        title: "Delete becomes Retain",
        before: [longhorn({ persistence: { reclaimPolicy: "Delete" } })],
        after: [longhorn({ persistence: { reclaimPolicy: "Retain" } })],
      },
    ],
    bad: [
      {
        title: "the class of a release",
        before: [longhorn({ persistence: { reclaimPolicy: "Retain" } })],
        after: [longhorn({ persistence: { reclaimPolicy: "Delete" } })],
      },
      {
        title: "left to the default",
        before: [longhorn({ persistence: { reclaimPolicy: "Retain" } })],
        after: [longhorn({ persistence: {} })],
      },
    ],
  },
  {
    name: "release-uninstalled",
    reason: "Helm uninstalls the old release, and with it its CRDs: for Longhorn that is every volume",
    find: each(/:helm\.sh\/v3:Release$/, (subject) =>
      goes(subject) && subject.optionsBefore?.retainOnDelete !== true
        ? `the release ${String(at(subject.before, "name"))} is uninstalled`
        : undefined,
    ),
    good: [
      { title: "a release that the engine only forgets", before: [longhorn({}, { retainOnDelete: true })], after: [] },
    ],
    bad: [
      { title: "taken out", before: [longhorn({})], after: [] },
      {
        title: "another namespace",
        before: [longhorn({})],
        after: [{ ...longhorn({}), inputs: { name: "longhorn", namespace: "other", values: {} } }],
      },
    ],
  },
  {
    name: "namespace-deleted",
    reason: "everything in a namespace goes with it, claims first of all",
    find: each(/:core\/v1:Namespace$/, (subject) =>
      goes(subject) && subject.optionsBefore?.retainOnDelete !== true
        ? `the namespace ${String(at(subject.before, "metadata.name"))} is deleted`
        : undefined,
    ),
    good: [
      {
        title: "a namespace that the engine only forgets",
        before: [{ type: "kubernetes:core/v1:Namespace", name: "n", options: { retainOnDelete: true } }],
        after: [],
      },
    ],
    bad: [{ title: "one that goes", before: [{ type: "kubernetes:core/v1:Namespace", name: "n" }], after: [] }],
  },
  {
    name: "retention-lost",
    reason: "what was kept when the engine lets go of it will be deleted from now on",
    find: each(/./, ({ optionsBefore, optionsAfter }) =>
      optionsBefore?.retainOnDelete === true && optionsAfter?.retainOnDelete === false
        ? "is no longer kept (retainOnDelete)"
        : undefined,
    ),
    good: [{ title: "kept from now on", before: [aClaim("x", false)], after: [aClaim("x", true)] }],
    bad: [{ title: "no longer kept", before: [aClaim("x", true)], after: [aClaim("x", false)] }],
  },
  {
    name: "longhorn-leaving",
    reason: "with this switch Longhorn's uninstaller deletes every volume without a further question",
    find: each(/Release$/, ({ before, after }) => {
      const path = "values.defaultSettings.deletingConfirmationFlag";
      return at(after, path) === true && at(before, path) !== true ? "Longhorn may be uninstalled" : undefined;
    }),
    good: [
      {
        title: "switched off",
        before: [longhorn({ defaultSettings: { deletingConfirmationFlag: true } })],
        after: [longhorn({ defaultSettings: { deletingConfirmationFlag: false } })],
      },
    ],
    bad: [
      {
        title: "switched on",
        before: [longhorn({ defaultSettings: { deletingConfirmationFlag: false } })],
        after: [longhorn({ defaultSettings: { deletingConfirmationFlag: true } })],
      },
    ],
  },
  {
    name: "replicas-lowered",
    reason: "new volumes survive the loss of fewer disks",
    find: each(/Release$/, ({ before, after }) => {
      const [from, to] = [before, after].map((inputs) =>
        Number(at(inputs, "values.persistence.defaultClassReplicaCount")),
      );
      return Number(from) > Number(to) ? `new volumes get ${to} replicas, not ${from}` : undefined;
    }),
    good: [
      {
        title: "more replicas",
        before: [longhorn({ persistence: { defaultClassReplicaCount: 2 } })],
        after: [longhorn({ persistence: { defaultClassReplicaCount: 3 } })],
      },
    ],
    bad: [
      {
        title: "fewer",
        before: [longhorn({ persistence: { defaultClassReplicaCount: 3 } })],
        after: [longhorn({ persistence: { defaultClassReplicaCount: 2 } })],
      },
    ],
  },
  {
    name: "backups-fewer",
    reason: "older backups and snapshots are deleted, or no new ones are made",
    find: each(/RecurringJob$|Release$/, (subject) => {
      const { before, after, type } = subject;
      if (type.endsWith("Release")) {
        const path = "values.defaultBackupStore.backupTarget";
        const [from, to] = [at(before, path), after && at(after, path)];
        if (typeof from !== "string" || from === "" || after === undefined || from === to) return undefined;
        return to === "" || to === undefined ? "the backup target is taken away" : "backups go to another target";
      }
      if (goes(subject)) return `the recurring job ${String(at(before, "metadata.name"))} goes`;
      const [from, to] = [before, after].map((inputs) => at(inputs, "spec.retain"));
      return typeof from === "number" && typeof to === "number" && to < from ? `keeps ${to}, not ${from}` : undefined;
    }),
    good: [{ title: "more are kept", before: [job(7)], after: [job(14)] }],
    bad: [
      { title: "fewer are kept", before: [job(14)], after: [job(7)] },
      { title: "the job goes", before: [job(14)], after: [] },
      {
        title: "no target",
        before: [longhorn({ defaultBackupStore: { backupTarget: "nfs://a:/b" } })],
        after: [longhorn({ defaultBackupStore: { backupTarget: "" } })],
      },
    ],
  },
  {
    name: "volume-finalize",
    reason: "the old volume is let go of: there is no way back to it",
    find: comesTo("finalize"),
    good: [{ title: "another stage", before: [staged("copy")], after: [staged("cutover")] }],
    bad: [{ title: "finalize", before: [staged("cutover")], after: [staged("finalize")] }],
  },
  {
    name: "volume-cutover",
    reason: "the workload is stopped until the last pass is copied and verified",
    find: comesTo("cutover"),
    good: [{ title: "a copy", before: [], after: [staged("copy")] }],
    bad: [
      { title: "cutover", before: [staged("copy")], after: [staged("cutover")] },
      { title: "a new volume that starts with it", before: [], after: [staged("cutover")] },
    ],
  },
];
