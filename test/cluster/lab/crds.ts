import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { V1CustomResourceDefinition } from "@kubernetes/client-node";
import { parseAllDocuments } from "yaml";
import { ApiRefusal, type Kind, type KubernetesApi, type StoredObject } from "../../../operations/clients";
import { goEnvironment, toolsFolder } from "./build";
import type { Minor } from "./control-plane";
import { longhornDefinitions } from "./longhorn-kinds";
import { until } from "./processes";

/** Where the CRDs of a Go module stand in it. */
interface Source {
  /** The folder of tools/ whose go.mod pins it. */
  readonly tool: "crds" | "metallb";
  readonly module: string;
  readonly folder: string;
  readonly files: RegExp;
}

const traefik = {
  folder: "docs/content/reference/dynamic-configuration",
  files: /^traefik\.io_middlewares\.yaml$/,
  tool: "crds",
} as const;

const common: readonly Source[] = [
  { tool: "metallb", module: "go.universe.tf/metallb", folder: "config/crd/bases", files: /\.yaml$/ },
  { tool: "crds", module: "github.com/cert-manager/cert-manager", folder: "deploy/crds", files: /issuers\.yaml$/ },
  {
    tool: "crds",
    module: "github.com/k3s-io/helm-controller",
    folder: "pkg/crds/yaml/generated",
    files: /helmchart(config)?s\.yaml$/,
  },
];

/** By release of Kubernetes, since what a distribution brings beside it follows it. */
const sources: Readonly<Record<Minor, readonly Source[]>> = {
  oldest: [...common, { ...traefik, module: "github.com/traefik/traefik/v2" }],
  newest: [...common, { ...traefik, module: "github.com/traefik/traefik/v3" }],
};

/** Brings the modules onto the machine, where they are not yet. Outside of the tier's namespace: they come from the network. */
export async function fetchCrds(): Promise<undefined> {
  for (const source of new Set(Object.values(sources).flat())) await moduleFolder(source);
}

/** The CRDs that a cluster of this release has once the program's charts and the distribution's are installed. Longhorn's are ours, see longhorn-kinds.ts. */
export async function definitions(minor: Minor): Promise<V1CustomResourceDefinition[]> {
  const found = await Promise.all(
    sources[minor].map(async (source) => {
      const folder = join(await moduleFolder(source), source.folder);
      const files = readdirSync(folder).filter((file) => source.files.test(file));
      if (files.length === 0) throw new Error(`${source.module} has no ${source.folder}/${source.files}`);
      return files.flatMap((file) => yamlObjects(readFileSync(join(folder, file), "utf8")));
    }),
  );
  const theirs = found.flat() as V1CustomResourceDefinition[];
  return [...(minor === "oldest" ? theirs.map(withoutLaterRules) : theirs), ...longhornDefinitions()];
}

/** Without rules over a value that need not have been there before, which no release before 1.29 reads. They are the HelmChart's, which is only read. */
function withoutLaterRules(crd: V1CustomResourceDefinition): V1CustomResourceDefinition {
  const later = (rule: unknown): boolean => typeof rule === "object" && rule !== null && "optionalOldSelf" in rule;
  const text = JSON.stringify(crd, (key, value: unknown) =>
    key === "x-kubernetes-validations" && Array.isArray(value) ? value.filter((rule) => !later(rule)) : value,
  );
  return JSON.parse(text) as V1CustomResourceDefinition;
}

/** A file of MetalLB's own module, of the release that the program installs. */
export async function metallbFile(path: string): Promise<string> {
  const [metallb] = common;
  if (!metallb) throw new Error("no source is MetalLB's");
  return readFileSync(join(await moduleFolder(metallb), path), "utf8");
}

const definitionKind: Kind<V1CustomResourceDefinition> = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
};

/** Installs them, as the operator; what is there already stays. Returns once all are served. */
export async function install(api: KubernetesApi, crds: readonly V1CustomResourceDefinition[]): Promise<void> {
  for (const crd of crds) await createOnce(api, crd);
  for (const { metadata } of crds) {
    const name = metadata?.name ?? "";
    await until(`CRD ${name} is served`, async () => {
      const conditions = (await api.read(definitionKind, name))?.status?.conditions ?? [];
      if (!conditions.some(({ type, status }) => type === "Established" && status === "True"))
        throw new Error(JSON.stringify(conditions));
    });
  }
}

/** As the operator; what is there already stays as it is. */
export async function createOnce(api: KubernetesApi, object: StoredObject): Promise<void> {
  try {
    await api.create(object);
  } catch (error) {
    if (!(error instanceof ApiRefusal) || error.reason !== "AlreadyExists") throw error;
  }
}

export function yamlObjects(text: string): unknown[] {
  return parseAllDocuments(text).flatMap((document): unknown[] => {
    const found = document.toJS() as unknown;
    return found === null ? [] : [found];
  });
}

/** The folder of the module at its pinned version. Go checks it against go.sum. */
async function moduleFolder({ tool, module }: Source): Promise<string> {
  const folder = join(toolsFolder, tool);
  const pin = new RegExp(`^(?:require )?\\s*${module.replaceAll(".", "\\.")} (v\\S+)`, "m");
  const version = pin.exec(readFileSync(join(folder, "go.mod"), "utf8"))?.[1];
  if (version === undefined) throw new Error(`tools/${tool}/go.mod does not require ${module}`);
  const [failure, said] = await new Promise<[boolean, string]>((resolve) =>
    execFile(
      "go",
      ["mod", "download", "-json", `${module}@${version}`],
      { cwd: folder, env: { ...process.env, ...goEnvironment } },
      (error, stdout, stderr) => resolve([error !== null, error ? stdout + stderr : stdout]),
    ),
  );
  if (failure) throw new Error(`${module}@${version} cannot be had: ${said.trim()}`);
  return (JSON.parse(said) as { Dir: string }).Dir;
}
