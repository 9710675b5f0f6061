import { dispatch } from "../operations/dispatch";
import { injected, matchesFault } from "./fault";
import { pretendClients } from "./home/clients";
import { VirtualClock } from "./home/clock";
import type { HomeState } from "./home/state";
import { verbOf } from "./verb";
import { reveal, type Registration } from "./record";
import type { DestroyRun, LayerRun } from "./story";

/**
 * Destroys a layer as the engine does: everything whose dependents are gone, at the same time; a failure leaves what it depends on standing. Deletes run the
 * same operations as in production, with the request that `up` recorded.
 */
export async function destroyLayer(run: LayerRun, home: HomeState, fail: string | undefined): Promise<DestroyRun> {
  const clock = new VirtualClock(home.now);
  const clients = pretendClients(home, clock);
  const registrations = run.steps.map((step) => step.registration).filter((registration) => registration.custom);
  const standing = new Map(registrations.map((registration) => [registration.urn, registration]));
  const deleted: string[] = [];
  const failed: [string, string][] = [];

  const remove = async (urn: string): Promise<void> => {
    const registration = standing.get(urn);
    if (!registration) return;
    const verb = registration.options.retainOnDelete ? undefined : verbOf(registration.inputs.delete);
    try {
      if (
        matchesFault(fail, [
          `delete:${registration.name}`,
          ...(verb === undefined ? [] : [`${verb}:${registration.name}`]),
        ])
      ) {
        throw injected(fail ?? "", registration.name);
      }
      if (verb !== undefined) await dispatch(verb, String(reveal(registration.inputs.stdin)), () => clients);
      standing.delete(urn);
      deleted.push(urn);
    } catch (error) {
      failed.push([urn, error instanceof Error ? error.message : String(error)]);
    }
  };

  for (;;) {
    const failedUrns = new Set(failed.map(([urn]) => urn));
    const waitedFor = new Set([...standing.values()].flatMap(needs));
    const ready = [...standing.keys()].filter((urn) => !waitedFor.has(urn) && !failedUrns.has(urn));
    if (ready.length === 0) break;
    await Promise.all(ready.map(remove));
  }
  await clock.idle();
  home.now = clock.now();
  const failedUrns = new Set(failed.map(([urn]) => urn));
  return {
    stack: run.stack,
    deleted,
    failed,
    notDeleted: [...standing.keys()].filter((urn) => !failedUrns.has(urn)),
    home,
  };
}

/** What must not go before this resource: what it depends on, and the provider that deletes it. */
function needs(registration: Registration): readonly string[] {
  return [...registration.dependencies, registration.provider.split("::").slice(0, 4).join("::")];
}
