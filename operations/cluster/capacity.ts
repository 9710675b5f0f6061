import type { V1Container, V1Node, V1Pod } from "@kubernetes/client-node";
import { amountOf } from "../volumes/quantity";
import type { Finding } from "./finding";
import { evictable, hasEnded, mayRun, nameOf } from "./placement";
import { takesPods } from "./selector";
import type { Snapshot } from "./snapshot";

/** What a scheduler counts: cores, bytes, pods, and whatever else nodes offer (`nvidia.com/gpu`). */
type Amounts = Readonly<Record<string, number>>;

interface Room {
  readonly node: V1Node;
  free: Amounts;
}

/**
 * Pods of the nodes that go which ask for more than the nodes that stay have left, counted as the scheduler does: requests against what is allocatable, less
 * the requests of what runs there. The largest first, each to the node with the most memory left that may run it and has the room: the scheduler spreads in the same way
 * and knows no better order, so what finds no room here would stay Pending. `leaving` are all nodes that are to go; pods that nobody may run anyway are told
 * by `placementFindings`.
 */
export function capacityFindings(
  { nodes, pods }: Pick<Snapshot, "nodes" | "pods">,
  from: readonly string[],
  leaving: readonly string[],
): Finding[] {
  const gone = new Set([...from, ...leaving]);
  const rooms: Room[] = nodes
    .filter((node) => !gone.has(node.metadata?.name ?? "") && takesPods(node))
    .map((node) => ({ node, free: freeOf(node, pods) }));
  const moving = from
    .flatMap((node) => evictable(pods, node))
    .map((pod) => ({ pod, wants: requestsOf(pod) }))
    .sort((a, b) => of(b.wants, "memory") - of(a.wants, "memory") || of(b.wants, "cpu") - of(a.wants, "cpu"));
  const findings: Finding[] = [];
  for (const { pod, wants } of moving) {
    const possible = rooms.filter(({ node }) => mayRun(pod, node));
    const best = possible
      .filter(({ free }) => Object.entries(wants).every(([name, amount]) => amount === 0 || of(free, name) >= amount))
      .sort((a, b) => of(b.free, "memory") - of(a.free, "memory"))[0];
    if (best) best.free = less(best.free, wants);
    else if (possible.length > 0) findings.push(noRoom(pod, wants, possible));
  }
  return findings;
}

function noRoom(pod: V1Pod, wants: Amounts, possible: readonly Room[]): Finding {
  const short = Object.entries(wants).filter(
    ([name, amount]) => amount > 0 && !possible.some(({ free }) => of(free, name) >= amount),
  );
  // Each amount is there on some node, all of them together on none.
  const told =
    short.length > 0 ? short : Object.entries(wants).filter(([name, amount]) => amount > 0 && name !== "pods");
  const left = possible.map(
    ({ node, free }) =>
      `${node.metadata?.name} ${told.map(([name]) => written(name, Math.max(0, of(free, name)))).join(" and ")}`,
  );
  return {
    what:
      `${pod.spec?.nodeName}: pod ${nameOf(pod)} requests ${told.map(([name, amount]) => written(name, amount)).join(" and ")}, ` +
      `and no node that stays has that left beside the others (${left.join(", ")})`,
    remedy: "give a node that stays more of it, add a node, or lower requests",
  };
}

/** What the scheduler may still give away on a node. */
function freeOf(node: V1Node, pods: readonly V1Pod[]): Amounts {
  const running = pods.filter((pod) => pod.spec?.nodeName === node.metadata?.name && !hasEnded(pod));
  return running.map(requestsOf).reduce(less, amounts(node.status?.allocatable));
}

/**
 * A pod's requests as the scheduler counts them: its containers together, or its largest init container beside the sidecars that started before it, whichever is more; what
 * is set on the pod as a whole goes before that (from 1.34 on), and its overhead comes on top. One of the node's pods, too.
 */
export function requestsOf({ spec }: V1Pod): Amounts {
  const running = (spec?.containers ?? []).map(requests).reduce(plus, {});
  let sidecars: Amounts = {};
  let starting: Amounts = {};
  for (const container of spec?.initContainers ?? []) {
    if (container.restartPolicy === "Always") {
      sidecars = plus(sidecars, requests(container));
      starting = most(starting, sidecars);
    } else starting = most(starting, plus(sidecars, requests(container)));
  }
  const counted = { ...most(plus(running, sidecars), starting), ...amounts(spec?.resources?.requests) };
  return plus(plus(counted, amounts(spec?.overhead)), { pods: 1 });
}

/** A limit without a request is a request of the same. */
function requests({ resources }: V1Container): Amounts {
  return { ...amounts(resources?.limits), ...amounts(resources?.requests) };
}

function amounts(quantities: Readonly<Record<string, string>> | undefined): Amounts {
  return Object.fromEntries(
    Object.entries(quantities ?? {}).map(([name, quantity]) => [name, amountOf(quantity) ?? 0]),
  );
}

function plus(one: Amounts, other: Amounts): Amounts {
  return combined(one, other, (a, b) => a + b);
}

function less(one: Amounts, other: Amounts): Amounts {
  return combined(one, other, (a, b) => a - b);
}

function most(one: Amounts, other: Amounts): Amounts {
  return combined(one, other, Math.max);
}

function combined(one: Amounts, other: Amounts, how: (a: number, b: number) => number): Amounts {
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return Object.fromEntries([...names].map((name) => [name, how(of(one, name), of(other, name))]));
}

function of(among: Amounts, name: string): number {
  return among[name] ?? 0;
}

/** As people write it: `1500m cpu`, `3072Mi memory`. */
function written(name: string, amount: number): string {
  if (name === "cpu") return `${Math.round(amount * 1000)}m cpu`;
  if (name === "memory" || name.includes("storage")) return `${Math.floor(amount / 2 ** 20)}Mi ${name}`;
  return `${amount} ${name}`;
}
