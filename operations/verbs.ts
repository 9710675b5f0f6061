import type { Operation } from "./operation";

/** Operations by verb, each loaded when it is called. */
export type Operations = Readonly<Record<string, () => Promise<Operation>>>;

/**
 * Every operation there is. Verbs stand in states that exist: renaming one breaks their deletes. Loaded one at a time, because an `up` of thirty nodes runs
 * two hundred of them, and the files of all others were half of the time that each of them took to start.
 */
export const operations: Operations = {
  keep: async () => (await import("./keep.ts")).keep,

  "check-hosts": async () => (await import("./nodes/check-hosts.ts")).checkHosts,
  "check-vm-ids": async () => (await import("./nodes/check-vm-ids.ts")).checkVmIds,
  "identify-machine": async () => (await import("./nodes/identify-machine.ts")).identifyMachine,
  "start-machine": async () => (await import("./nodes/start-machine.ts")).startMachine,
  "check-machine": async () => (await import("./nodes/check-machine.ts")).checkMachine,
  provision: async () => (await import("./nodes/provision.ts")).provision,
  join: async () => (await import("./nodes/join.ts")).join,
  "refresh-membership": async () => (await import("./nodes/refresh-membership.ts")).refreshMembership,
  "check-pending": async () => (await import("./nodes/pending.ts")).checkPending,
  "restart-node": async () => (await import("./nodes/restart.ts")).restartNode,

  "check-longhorn-release": async () => (await import("./storage/check-longhorn-release.ts")).checkLonghornRelease,
  "default-class": async () => (await import("./storage/default-class.ts")).defaultClass,
  "restore-default-class": async () => (await import("./storage/default-class.ts")).restoreDefaultClass,
  "storage-ready": async () => (await import("./storage/storage-ready.ts")).storageReady,
  "guard-longhorn": async () => (await import("./storage/leave-longhorn.ts")).guardLonghorn,
  "leave-longhorn": async () => (await import("./storage/leave-longhorn.ts")).leaveLonghorn,

  "webhook-ready": async () => (await import("./load-balancer/webhook-ready.ts")).webhookReady,
  "check-ingress-pods": async () => (await import("./load-balancer/check-ingress-pods.ts")).checkIngressPods,
  "check-ingress-chart": async () => (await import("./load-balancer/check-ingress-chart.ts")).checkIngressChart,
  "record-ingress-service": async () =>
    (await import("./load-balancer/record-ingress-service.ts")).recordIngressService,
  "restore-ingress-service": async () =>
    (await import("./load-balancer/record-ingress-service.ts")).restoreIngressService,
  "ingress-answers": async () => (await import("./load-balancer/ingress-answers.ts")).ingressAnswers,

  "read-ledgers": async () => (await import("./volumes/read-ledgers.ts")).readLedgers,
  "prepare-volume": async () => (await import("./volumes/prepare-volume.ts")).prepareVolume,
  "follow-copy": async () => (await import("./volumes/follow-copy.ts")).followCopy,
  "observe-consumers": async () => (await import("./volumes/observe-consumers.ts")).observeConsumers,
  "conclude-copy": async () => (await import("./volumes/conclude-copy.ts")).concludeCopy,

  "prepare-cutover": async () => (await import("./volumes/prepare-cutover.ts")).prepareCutover,
  "quiesce-volume": async () => (await import("./volumes/quiesce-volume.ts")).quiesceVolume,
  "conclude-cutover": async () => (await import("./volumes/conclude-cutover.ts")).concludeCutover,
  "switch-volume": async () => (await import("./volumes/switch-volume.ts")).switchVolume,
  "resume-volume": async () => (await import("./volumes/resume-volume.ts")).resumeVolume,
  "probe-volume": async () => (await import("./volumes/resume-volume.ts")).probeVolume,
  "plan-rollback": async () => (await import("./volumes/rollback-volume.ts")).planRollback,
  "rollback-volume": async () => (await import("./volumes/rollback-volume.ts")).rollbackVolume,
  "prepare-finalize": async () => (await import("./volumes/finalize-volume.ts")).prepareFinalize,
  "finalize-volume": async () => (await import("./volumes/finalize-volume.ts")).finalizeVolume,

  "cordon-without-longhorn": async () => (await import("./cluster/without-longhorn.ts")).cordonWithoutLonghorn,
  "uncordon-without-longhorn": async () => (await import("./cluster/without-longhorn.ts")).uncordonWithoutLonghorn,

  "record-old-node": async () => (await import("./rancheros/record-old-node.ts")).recordOldNode,
  "retire-old-node": async () => (await import("./rancheros/retire-old-node.ts")).retireOldNode,
  "purge-old-node": async () => (await import("./rancheros/purge-old-node.ts")).purgeOldNode,
  leave: async () => (await import("./rancheros/leave.ts")).leave,
  "guard-retirement": async () => (await import("./rancheros/check-retirement.ts")).guardRetirement,
  "check-retirement": async () => (await import("./rancheros/check-retirement.ts")).checkRetirement,
};
