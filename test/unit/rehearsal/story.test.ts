import assert from "node:assert/strict";
import type { V1Node, V1PersistentVolumeClaim, V1Pod, V1Service, V1StorageClass } from "@kubernetes/client-node";
import { judge, judges } from "../../../rehearsal/checks";
import { gates } from "../../../rehearsal/gates";
import type { HomeState } from "../../../rehearsal/home/state";
import { leftStanding, render, report } from "../../../rehearsal/report";
import type { Story } from "../../../rehearsal/story";
import { rehearsalOf, storyOf } from "../../support/story";

/** A story that may be bent; the types say readonly because nobody else may. */
type Bent<T> = T extends HomeState ? T : T extends object ? { -readonly [key in keyof T]: Bent<T[key]> } : T;

function object<T>(home: HomeState, kind: string, name: string): T {
  const found = home.kubernetes.objects.find(
    (candidate) => candidate.kind === kind && candidate.metadata?.name === name,
  );
  if (!found) return assert.fail(`the story holds no ${kind} ${name}`);
  return found as T;
}

function layer(story: Bent<Story>, index: number): Bent<Story>["layers"][number] {
  return story.layers[index] ?? assert.fail(`no layer ${index}`);
}

function destroyed(story: Bent<Story>): NonNullable<Bent<Story>["destroy"]> {
  return story.destroy ?? assert.fail("nothing was destroyed");
}

/** For each check, the smallest lie that it must notice. */
const lies: Readonly<Record<string, (story: Bent<Story>) => void>> = {
  "every layer went up": (story) => layer(story, 1).failed.push(["urn", "it failed"]),
  "gates: nothing started before what it waits for was done": (story) => {
    const waiting = layer(story, 0).steps.find((step) => step.registration.dependencies.length > 0);
    if (waiting) waiting.startedAt = -1;
  },
  "secrets are never plain": (story) => {
    const step = layer(story, 1).steps[3];
    if (step) step.registration.inputs.note = `the token is ${story.secrets[0]}`;
  },
  "every Debian node is Ready under its name, roles, labels and address": (story) => {
    const node = object<V1Node>(layer(story, 0).home, "Node", "debian-2");
    if (node.status) node.status.conditions = [{ type: "Ready", status: "False" }];
  },
  "Rancher shows every Debian node active": (story) => {
    const node = layer(story, 0).home.rancher.nodes.find((other) => other.nodeName === "debian-1");
    if (node) node.state = "registering";
  },
  "members of etcd and the control plane joined one at a time": (story) => {
    const joins = layer(story, 0).steps.filter((step) => String(step.registration.inputs.create).endsWith(" join"));
    for (const step of joins) step.finishedAt = joins[0]?.finishedAt ?? 0;
  },
  "Longhorn's class is the only default": (story) => {
    const old = object<V1StorageClass>(layer(story, 1).home, "StorageClass", "nfs-client");
    old.metadata = { ...old.metadata, annotations: { "storageclass.kubernetes.io/is-default-class": "true" } };
  },
  "the ingress controller answers on its fixed address": (story) => {
    const service = object<V1Service>(layer(story, 1).home, "Service", "ingress-nginx");
    service.status = { loadBalancer: { ingress: [{ ip: "192.168.40.4" }] } };
  },
  "every volume is copied, and none is called verified while it is written": (story) => {
    const ledger = object<{ data: Record<string, string> }>(
      layer(story, 2).home,
      "ConfigMap",
      "volume-cloud-nextcloud-data",
    );
    for (const key of Object.keys(ledger.data))
      ledger.data[key] = (ledger.data[key] ?? "").replace('"warm"', '"verified"');
  },
  "every new claim is bound on Longhorn at its size": (story) => {
    const claim = object<V1PersistentVolumeClaim>(
      layer(story, 2).home,
      "PersistentVolumeClaim",
      "grafana-data-longhorn",
    );
    if (claim.spec) claim.spec.storageClassName = "nfs-client";
  },
  "the old claims are untouched": (story) => {
    const claim = object<V1PersistentVolumeClaim>(layer(story, 2).home, "PersistentVolumeClaim", "grafana-data");
    claim.metadata = { ...claim.metadata, labels: { touched: "yes" } };
  },
  "up of every layer left the old machines as they were": (story) => {
    const vm = layer(story, 3).home.proxmox.vms.find((other) => other.vmId === 102);
    if (vm) vm.tags = ["adopted"];
    const refused = story.refusedDestroy?.home.proxmox.vms.find((other) => other.vmId === 102);
    if (refused) refused.tags = ["adopted"];
  },
  "destroy is refused while a volume is not switched": (story) => {
    if (story.refusedDestroy) story.refusedDestroy.failed = [];
  },
  "every old node is gone from Proxmox, Rancher and Kubernetes": (story) => {
    destroyed(story).home.kubernetes.objects.push({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "rancheros-3" },
    });
  },
  "no stranger's machine was touched": (story) => {
    const nas = destroyed(story).home.proxmox.vms.find((other) => other.name === "nas");
    if (nas) nas.status = "stopped";
  },
  "every workload still runs, on a Debian node": (story) => {
    const pod = destroyed(story).home.kubernetes.objects.find(
      (other): other is V1Pod =>
        other.kind === "Pod" && other.metadata?.namespace === "games" && other.metadata.ownerReferences !== undefined,
    );
    if (pod?.status) pod.status.phase = "Pending";
  },
  "the etcd members that remain are odd and at least three": (story) => {
    destroyed(story).home.rancher.nodes.pop();
  },
};

describe("the rehearsal of the committed environments (does not prove that real systems behave like the pretend ones)", function () {
  this.timeout(60_000);

  // Side by side: each is mostly its own processes loading the program.
  before(() => Promise.all([rehearsalOf("home"), rehearsalOf("lab")]));

  for (const name of ["home", "lab"] as const) {
    it(`${name}: every check holds`, async () => {
      const checks = judge(await storyOf(name));
      assert.deepEqual(
        checks.filter((check) => !check.holds),
        [],
      );
      assert.equal(checks.length, Object.keys(judges).length);
    });
  }

  it("every check has a lie that it must notice", () => {
    assert.deepEqual(Object.keys(lies), Object.keys(judges));
  });

  for (const [name, lie] of Object.entries(lies)) {
    it(`alone notices: ${name}`, async () => {
      const story = await storyOf("home");
      lie(story as Bent<Story>);
      const checks = judge(story);
      assert.deepEqual(
        checks.filter((check) => !check.holds).map((check) => check.name),
        [name],
      );
      assert.equal(report({ story, reference: undefined }, checks, undefined).ok, false);
    });
  }

  it("a layer that never ran fails the checks instead of passing them empty", async () => {
    const story = { ...(await storyOf("home")), layers: [], refusedDestroy: undefined, destroy: undefined };
    const holding = judge(story)
      .filter((check) => check.holds)
      .map((check) => check.name);
    assert.deepEqual(holding, ["gates: nothing started before what it waits for was done", "secrets are never plain"]);
  });

  it("gates are listed in the order in which they opened", async () => {
    const times = gates(await storyOf("home")).map((gate) => gate.openedAt);
    assert.ok(times.length > 20);
    assert.deepEqual(
      times,
      [...times].sort((a, b) => a - b),
    );
  });

  it("the picture shows the old nodes before, the new ones and their disks after", async () => {
    const story = await storyOf("home");
    const { topology } = report({ story, reference: undefined }, [], undefined);
    assert.match(topology.before, /101 {2}rancheros-1 .*etcd.*Ready.*ingress/);
    assert.doesNotMatch(topology.before, /debian-1/);
    assert.match(topology.after, /201 {2}debian-1 .*Longhorn disk/);
    assert.doesNotMatch(topology.after, /rancheros-1/);
    assert.match(topology.after, /192\.168\.40\.5 \(MetalLB, client addresses kept\)/);
  });

  it("the tables hold every layer, every gate and every check", async () => {
    const story = await storyOf("home");
    const text = render(report({ story, reference: undefined }, judge(story), undefined));
    for (const word of ["home-nodes", "home-rancheros", ...Object.keys(judges).map((name) => name.slice(0, 20))])
      assert.ok(text.includes(word), word);
  });
});

describe("the rehearsal with a fault (does not prove how the real engine stops)", function () {
  this.timeout(60_000);

  it("a failed machine takes its own chain and nothing of the other nodes", async () => {
    const { story, reference } = await rehearsalOf("home", "debian-2-vm");
    const { fault } = report({ story, reference }, judge(story), "debian-2-vm");
    const nodes = (urn: string): boolean => urn.includes("::home-nodes") || urn.startsWith("urn:pulumi:home-nodes");
    assert.ok(fault);
    assert.deepEqual(
      fault.failed.map((urn) => urn.split("::").pop()),
      ["debian-2-vm-machine"],
    );
    const lost = fault.notRegistered.filter(nodes).map((urn) => urn.split("::").pop());
    assert.ok(lost.length > 0 && lost.every((name) => name?.startsWith("debian-2")), lost.join(", "));
    assert.ok(fault.notRegistered.some((urn) => urn.startsWith("urn:pulumi:home-services")));
    assert.ok(fault.leftStanding.some((line) => line.startsWith("VM 203 debian-3")));
    assert.equal(
      fault.leftStanding.some((line) => line.includes("debian-2")),
      false,
    );
    assert.equal(report({ story, reference }, judge(story), "debian-2-vm").ok, false);
  });

  it("a failed copy leaves the other volumes to finish", async () => {
    const { story, reference } = await rehearsalOf("home", "volume-migration-grafana-data");
    const fault = report({ story, reference }, [], "volume-migration-grafana-data").fault;
    const lost = (fault?.notRegistered ?? [])
      .filter((urn) => urn.startsWith("urn:pulumi:home-volumes"))
      .map((urn) => urn.split("::").pop() ?? "");
    assert.ok(lost.length > 0);
    assert.deepEqual(
      lost.filter((name) => !name.includes("grafana-data")),
      [],
    );
  });

  it("a failed check lets nothing of its layer register", async () => {
    const { story, reference } = await rehearsalOf("home", "check-vm-ids");
    const fault = report({ story, reference }, [], "check-vm-ids").fault;
    assert.deepEqual(fault?.failed, ["invoke check-vm-ids"]);
    assert.deepEqual(story.layers[0]?.home.proxmox.vms, story.before.proxmox.vms);
  });

  it("a failed retirement names what was not deleted, and the other nodes' machines stand", async () => {
    const part = "retire-old-node:rancheros-2";
    const { story, reference } = await rehearsalOf("home", part);
    const fault = report({ story, reference }, [], part).fault;
    assert.ok(fault);
    assert.ok(
      fault.notDeleted.some((urn) => urn.includes("rancheros-2")),
      fault.notDeleted.join("\n"),
    );
    assert.ok(leftStanding(story).some((line) => line.startsWith("VM 102 rancheros-2 (running)")));
    assert.deepEqual(fault.notRegistered, []);
  });
});
