import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { V1CustomResourceDefinition, V1JSONSchemaProps } from "@kubernetes/client-node";
import { list } from "tar";
import { parse, parseAllDocuments } from "yaml";

/** As the API has it; the library's type calls `enum` otherwise. */
type Schema = V1JSONSchemaProps & { enum?: unknown[] };

const group = "longhorn.io";
const version = "v1beta2";

/** What is said of these kinds wherever they are counted. */
export const longhornNote = "Longhorn's kinds: our own schemas of the fields used";

/** The file's notation, taken apart. */
type Notation = string | readonly [Notation] | { readonly [key: string]: Notation };

/** Longhorn's kinds as far as this program uses them, for a real API server: a field that we do not name is one that it refuses. */
export function longhornDefinitions(): V1CustomResourceDefinition[] {
  const kinds = parse(readFileSync(join(__dirname, "longhorn-kinds.yaml"), "utf8")) as Record<string, Notation>;
  return Object.entries(kinds).map(([kind, fields]) => {
    const singular = kind.toLowerCase();
    return {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${singular}s.${group}` },
      spec: {
        group,
        scope: "Namespaced",
        names: { kind, listKind: `${kind}List`, singular, plural: `${singular}s` },
        versions: [
          {
            name: version,
            served: true,
            storage: true,
            subresources: { status: {} },
            schema: { openAPIV3Schema: schemaOf(fields) },
          },
        ],
      },
    };
  });
}

function schemaOf(notation: Notation): Schema {
  if (typeof notation === "string") {
    const words = notation.split("|").map((word) => word.trim());
    return words.length > 1 ? { type: "string", enum: words } : { type: notation };
  }
  if (Array.isArray(notation)) return { type: "array", items: schemaOf((notation as readonly [Notation])[0]) };
  const fields = Object.entries(notation as Record<string, Notation>);
  const [first] = fields;
  if (first?.[0] === "*") return { type: "object", additionalProperties: schemaOf(first[1]) };
  const required = fields.flatMap(([name]) => (name.endsWith("!") ? [name.slice(0, -1)] : []));
  return {
    type: "object",
    properties: Object.fromEntries(fields.map(([name, field]) => [name.replace(/!$/, ""), schemaOf(field)])),
    ...(required.length > 0 && { required }),
  };
}

/** In what our schemas say something else than the CRDs of a chart (a folder or an archive); empty when a server with those CRDs takes what ours take. */
export function differencesFrom(chart: string): string[] {
  const theirs = definitionsOf(chart);
  return longhornDefinitions().flatMap(({ metadata, spec }) => {
    const name = metadata?.name ?? "";
    const other = theirs.find((definition) => definition.metadata?.name === name);
    if (!other) return [`${name}: the chart has no such kind`];
    const served = other.spec.versions.find((candidate) => candidate.name === version);
    if (!served?.served || served.deprecated) return [`${name}: the chart does not serve ${version}, or as deprecated`];
    const own = spec.versions[0];
    return [
      ...(other.spec.scope === spec.scope ? [] : [`${name}: its scope is ${other.spec.scope}`]),
      ...(other.spec.names.kind === spec.names.kind ? [] : [`${name}: its kind is ${other.spec.names.kind}`]),
      ...((served.subresources?.status === undefined) === (own?.subresources?.status === undefined)
        ? []
        : [`${name}: only one of both has a status of its own`]),
      ...schemaDifferences(name, own?.schema?.openAPIV3Schema, served.schema?.openAPIV3Schema),
    ];
  });
}

function schemaDifferences(path: string, own: Schema | undefined, theirs: Schema | undefined): string[] {
  if (!own) return [];
  if (!theirs) return [`${path}: the chart has no such field`];
  if (own.type !== theirs.type) return [`${path}: ${own.type}, and in the chart ${theirs.type}`];
  const missing = theirs.enum ? (own.enum ?? ["(any word)"]).filter((word) => !theirs.enum?.includes(word)) : [];
  const required = (theirs.required ?? []).filter((field) => own.properties?.[field] && !own.required?.includes(field));
  return [
    ...missing.map((word) => `${path}: ${String(word)}, which the chart does not take`),
    ...required.map((field) => `${path}.${field}: must be there by the chart`),
    ...Object.entries(own.properties ?? {}).flatMap(([field, schema]) =>
      schemaDifferences(`${path}.${field}`, schema, theirs.properties?.[field]),
    ),
    ...schemaDifferences(`${path}[]`, own.items as Schema | undefined, theirs.items as Schema | undefined),
    ...schemaDifferences(
      `${path}.*`,
      own.additionalProperties as Schema | undefined,
      theirs.additionalProperties as Schema | undefined,
    ),
  ];
}

/** Without its lines of template, which are the labels alone. */
function definitionsOf(chart: string): V1CustomResourceDefinition[] {
  const text = crdFile(chart)
    .split("\n")
    .filter((line) => !line.includes("{{"))
    .join("\n");
  return parseAllDocuments(text).flatMap((document) => {
    const found = document.toJS() as V1CustomResourceDefinition | null;
    return found?.kind === "CustomResourceDefinition" ? [found] : [];
  });
}

const file = "templates/crds.yaml";

function crdFile(chart: string): string {
  if (statSync(chart).isDirectory()) return readFileSync(join(chart, file), "utf8");
  const parts: Buffer[] = [];
  list({
    file: chart,
    sync: true,
    strict: true,
    filter: (path) => path.split("/").slice(1).join("/") === file,
    onReadEntry: (entry) => void entry.on("data", (part) => parts.push(part)),
  });
  return Buffer.concat(parts).toString("utf8");
}
