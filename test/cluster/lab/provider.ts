import { createHash } from "node:crypto";
import type { V1ManagedFieldsEntry } from "@kubernetes/client-node";
import type { StoredObject } from "../../../operations/clients";
import { reveal, type Registration } from "../../../rehearsal/record";
import type { ApiClient, Reply, Send } from "./api-client";

/** One write that was tried. */
export interface Write {
  /** `create games/ConfigMap/x (dry run)`. */
  readonly what: string;
  readonly status: number;
  /** Why not, in the server's words; undefined when it was accepted. */
  readonly refused: string | undefined;
  readonly warnings: readonly string[];
  readonly object: StoredObject;
}

/** The manager of a create that is no apply. */
const creator = "pulumi-kubernetes";

/** Whose fields an update takes over, by the beginning of their names (provider/pkg/await, fixCSAFieldManagers): the creator's, and a person's. */
const takenOver = /^(Update pulumi-(resource-)?kubernetes|Update before-first-apply|(Update|Apply) kubectl)/;

/**
 * What Pulumi's Kubernetes provider (4.34) sends for a resource, request by request, but for its waiting. A dry run goes before every write, as in a preview. One
 * thing is stricter: the server is asked to refuse unknown and duplicate fields, of which the provider would at most be warned.
 */
export class Provider {
  /** `upsert`: upsertExistingObjects, by which a create is an apply. */
  constructor(
    private readonly api: ApiClient,
    private readonly upsert: boolean,
  ) {}

  /** Creates it, or takes it over where the registration imports it; with the dry run before that. Stops at what is refused. */
  async create(registration: Registration): Promise<Write[]> {
    const planned = await this.attempt(registration, { dryRun: true });
    return planned.refused === undefined ? [planned, await this.attempt(registration)] : [planned];
  }

  /** One of the two requests of `create`: the update's, or the preview's dry run. */
  async attempt(registration: Registration, { dryRun = false } = {}): Promise<Write> {
    const object = objectOf(registration);
    const { all, one } = await this.api.paths(object);
    const verb = registration.options.importId !== "" ? "import" : "create";
    if (verb === "import" || this.upsert) {
      if (verb === "import") await this.api.send("GET", one);
      if (verb === "import" && !dryRun) await this.takeOver(registration, one);
      // A dry run of what is not known yet forces, so as not to fail over a replacement.
      return this.apply(verb, registration, object, one, dryRun, this.upsert && dryRun);
    }
    const send = { query: { fieldManager: creator, ...strict, ...(dryRun && dry) }, body: object };
    return this.write("POST", all, verb, object, send);
  }

  /** Applies it as an update does whose inputs have not changed, beginning with what comes before the first: see `takeOver`. */
  async update(registration: Registration, { dryRun = false } = {}): Promise<Write> {
    const object = objectOf(registration);
    const { one } = await this.api.paths(object);
    if (!dryRun) await this.takeOver(registration, one);
    return this.apply("apply", registration, object, one, dryRun, dryRun);
  }

  async read(registration: Registration): Promise<StoredObject | undefined> {
    const { one } = await this.api.paths(objectOf(registration));
    const { status, body } = await this.api.send("GET", one);
    return status === 200 ? (body as StoredObject) : undefined;
  }

  /** Not as the provider does it, which waits for what it owns: only to have it gone. */
  async remove(registration: Registration): Promise<void> {
    const { one } = await this.api.paths(objectOf(registration));
    const body = { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Background" };
    const { status, body: answer } = await this.api.send("DELETE", one, { body });
    if (status > 299 && status !== 404) throw new Error(`DELETE ${one}: ${messageOf(answer)}`);
  }

  private async apply(
    verb: string,
    registration: Registration,
    object: StoredObject,
    path: string,
    dryRun: boolean,
    forced: boolean,
  ): Promise<Write> {
    const force = forced || object.metadata?.annotations?.["pulumi.com/patchForce"] === "true";
    const query = { fieldManager: managerOf(registration), force: String(force), ...strict, ...(dryRun && dry) };
    const send = { query, body: object, contentType: "application/apply-patch+yaml" };
    return this.write("PATCH", path, verb, object, send);
  }

  /** What was created becomes what is applied: the fields of those writers are added to those of the manager of updates. */
  private async takeOver(registration: Registration, path: string): Promise<void> {
    const live = (await this.api.send("GET", path)).body as StoredObject;
    const fields = live.metadata?.managedFields ?? [];
    const manager = managerOf(registration);
    const theirs = fields.filter(
      (entry) => takenOver.test(`${entry.operation} ${entry.manager}`) && (entry.subresource ?? "") === "",
    );
    const [first] = theirs;
    if (!first) return;
    const isMine = (entry: V1ManagedFieldsEntry): boolean => entry.manager === manager && entry.operation === "Apply";
    const all = [...fields.filter(isMine), ...theirs];
    const fieldsV1 = all.map((entry): unknown => entry.fieldsV1).reduce(merged);
    const value = [
      ...fields.filter((entry) => !all.includes(entry)),
      { ...(fields.find(isMine) ?? first), manager, operation: "Apply", fieldsV1 },
    ];
    const { status, body } = await this.api.send("PATCH", path, {
      body: [{ op: "replace", path: "/metadata/managedFields", value }],
      contentType: "application/json-patch+json",
    });
    if (status > 299) throw new Error(`${path}: its managed fields were not taken over: ${messageOf(body)}`);
  }

  private async write(method: string, path: string, verb: string, object: StoredObject, send: Send): Promise<Write> {
    const { status, body, warnings }: Reply = await this.api.send(method, path, send);
    const dryRun = send.query?.dryRun === undefined ? "" : " (dry run)";
    return {
      what: `${verb} ${nameOf(object)}${dryRun}`,
      status,
      refused: status > 299 ? messageOf(body) : undefined,
      warnings,
      object: body as StoredObject,
    };
  }
}

/** Two sets of fields as one. */
function merged(one: unknown, other: unknown): object {
  const [all, more] = [(one ?? {}) as Record<string, object>, (other ?? {}) as Record<string, object>];
  const both = Object.entries(more).map(([key, field]) => [key, key in all ? merged(all[key], field) : field] as const);
  return { ...all, ...Object.fromEntries(both) };
}

const strict = { fieldValidation: "Strict" };
const dry = { dryRun: "All" };

/** The object as the provider sends it: the inputs as they are, `pulumi.com/…` annotations with them, secrets in clear. */
export function objectOf({ inputs }: Registration): StoredObject {
  return reveal(inputs) as StoredObject;
}

/** `games/ConfigMap/scripts`. */
export function nameOf({ kind, metadata }: StoredObject): string {
  const place = metadata?.namespace === undefined ? "" : `${metadata.namespace}/`;
  return `${place}${kind}/${metadata?.name}`;
}

/** `pulumi-kubernetes-` and eight characters that stay the same for a resource, as in its state. */
function managerOf({ urn }: Registration): string {
  return `${creator}-${createHash("sha256").update(urn).digest("hex").slice(0, 8)}`;
}

function messageOf(body: unknown): string {
  const { message } = body as { message?: unknown };
  return typeof message === "string" ? message : JSON.stringify(body);
}
