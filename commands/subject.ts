import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { checkFile } from "../environment/file";
import { environmentFile } from "../environment/links";
import { EnvironmentRefused } from "../environment/problem";
import type { Environment } from "../environment/schema";
import type { Surroundings } from "./validate";

/** What a command is about: an environment by name, or any file of that form. */
export interface Subject {
  /** What its stacks are called by. */
  readonly name: string;
  readonly path: string;
  readonly environment: Environment;
}

/** The environment that a name or a path stands for, checked. Throws EnvironmentRefused with every problem. */
export function findEnvironment(subject: string, where: Surroundings): Subject {
  const { name, path } = locate(subject, where);
  const { environment, problems } = checkFile(path);
  if (!environment) throw new EnvironmentRefused(path, problems);
  return { name, path, environment };
}

/** Anything that looks like a path is one. A file's environment is named after it: `Pulumi.home.yaml` is `home`. */
function locate(subject: string, where: Surroundings): { readonly name: string; readonly path: string } {
  if (!/[/\\]|\.ya?ml$/.test(subject)) return { name: subject, path: join(where.folder, environmentFile(subject)) };
  const path = where.from.map((folder) => resolve(folder, subject)).find((place) => existsSync(place)) ?? subject;
  const name = /^(?:Pulumi\.)?(.+?)\.ya?ml$/.exec(basename(path))?.[1] ?? "file";
  return { name: name.replace(/[^A-Za-z0-9_.-]/g, "-"), path };
}
