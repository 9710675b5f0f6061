import { createHash } from "node:crypto";

/**
 * What operations answer in a home that is up: stand-ins, the same for the same resource on every side, so that nothing differs which the change under review did
 * not change. The operations themselves do not run here; that they would let the change pass is what the rehearsal and a live preview tell.
 */

type Input = Readonly<Record<string, unknown>>;

/**
 * Per operation, what its result is where that is more than a part of its input. test/unit/diff/answers.test.ts holds all of them against what the real
 * operations answer in the rehearsal.
 */
const results: Readonly<Record<string, (input: Input) => unknown>> = {
  "check-hosts": ({ hosts }) => ({
    hosts: Object.fromEntries(entries(hosts).map(({ name, ...datastores }) => [String(name), datastores])),
  }),
  "check-vm-ids": ({ nodes }) => ({
    vmIds: Object.fromEntries(entries(nodes).map(({ name, vmId }) => [String(name), vmId])),
  }),
  "check-pending": ({ nodes }) => ({
    pending: Object.fromEntries(entries(nodes).map(({ name }) => [String(name), []])),
  }),
  "identify-machine": (input) => ({ uuid: uuid(input.node, record(input.vm).vmId) }),
  "start-machine": (input) => ({ uuid: uuid(input.node, record(input.vm).vmId) }),
  provision: ({ node }) => ({ hostKey: `ssh-ed25519 ${digest("host key", node).toString("base64")}` }),
  "restart-node": ({ node }) => ({ node, restarted: false, waiting: [] }),
  "check-longhorn-release": ({ chart, path, version }) => ({ chart: path ?? chart, version }),
  "default-class": ({ storageClass, oldStorageClass }) => ({ storageClass, recorded: [oldStorageClass] }),
  "check-ingress-chart": ({ namespace, chart }) => ({ namespace, chart, typeInSpec: false }),
  "check-ingress-pods": ({ namespace, service, origin }) => ({
    namespace,
    service,
    uid: origin === "existing" ? uuid(namespace, service) : "",
  }),
  "record-ingress-service": ({ service }) => ({ service, original: { type: "NodePort", selector: {}, ports: [] } }),
  "read-ledgers": ({ volumes }) => ({
    volumes: entries(volumes).map(({ namespace, claim, newClaim }) => ({ namespace, claim, newClaim, phase: "none" })),
  }),
  "prepare-volume": ({ namespace, claim }) => ({ sourceUid: uuid(namespace, claim) }),
  "observe-consumers": () => ({ consumers: [] }),
  "conclude-copy": () => ({ phase: "warm", entries: 0, bytes: 0, differences: 0, first: [] }),
  "record-old-node": (input) => ({ name: input.node, vmId: record(input.vm).vmId, mac: record(input.vm).mac }),
  "guard-retirement": ({ nodes }) => ({ nodes: entries(nodes).map(({ node }) => node) }),
};

/** The result of an operation. Of one that is not named above, its input: most answer with a part of it. */
export function operationResult(verb: string, request: string): string {
  const { input } = JSON.parse(request) as { input: Input };
  return JSON.stringify(results[verb]?.(input) ?? input);
}

export function digest(...parts: readonly unknown[]): Buffer {
  return createHash("sha256").update(JSON.stringify(parts)).digest();
}

export function uuid(...parts: readonly unknown[]): string {
  const hex = digest(...parts).toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    "-",
  );
}

export function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

export function entries(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.map(record) : [];
}
