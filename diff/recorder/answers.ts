import { isSecret, reveal, secret, type Answer, type Properties, type Registration } from "../../rehearsal/record";
import { verbOf } from "../../rehearsal/verb";
import { digest, entries, operationResult, record, uuid } from "./results";

/** What the engine would know of a resource, and what an invoke would answer, in a home that is up: stand-ins, as for operations (results.ts). */

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
