import { text } from "node:stream/consumers";
import type { Environment, SecretKey } from "../environment/schema";
import type { Access } from "../operations/access";
import { connect } from "../operations/connect";
import { dispatch, type Connect } from "../operations/dispatch";
import type { System } from "../operations/operation";
import { operations } from "../operations/verbs";
import { readSecrets, type PlainSecrets } from "./secrets";
import { findEnvironment } from "./subject";
import { checkout, type Surroundings } from "./validate";

const usage = `usage: npm run operation -- <environment> <verb> < input.json
  Runs one of the program's operations by hand, with the access of the environment: docs/operations.md.
  Verbs: ${Object.keys(operations).join(", ")}`;

/** What each system's access needs of the secrets. */
const secretOf: Readonly<Record<System, SecretKey>> = {
  proxmox: "proxmoxToken",
  rancher: "rancherToken",
  kubernetes: "kubeconfig",
  ssh: "sshPrivateKey",
};

/** What a test puts in place of the terminal and the live systems. */
export interface OperationParts {
  readonly input: () => Promise<string>;
  readonly secrets: typeof readSecrets;
  readonly connect: Connect;
}

const live: OperationParts = { input: () => text(process.stdin), secrets: readSecrets, connect };

/** `npm run operation`: the request is put together in memory and goes through the same door as `operations/run`. */
export async function main(
  args: readonly string[],
  where: Surroundings = checkout(),
  parts: OperationParts = live,
): Promise<number> {
  const [subject, verb, ...rest] = args;
  const load = verb !== undefined && Object.hasOwn(operations, verb) ? operations[verb] : undefined;
  if (subject === undefined || !load || rest.length > 0) {
    where.error(usage);
    return 2;
  }
  const { name, environment } = findEnvironment(subject, where);
  const operation = await load();
  const secrets = parts.secrets(
    name,
    operation.needs.map((system) => secretOf[system]),
  );
  const input: unknown = JSON.parse((await parts.input()) || "{}");
  const request = JSON.stringify({ version: 1, access: access(environment, secrets, operation.needs), input });
  where.out(await dispatch(operation.verb, request, parts.connect));
  return 0;
}

/** The ways into the named systems, as the stacks hand them on (stacks/providers.ts), with secrets in clear. */
export function access(file: Environment, secrets: PlainSecrets, systems: readonly System[]): Access {
  const { rancher, name, distribution } = file.cluster;
  const { endpoint, caCertificate } = file.proxmox;
  return {
    ...(systems.includes("proxmox") && { proxmox: { endpoint, caCertificate, token: secrets.proxmoxToken ?? "" } }),
    ...(systems.includes("rancher") && {
      rancher: {
        url: rancher.url,
        clusterId: rancher.clusterId,
        caCertificate: rancher.caCertificate,
        clusterName: name,
        distribution,
        token: secrets.rancherToken ?? "",
      },
    }),
    ...(systems.includes("kubernetes") && { kubernetes: { kubeconfig: secrets.kubeconfig ?? "" } }),
    ...(systems.includes("ssh") && { ssh: { privateKey: secrets.sshPrivateKey ?? "" } }),
  };
}
