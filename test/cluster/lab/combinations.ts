import { layers, type Layer } from "../../../environment/stack";
import type { Environment, EnvironmentFile } from "../../../environment/schema";
import { buildHome } from "../../../rehearsal/home/build";
import type { HomeState } from "../../../rehearsal/home/state";
import { runLayer } from "../../../rehearsal/layer";
import type { Properties, Registration } from "../../../rehearsal/record";
import { environment, rawEnvironment } from "../../support/environment";
import { configFrom } from "../../support/program";
import { keepingWarnings } from "../../support/warnings";

type Name = "home" | "lab";
type Distribution = Environment["cluster"]["distribution"];
type Controller = Environment["ingress"]["controller"];
type Service = Pick<NonNullable<Environment["ingress"]["service"]>, "existing" | "selector">;

/** A committed environment, changed to a distribution, a controller and a Service of it. */
export interface Combination {
  readonly environment: Name;
  readonly distribution: Distribution;
  readonly controller: Controller;
  /** rke1 alone: whether the Service was there before, and what it selects by. */
  readonly service?: Service;
  /** With what the committed files leave out of the ingress and its pools: another pool, for any Service, and externalTrafficPolicy Cluster. Default false. */
  readonly otherwise?: boolean;
  /** Without a declared health check port: Kubernetes chooses one. Default false. */
  readonly anyHealthPort?: boolean;
}

const names: readonly Name[] = ["home", "lab"];
const distributions: readonly Distribution[] = ["rke1", "rke2", "k3s"];
const controllers: readonly Controller[] = ["nginx", "traefik"];
const rke1Services: readonly Service[] = [true, false].flatMap((existing) =>
  (["app", "workload"] as const).map((selector) => ({ existing, selector })),
);
const made: Service = { existing: false, selector: "app" };

/** Every one that the environment's rules accept. */
export function combinations(): Combination[] {
  return names.flatMap((name) => [
    ...distributions.flatMap((distribution) =>
      controllers.flatMap((controller) =>
        (distribution === "rke1" ? rke1Services : [undefined])
          .map((service) => ({ environment: name, distribution, controller, ...(service && { service }) }))
          .filter(isSupported),
      ),
    ),
    { environment: name, distribution: "rke1", controller: "nginx", service: made, otherwise: true },
  ]);
}

/** Only for what a distribution does not bring; every other problem is one of `change`. */
function isSupported(combination: Combination): boolean {
  try {
    fileOf(combination);
    return true;
  } catch (error) {
    if (
      error instanceof Error &&
      /brings (nginx|traefik), and this program configures what is there/.test(error.message)
    )
      return false;
    throw error;
  }
}

/** `home, rke1, nginx, Service existing by app`. */
export function titleOf({
  environment: name,
  distribution,
  controller,
  service,
  otherwise,
  anyHealthPort,
}: Combination): string {
  const taken = service ? `, Service ${service.existing ? "existing" : "made"}, by ${service.selector}` : "";
  return `${name}, ${distribution}, ${controller}${taken}${otherwise ? ", policy Cluster, another pool" : ""}${anyHealthPort ? ", any health check port" : ""}`;
}

export function fileOf(combination: Combination): Environment {
  return environment(combination.environment, change(combination));
}

/** Beside the committed pools. */
const otherAddresses: Readonly<Record<Name, readonly [network: string, addresses: string]>> = {
  home: ["dmz", "192.168.40.6-192.168.40.8"],
  lab: ["edge", "172.20.20.6-172.20.20.8"],
};

/** What of a file says distribution and controller. Versions are such as both know; nothing that is applied depends on them. */
function change({
  environment: name,
  distribution,
  controller,
  service,
  otherwise,
  anyHealthPort,
}: Combination): (file: EnvironmentFile) => void {
  const builds: Record<Distribution, string> = { rke1: "v1.30.14", rke2: "v1.34.2+rke2r1", k3s: "v1.34.2+k3s1" };
  return (file) => {
    file.cluster.distribution = distribution;
    file.cluster.kubernetesVersion = builds[distribution];
    file.cluster.rancher.version = distribution === "rke1" ? "v2.11.16" : "v2.14.4";
    file.ingress.controller = controller;
    file.ingress.className = controller;
    delete file.ingress.service;
    if (service) file.ingress.service = { name: "ingress-nginx", ...service };
    if (anyHealthPort) delete file.ingress.healthCheckNodePort;
    if (!otherwise) return;
    const [network, addresses] = otherAddresses[name];
    file.loadBalancer.pools.push({ name: "others", network, addresses, allocation: "automatic" });
    file.ingress.externalTrafficPolicy = "Cluster";
    delete file.ingress.healthCheckNodePort;
  };
}

/** The registrations of a combination's layers, in the order in which the program made them: none before what it waits for. */
export interface Recorded {
  readonly services: readonly Registration[];
  readonly volumes: readonly Registration[];
}

const recorded = new Map<string, Promise<Recorded>>();
/** One after another: the SDK's runtime is one for the whole process. */
let last: Promise<unknown> = Promise.resolve();

/** Recorded once, by the unmodified program on the pretend home: two releases of Kubernetes get the same. */
export function recordingOf(combination: Combination): Promise<Recorded> {
  const key = titleOf(combination);
  const known = recorded.get(key);
  if (known) return known;
  const recording = last.then(() => recordAll(combination));
  last = recording.catch(() => undefined);
  recorded.set(key, recording);
  return recording;
}

async function recordAll(combination: Combination): Promise<Recorded> {
  const raw = structuredClone(rawEnvironment(combination.environment));
  change(combination)(raw);
  const { config } = configFrom(raw);
  return recordLayers(combination.environment, new Map(Object.entries(config)), buildHome(fileOf(combination)));
}

async function recordLayers(name: Name, config: ReadonlyMap<string, string>, before: HomeState): Promise<Recorded> {
  const stackOutputs: Record<string, Properties> = {};
  const registered: Partial<Record<Layer, readonly Registration[]>> = {};
  let home = before;
  for (const layer of layers.slice(0, layers.indexOf("volumes") + 1)) {
    const stack = `${name}-${layer}`;
    const request = {
      stack,
      layer,
      config,
      home,
      start: before.now,
      stackOutputs: { ...stackOutputs },
      fail: undefined,
    };
    const { result: run } = await keepingWarnings(() => runLayer(request));
    if (run.error !== undefined || run.failed.length > 0)
      throw new Error(`${stack}: ${JSON.stringify([run.error, ...run.failed])}`);
    registered[layer] = inOrder(
      run.registered,
      run.steps.map(({ registration }) => registration),
    );
    stackOutputs[`organization/home-cluster/${stack}`] = run.outputs;
    home = run.home;
  }
  return { services: registered.services ?? [], volumes: registered.volumes ?? [] };
}

/** As registered, and not as finished. */
function inOrder(urns: readonly string[], registrations: readonly Registration[]): Registration[] {
  const found = new Map(registrations.map((registration) => [registration.urn, registration]));
  return urns.flatMap((urn) => found.get(urn) ?? []);
}

/** What goes to the API server as an object of its own. */
export function isObject({ type }: Registration): boolean {
  return type.startsWith("kubernetes:") && !type.startsWith("kubernetes:helm.sh/");
}

/** How many of each other type there are: `Command 8, Release 2`. Components and providers are no resources of anything. */
export function leftOut(registrations: readonly Registration[]): string {
  const counts = new Map<string, number>();
  for (const registration of registrations) {
    if (isObject(registration) || !registration.custom || registration.type.startsWith("pulumi:")) continue;
    const type = registration.type.split(":").at(-1) ?? "";
    counts.set(type, (counts.get(type) ?? 0) + 1);
  }
  return [...counts]
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([type, count]) => `${type} ${count}`)
    .join(", ");
}
