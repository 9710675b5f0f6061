import { gt, lt, minor, major, valid, coerce } from "semver";
import type { RecordedResource } from "../format";
import { at, each, plain, verbIn, type Finding, type Rule, type Sketch, type Scene } from "./rule";

const release = (version: string, name = "longhorn"): Sketch => ({
  type: "kubernetes:helm.sh/v3:Release",
  name,
  inputs: { name, namespace: "n", chart: name, version },
});
const operation = (verb: string, name: string, waitsFor: readonly string[] = []): Sketch => ({
  type: "command:local:Command",
  name,
  inputs: { create: `operations/run ${verb}`, stdin: JSON.stringify({ input: {} }) },
  waitsFor,
});
const claim = (waitsFor: readonly string[], protect = false): Sketch => ({
  type: "kubernetes:core/v1:PersistentVolumeClaim",
  name: "claim",
  inputs: { metadata: { name: "claim" } },
  options: { protect, retainOnDelete: true },
  waitsFor,
});

/** Charts of which each minor version has to be gone through. */
const oneMinorAtATime = ["longhorn"];

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function versionsOf({
  before,
  after,
}: {
  before: object | undefined;
  after: object | undefined;
}): readonly [string, string] | undefined {
  const [from, to] = [before, after].map((inputs) => text(at({ ...inputs }, "version")));
  const read = (text: string | undefined): string | null => valid(text ?? "") ?? valid(coerce(text ?? ""));
  const [one, other] = [read(from), read(to)];
  return one === null || other === null ? undefined : [one, other];
}

/** What a resource is waited for, whatever it is called: an operation by its verb, a Job by its part, others by type. */
function gateKind(resource: RecordedResource): string | undefined {
  const inputs = plain(resource);
  const verb = verbIn(inputs);
  if (verb !== undefined) return verb;
  if (resource.type === "kubernetes:batch/v1:Job")
    return `the Job ${text(at(inputs, 'metadata.labels["app.kubernetes.io/component"]')) || resource.name}`;
  if (resource.type === "kubernetes:helm.sh/v3:Release") return `the release ${String(at(inputs, "name"))}`;
  return resource.type === "kubernetes:core/v1:PersistentVolumeClaim" ? "the claim" : undefined;
}

/** By URN: every gate that has to be open before it, through whatever stands between. */
function gatesBefore(resources: readonly RecordedResource[]): ReadonlyMap<string, ReadonlySet<string>> {
  const byUrn = new Map(resources.map((resource) => [resource.urn, resource]));
  const known = new Map<string, Set<string>>();
  const visit = (urn: string): ReadonlySet<string> => {
    const found = known.get(urn);
    if (found) return found;
    const gates = new Set<string>();
    known.set(urn, gates);
    for (const dependency of byUrn.get(urn)?.dependencies ?? []) {
      const resource = byUrn.get(dependency);
      const kind = resource && gateKind(resource);
      if (kind !== undefined) gates.add(kind);
      for (const further of visit(dependency)) gates.add(further);
    }
    return gates;
  };
  for (const { urn } of resources) visit(urn);
  return known;
}

function gatesRemoved({ before, after }: Scene): readonly Finding[] {
  const [then, now] = [gatesBefore(before), gatesBefore(after)];
  const named = new Map(after.map((resource) => [resource.urn, resource]));
  const lostBy = (urn: string): ReadonlySet<string> =>
    new Set([...(then.get(urn) ?? [])].filter((gate) => now.get(urn)?.has(gate) === false));
  // Where it was lost, and not at everything behind that.
  return [...now.keys()].flatMap((urn) => {
    const resource = named.get(urn);
    if (!resource?.custom) return [];
    const lost = [...lostBy(urn)].filter((gate) => !resource.dependencies.some((other) => lostBy(other).has(gate)));
    return lost.length > 0 ? [{ resource: resource.name, says: `no longer waits for ${lost.sort().join(", ")}` }] : [];
  });
}

/** Versions, order and the engine's own guards. */
export const stepRules: readonly Rule[] = [
  {
    name: "version-skipped",
    reason: "Longhorn is upgraded one minor version at a time: a data migration of the one between would be missed",
    find: each(/Release$/, (subject) => {
      const versions = versionsOf(subject);
      if (!versions || !oneMinorAtATime.includes(String(at(subject.after, "name")))) return undefined;
      const [from, to] = versions;
      const skips = major(to) > major(from) || minor(to) > minor(from) + 1;
      return skips && gt(to, from) ? `from ${from} to ${to}` : undefined;
    }),
    good: [
      { title: "the next minor", before: [release("1.11.2")], after: [release("1.12.1")] },
      { title: "another chart", before: [release("0.14.0", "metallb")], after: [release("0.16.1", "metallb")] },
    ],
    bad: [{ title: "two at once", before: [release("1.10.0")], after: [release("1.12.1")] }],
  },
  {
    name: "version-downgraded",
    reason: "what the newer version wrote the older one may not read; Longhorn refuses",
    find: each(/Release$|^pulumi:providers:/, (subject) => {
      const versions = versionsOf(subject);
      return versions && lt(versions[1], versions[0]) ? `from ${versions[0]} back to ${versions[1]}` : undefined;
    }),
    good: [{ title: "newer", before: [release("1.12.0")], after: [release("1.12.1")] }],
    bad: [{ title: "older", before: [release("1.12.1")], after: [release("1.12.0")] }],
  },
  {
    name: "gate-removed",
    reason: "something happens without what had to be proved before it",
    find: gatesRemoved,
    good: [
      {
        title: "the gate under another name, and through another one",
        before: [operation("storage-ready", "ready"), claim(["ready"])],
        after: [
          operation("storage-ready", "ready-2"),
          operation("prepare-volume", "prepare", ["ready-2"]),
          claim(["prepare"]),
        ],
      },
    ],
    bad: [
      {
        title: "no longer waited for",
        before: [operation("storage-ready", "ready"), claim(["ready"])],
        after: [operation("storage-ready", "ready"), claim([])],
      },
      {
        title: "the gate is gone",
        before: [operation("storage-ready", "ready"), claim(["ready"])],
        after: [claim([])],
      },
      {
        title: "further up the way",
        before: [
          operation("storage-ready", "ready"),
          operation("prepare-volume", "prepare", ["ready"]),
          claim(["prepare"]),
        ],
        after: [operation("storage-ready", "ready"), operation("prepare-volume", "prepare"), claim(["prepare"])],
      },
    ],
  },
  {
    name: "protect-removed",
    reason: "from the next update on the engine may replace or delete it",
    find: each(/./, ({ optionsBefore, optionsAfter }) =>
      optionsBefore?.protect === true && optionsAfter?.protect === false ? "is no longer protected" : undefined,
    ),
    good: [{ title: "protected from now on", before: [claim([])], after: [claim([], true)] }],
    bad: [{ title: "protection taken off", before: [claim([], true)], after: [claim([])] }],
  },
  {
    name: "refused-by-protection",
    reason:
      "the update of the whole stack stops with an error; to go on, the protection is taken off in a change of its own",
    find: each(/./, ({ refused }) => refused),
    good: [{ title: "nothing happens to it", before: [claim([], true)], after: [claim([], true)] }],
    bad: [{ title: "taken out while protected", before: [claim([], true)], after: [] }],
  },
  {
    name: "environment-gone",
    reason: "nothing of it is reviewed or updated any more, while all of it is still there",
    find: ({ state }) =>
      state === "gone" ? [{ resource: "", says: "the environment is gone, and this stack with it" }] : [],
    good: [{ title: "it stays", before: [release("1.12.1")], after: [release("1.12.1")] }],
    // Of whole stacks; test/unit/diff/danger.test.ts has it apart.
    bad: [],
  },
];
