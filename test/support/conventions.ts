import { readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import * as ts from "typescript";
import { isSecret, isUnknown, type Properties, type Recording, type Registration } from "../../rehearsal/record";

/**
 * The rules of the code (design, rules 1-3) as functions that return what breaks them: those over recordings see what was really registered, those over
 * sources what no recording shows.
 */

const stackType = "pulumi:pulumi:Stack";

function isComponent({ type }: Registration): boolean {
  return type.startsWith("home-cluster:");
}

function isProvider({ type }: Registration): boolean {
  return type.startsWith("pulumi:providers:");
}

// ── Over recordings ──

/** Names that do not start with the name of their component. */
export function strayNames({ registrations }: Recording): string[] {
  const byUrn = new Map(registrations.map((registration) => [registration.urn, registration]));
  return registrations.flatMap(({ name, parent }) => {
    const owner = byUrn.get(parent);
    if (!owner || owner.type === stackType || name.startsWith(`${owner.name}-`)) return [];
    return [`${name}: not named after its component ${owner.name}`];
  });
}

/** Resources without one of the stack's own providers of their package. */
export function defaultProviders({ registrations }: Recording): string[] {
  const explicit = new Map(
    registrations.filter(isProvider).map(({ urn, type }) => [urn, type.slice("pulumi:providers:".length)] as const),
  );
  return registrations.flatMap(({ name, type, custom, provider, ...rest }) => {
    if (!custom || isProvider({ name, type, custom, provider, ...rest })) return [];
    const urn = provider.split("::").slice(0, 4).join("::");
    const serves = explicit.get(urn);
    if (serves === type.split(":")[0]) return [];
    return [`${name}: ${serves === undefined ? "has no provider of the stack" : `has a provider of ${serves}`}`];
  });
}

/** Secrets that stand anywhere outside a secret mark: in inputs (a component's own too), names, options or stack outputs. */
export function plainSecrets(recording: Recording, secrets: readonly string[]): string[] {
  const found = (value: unknown): boolean => {
    const text = JSON.stringify(withoutSecrets(value)) ?? "";
    // As it is, and as Kubernetes' Secrets and basic auth carry it.
    return secrets.some((secret) => text.includes(secret) || text.includes(Buffer.from(secret).toString("base64")));
  };
  return [
    ...recording.registrations.filter(found).map(({ name }) => `${name}: shows a secret`),
    ...Object.entries(recording.outputs).flatMap(([key, value]) =>
      found(value) ? [`output ${key}: shows a secret`] : [],
    ),
  ];
}

function withoutSecrets(value: unknown): unknown {
  if (isSecret(value)) return "[secret]";
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, withoutSecrets(child)]));
}

/** What a preview registers otherwise than the update. Where the preview does not know a value yet, the update may have any. */
export function previewDifferences(preview: Recording, update: Recording): string[] {
  const [before, after] = [preview, update].map(({ registrations }) => new Map(registrations.map((r) => [r.urn, r])));
  const problems: string[] = [];
  for (const [urn, { name }] of after ?? []) if (!before?.has(urn)) problems.push(`${name}: only in the update`);
  for (const [urn, planned] of before ?? []) {
    const done = after?.get(urn);
    if (!done) problems.push(`${planned.name}: only in the preview`);
    else {
      const differing = firstDifference(comparable(planned), comparable(done), "");
      if (differing !== undefined) problems.push(`${planned.name}: ${differing} differs between preview and update`);
    }
  }
  return problems;
}

/** The provider's id is known only in the update; the order of dependencies means nothing. */
function comparable({ provider, dependencies, ...rest }: Registration): Properties {
  return {
    ...rest,
    provider: provider.split("::").slice(0, 4).join("::"),
    dependencies: [...dependencies].sort(),
  };
}

function firstDifference(planned: unknown, done: unknown, path: string): string | undefined {
  if (isUnknown(planned)) return undefined;
  if (isSecret(planned)) {
    if (isUnknown(planned.value)) return undefined;
    return isSecret(done) ? firstDifference(planned.value, done.value, path) : `${path} (secret)`;
  }
  if (typeof planned !== "object" || planned === null || typeof done !== "object" || done === null) {
    return Object.is(planned, done) ? undefined : path;
  }
  const [one, other] = [planned as Properties, done as Properties];
  for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) {
    const inside = path === "" ? key : `${path}.${key}`;
    // An unknown that came to be undefined is left out of the update.
    if (!(key in other) && isUnknown(one[key])) continue;
    if (!(key in one) || !(key in other)) return inside;
    const differing = firstDifference(one[key], other[key], inside);
    if (differing !== undefined) return differing;
  }
  return undefined;
}

/** Components that were registered under a token that no file declares. */
export function undeclaredTokens({ registrations }: Recording, tokens: readonly string[]): string[] {
  return registrations
    .filter((registration) => isComponent(registration) && !tokens.includes(registration.type))
    .map(({ name, type }) => `${name}: no file of components/ declares ${type}`);
}

// ── Over sources ──

/** A file of the checkout, as the rules below read it. */
export interface Source {
  /** Relative to the checkout, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** All TypeScript files below the given folders or files. */
export function sourcePaths(root: string, places: readonly string[]): string[] {
  return places.flatMap((place) =>
    place.endsWith(".ts")
      ? [place]
      : readdirSync(join(root, place), { recursive: true, encoding: "utf8" })
          .filter((file) => file.endsWith(".ts"))
          .map((file) => `${place}/${file}`)
          .sort(),
  );
}

function parse({ path, text }: Source): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
}

function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

function nodesOf<T extends ts.Node>(root: ts.Node, is: (node: ts.Node) => node is T): T[] {
  const found: T[] = [];
  walk(root, (node) => is(node) && found.push(node));
  return found;
}

/** A class that extends ComponentResource, and how it registers itself. */
interface ComponentClass {
  readonly name: string;
  readonly node: ts.ClassDeclaration;
  readonly constructors: readonly ts.ConstructorDeclaration[];
  readonly superCall: ts.CallExpression | undefined;
}

function componentsOf(file: ts.SourceFile): ComponentClass[] {
  return nodesOf(file, ts.isClassDeclaration)
    .filter((node) =>
      node.heritageClauses?.some(({ types }) =>
        types.some(({ expression }) => /(^|\.)ComponentResource$/.test(expression.getText(file))),
      ),
    )
    .map((node) => {
      const constructors = node.members.filter(ts.isConstructorDeclaration).filter(({ body }) => body !== undefined);
      const calls = constructors.flatMap((constructor) => nodesOf(constructor, ts.isCallExpression));
      const superCall = calls.find(({ expression }) => expression.kind === ts.SyntaxKind.SuperKeyword);
      return { name: node.name?.text ?? "", node, constructors, superCall };
    });
}

/** The token that a file's component registers under; undefined for a file without one. */
export function tokenOf(source: Source): string | undefined {
  const token = componentsOf(parse(source))[0]?.superCall?.arguments[0];
  return token && ts.isStringLiteral(token) ? token.text : undefined;
}

/** What a file of components/ does against the rules about components. */
export function componentProblems(source: Source): string[] {
  const file = parse(source);
  const components = componentsOf(file);
  const problems: string[] = [];
  if (components.length > 1) problems.push(`declares ${components.length} components, one a file`);
  if (source.text.split("\n").length > 151) problems.push("is longer than 150 lines");
  for (const component of components) problems.push(...classProblems(component, file, source.path));
  return problems.map((problem) => `${source.path}: ${problem}`);
}

function classProblems(
  { name, node, constructors, superCall }: ComponentClass,
  file: ts.SourceFile,
  path: string,
): string[] {
  const problems: string[] = [];
  const text = (part: ts.Node | undefined): string => part?.getText(file) ?? "";

  const token = `home-cluster:${basename(dirname(path))}:${name}`;
  if (text(superCall?.arguments[0]) !== `"${token}"`) problems.push(`${name} is not registered as ${token}`);
  if (!basename(path, ".ts").replaceAll("-", "").endsWith(name.toLowerCase()))
    problems.push(`is not named after ${name}`);
  const [, ...passed] = superCall?.arguments.map(text) ?? [];
  if (passed.join() !== "name,args,opts") problems.push(`${name} calls super without name, args, opts in this order`);

  const [constructor] = constructors;
  const parameters = constructor?.parameters.map((parameter) => text(parameter)) ?? [];
  const form = [/^name: string$/, /^args: \w+$/, /^opts\?: (pulumi\.)?ComponentResourceOptions$/];
  if (parameters.length !== form.length || !form.every((part, index) => part.test(parameters[index] ?? ""))) {
    problems.push(`${name}'s constructor is not (name: string, args: …, opts?: pulumi.ComponentResourceOptions)`);
  }
  const last = constructor?.body?.statements.at(-1);
  if (!/^this\.registerOutputs\(\{/.test(text(last))) problems.push(`${name} does not call registerOutputs last`);
  const firstMethod = node.members.findIndex(ts.isMethodDeclaration);
  const own = node.members.findIndex(ts.isConstructorDeclaration);
  if (firstMethod >= 0 && firstMethod < own) problems.push(`${name} has a method before its constructor`);

  // Options may stand in a constant of the constructor, and be merged from several.
  const constants = nodesOf(node, ts.isVariableDeclaration);
  const isParent = (options: ts.Node | undefined): boolean =>
    options !== undefined &&
    (/\bparent: this\b/.test(text(options)) ||
      nodesOf(options, ts.isIdentifier).some(({ text: used }) =>
        constants.some(({ name: constant, initializer }) => text(constant) === used && isParent(initializer)),
      ));

  for (const call of [...nodesOf(node, ts.isNewExpression), ...nodesOf(node, ts.isCallExpression)]) {
    if (!registersResource(call, file)) continue;
    const [child, , options] = call.arguments ?? [];
    const what = text(child);
    if (!what.includes("`${name}-")) problems.push(`${name} names a child ${what}, not \`\${name}-…\``);
    if (!isParent(options)) problems.push(`${name} gives its child ${what} no { parent: this }`);
  }
  for (const property of nodesOf(node, ts.isPropertyAssignment)) {
    if (/^providers?$/.test(text(property.name))) problems.push(`${name} chooses a provider, which is inherited`);
  }
  return problems;
}

/** Classes that are made with `new` and are no resources. */
const plainClasses = /^(Map|Set|Date|URL|Buffer|RegExp|WeakMap|WeakSet|\w*Error|\w*Refusal|\w*Refused|NotYet)$/;

/** `new kubernetes.core.v1.Secret(…)` or `declare(…)`: recognised by form, since types would cost a compilation. */
function registersResource(call: ts.NewExpression | ts.CallExpression, file: ts.SourceFile): boolean {
  const callee = call.expression.getText(file);
  if (ts.isCallExpression(call)) return callee === "declare";
  return !plainClasses.test(callee.split(".").at(-1) ?? "");
}

/** Resources that are made inside a function given to `.apply`: a preview that does not know the value would not show them. */
export function resourcesInApply(source: Source): string[] {
  const file = parse(source);
  return nodesOf(file, ts.isCallExpression)
    .filter(({ expression }) => ts.isPropertyAccessExpression(expression) && expression.name.text === "apply")
    .flatMap(({ arguments: [callback] }) =>
      callback ? [...nodesOf(callback, ts.isNewExpression), ...nodesOf(callback, ts.isCallExpression)] : [],
    )
    .filter((call) => registersResource(call, file))
    .map((call) => `${source.path}: makes ${call.expression.getText(file)} inside .apply`);
}

/** Readings of Pulumi's configuration outside environment/. */
export function configReadings(source: Source): string[] {
  if (source.path.startsWith("environment/")) return [];
  const file = parse(source);
  return [
    ...nodesOf(file, ts.isNewExpression)
      .filter(({ expression }) => /(^|\.)Config$/.test(expression.getText(file)))
      .map((made) => `${source.path}: new ${made.expression.getText(file)}`),
    ...nodesOf(file, ts.isPropertyAccessExpression)
      .filter(({ name }) => name.text === "allConfig" || name.text === "getConfig")
      .map((read) => `${source.path}: ${read.getText(file)}`),
  ];
}

/** Where each part of the product may import from, itself included. */
const below: Readonly<Record<string, readonly string[]>> = {
  environment: ["environment"],
  "versions.ts": ["environment"],
  operations: ["operations", "environment", "versions.ts"],
  components: ["components", "operations", "environment", "versions.ts"],
  stacks: ["stacks", "components", "operations", "environment", "versions.ts"],
  "index.ts": ["stacks", "components", "operations", "environment", "versions.ts"],
};

/** The parts of the product, lowest first. */
export const product = Object.keys(below);

/** Imports, requires included, that go against index → stacks → components → operations → environment. */
export function upwardImports(source: Source): string[] {
  const file = parse(source);
  const part = source.path.split("/")[0] ?? "";
  const specifiers = [
    ...nodesOf(file, ts.isImportDeclaration).map(({ moduleSpecifier }) => moduleSpecifier),
    ...nodesOf(file, ts.isExportDeclaration).map(({ moduleSpecifier }) => moduleSpecifier),
    ...nodesOf(file, ts.isCallExpression)
      .filter(({ expression }) => /^(require|import)$/.test(expression.getText(file)))
      .map(({ arguments: [argument] }) => argument),
  ];
  return specifiers.flatMap((specifier) => {
    if (!specifier || !ts.isStringLiteralLike(specifier) || !specifier.text.startsWith(".")) return [];
    const [target = ""] = join(dirname(source.path), specifier.text).split("/");
    const allowed = below[part]?.some((place) => place === target || place === `${target}.ts`) ?? false;
    return allowed ? [] : [`${source.path}: imports ${specifier.text}`];
  });
}
