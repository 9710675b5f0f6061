import { createHash } from "node:crypto";
import { isSecret, reveal, secret, type Answer, type Properties, type Registration } from "../../rehearsal/record";
import { verbOf } from "../../rehearsal/verb";

/**
 * What a home that is up would answer: stand-ins, the same for the same resource on every side, so that nothing differs which the change under review did not
 * change. The operations themselves do not run here; that they would let the change pass is what the rehearsal and a live preview tell.
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

/** An invoke's answer: an operation that is asked at every preview. */
export function answerInvoke(token: string, args: Properties): Properties {
  const verb = verbOf(args.command);
  if (token !== "command:local:run" || verb === undefined) throw new Error(`${token}: no stand-in for this invoke`);
  return { ...args, stdout: operationResult(verb, String(reveal(args.stdin))), stderr: "" };
}

/** A resource's id and outputs once it is there. */
export function answerOnceThere(registration: Registration): Required<Answer> {
  const { type, name, urn, inputs } = registration;
  const plain = record(reveal(inputs));
  const [, , kind] = type.split(":");
  if (type === "command:local:Command") {
    const stdout = operationResult(verbOf(plain.create) ?? "", String(plain.stdin));
    return {
      id: digest(urn).toString("hex").slice(0, 12),
      outputs: { ...inputs, stdout: isSecret(inputs.stdin) ? secret(stdout) : stdout, stderr: "" },
    };
  }
  if (type.startsWith("kubernetes:")) return kubernetesObject(registration, plain);
  if (type.startsWith("random:")) {
    const result = digest(urn)
      .toString("hex")
      .slice(0, Number(plain.length ?? 16));
    return { id: "none", outputs: { ...inputs, result: kind === "RandomPassword" ? secret(result) : result } };
  }
  if (kind === "VmLegacy") {
    const cards = entries(plain.networkDevices).map(({ macAddress }) => macAddress);
    return { id: String(plain.vmId), outputs: { ...inputs, macAddresses: cards, ipv4Addresses: [] } };
  }
  if (kind === "File") {
    return { id: `${String(plain.datastoreId)}:import/${String(plain.fileName)}`, outputs: inputs };
  }
  return { id: type.startsWith("pulumi:providers:") ? uuid(urn) : `${name}-id`, outputs: inputs };
}

function kubernetesObject({ type, name, urn, inputs }: Registration, plain: Properties): Required<Answer> {
  const { name: given, namespace } = type.includes(":helm.sh/") ? plain : record(plain.metadata);
  const id = [namespace, given ?? name]
    .filter((part) => part !== undefined)
    .map(String)
    .join("/");
  if (type.includes(":helm.sh/")) {
    const status = { name: given, namespace, revision: 1, status: "deployed", version: plain.version };
    return { id, outputs: { ...inputs, status } };
  }
  const metadata = {
    ...record(inputs.metadata),
    name: given ?? name,
    // As a default of the API; a namespaced object says its own.
    uid: uuid(urn, id),
    resourceVersion: "1",
    generation: 1,
    creationTimestamp: "2026-01-01T00:00:00Z",
  };
  return { id, outputs: { ...inputs, metadata } };
}

function digest(...parts: readonly unknown[]): Buffer {
  return createHash("sha256").update(JSON.stringify(parts)).digest();
}

function uuid(...parts: readonly unknown[]): string {
  const hex = digest(...parts).toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join(
    "-",
  );
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function entries(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.map(record) : [];
}
