import { parseArgs } from "node:util";
import { retirements } from "../components/rancheros/retirement";
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
  Exit 0: nothing stands against it; 1: something does, or it could not be looked at; 2: wrong usage.`;

/** What a test puts in place of the live systems. */
export interface RetireParts {
  readonly secrets: typeof readSecrets;
  readonly connect: Connect;
}

const live: RetireParts = { secrets: readSecrets, connect };

/** `npm run retire`: the preflight of the retirement alone. */
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
  const { name, environment } = findEnvironment(subject, where);
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

/** The environment, when it is asked for in the one way there is. */
function read(args: readonly string[]): string | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { check: { type: "boolean", default: false } },
      allowPositionals: true,
    });
    return values.check && positionals.length === 1 ? positionals[0] : undefined;
  } catch {
    return undefined;
  }
}
