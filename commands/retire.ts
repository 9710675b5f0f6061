import { parseArgs } from "node:util";
import { retirements } from "../components/rancheros/retirement";
import type { Environment } from "../environment/schema";
import { connect } from "../operations/connect";
import { dispatch, type Connect } from "../operations/dispatch";
import { Refusal } from "../operations/refusal";
import { access } from "./operation";
import { readSecrets } from "./secrets";
import { findEnvironment } from "./subject";
import { checkout, type Surroundings } from "./validate";

const usage = `usage: npm run retire -- <environment> --check
  Looks at everything that stands against retiring the old nodes, by the file as it is now, and changes nothing: the report that
  \`pulumi destroy\` of the layer rancheros would give before it touches the first of them.
npm run retire -- <environment> --purge
  Deletes the machines of nodes that are \`retired\` in the file and that \`retirement.machines: keep\` has kept, each after the same identity check.
  Exit 0: nothing stands against it, or they are gone; 1: something does, or it could not be looked at; 2: wrong usage.`;

/** What a test puts in place of the live systems. */
export interface RetireParts {
  readonly secrets: typeof readSecrets;
  readonly connect: Connect;
}

const live: RetireParts = { secrets: readSecrets, connect };

/** `npm run retire`: the preflight of the retirement alone, or the end of the machines that it kept. */
export async function main(
  args: readonly string[],
  where: Surroundings = checkout(),
  parts: RetireParts = live,
): Promise<number> {
  const subject = read(args);
  if (subject === undefined) {
    where.error(usage);
    return 2;
  }
  const { name, environment } = findEnvironment(subject.name, where);
  if (subject.purge) return purge(name, environment, where, parts);
  const stack = `${name}-rancheros`;
  const nodes = retirements(environment, stack);
  if (nodes.length === 0) {
    where.out(`${name}: every old node of the file is retired`);
    return 0;
  }
  const secrets = parts.secrets(name, ["proxmoxToken", "rancherToken", "kubeconfig"]);
  const request = JSON.stringify({
    version: 1,
    access: access(environment, secrets, ["proxmox", "rancher", "kubernetes"]),
    input: { stack, nodes },
  });
  try {
    await dispatch("check-retirement", request, parts.connect);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    where.error(error.message);
    return 1;
  }
  where.out(
    `${name}: nothing stands against retiring ${nodes.map(({ node }) => node).join(", ")}; ` +
      `\`pulumi up -s ${stack}\` records what was looked at, \`pulumi destroy -s ${stack}\` retires them`,
  );
  return 0;
}

/** Deletes what was kept, one after the other; the first that is refused ends it. */
async function purge(name: string, environment: Environment, where: Surroundings, parts: RetireParts): Promise<number> {
  const kept = environment.oldNodes.filter(({ retired }) => retired);
  if (kept.length === 0) {
    where.out(`${name}: no old node of the file is \`retired\`, so none is purged`);
    return 0;
  }
  const ways = access(environment, parts.secrets(name, ["proxmoxToken", "kubeconfig"]), ["proxmox", "kubernetes"]);
  const command = `npm run retire -- ${name} --purge`;
  for (const { name: node, address, host, vmId, mac } of kept) {
    const input = { node, address, vm: { host, vmId, mac }, command };
    try {
      await dispatch("purge-old-node", JSON.stringify({ version: 1, access: ways, input }), parts.connect);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      where.error(error.message);
      return 1;
    }
    where.out(`${name}: machine ${vmId} of ${node} is gone`);
  }
  return 0;
}

/** What is asked for, when it is asked for in one of the two ways there are. */
function read(args: readonly string[]): { readonly name: string; readonly purge: boolean } | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { check: { type: "boolean", default: false }, purge: { type: "boolean", default: false } },
      allowPositionals: true,
    });
    const [name] = positionals;
    if (name === undefined || positionals.length > 1 || values.check === values.purge) return undefined;
    return { name, purge: values.purge };
  } catch {
    return undefined;
  }
}
