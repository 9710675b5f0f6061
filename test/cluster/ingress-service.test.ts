import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type { V1ConfigMap, V1Service } from "@kubernetes/client-node";
import type { Environment } from "../../environment/schema";
import { ApiRefusal, type Clients, type KubernetesApi } from "../../operations/clients";
import { kubernetesClient } from "../../operations/clients/kubernetes";
import { dispatch } from "../../operations/dispatch";
import * as kinds from "../../operations/kinds";
import { checkIngressPods } from "../../operations/load-balancer/check-ingress-pods";
import { ingressAnswers } from "../../operations/load-balancer/ingress-answers";
import type { IngressInput } from "../../operations/load-balancer/ingress-input";
import { recordName, takenOver } from "../../operations/load-balancer/names";
import { Refusal } from "../../operations/refusal";
import { reveal, type Registration } from "../../rehearsal/record";
import { verbOf } from "../../rehearsal/verb";
import { inputOf } from "../support/load-balancer";
import { ApiClient } from "./lab/api-client";
import { fileOf, recordingOf, type Combination } from "./lab/combinations";
import { ControlPlane, minors } from "./lab/control-plane";
import { byPath, changes, documentedRecord, foreignService, podOn, service, setPods, text } from "./lab/ingress";
import { declaredFields, ownedBy, owners } from "./lab/managed-fields";
import { addNodes, setPodReady } from "./lab/nodes";
import { until } from "./lab/processes";
import { objectOf, Provider, type Write } from "./lab/provider";
import { Others, rancherService, rewritten } from "./lab/rancher";
import { isClean, lost, unchanged } from "./lab/take";

/**
 * What is taken over. While somebody writes, a declared port can meet a fault of Kubernetes (held-ports.ts, and a test below): the tests of that leave it to
 * Kubernetes.
 */
const variants = {
  "by app": { selector: "app", anyHealthPort: false },
  "by workload": { selector: "workload", anyHealthPort: false },
  "by app, any health check port": { selector: "app", anyHealthPort: true },
  "by workload, any health check port": { selector: "workload", anyHealthPort: true },
} as const;
type Variant = keyof typeof variants;
const name = "ingress-nginx";
const namespace = "ingress-nginx";
const ours = /^pulumi-kubernetes-/;

/** The committed environment, changed to a variant. */
function combination(variant: Variant): Combination {
  const { selector, anyHealthPort } = variants[variant];
  const service = { existing: true, selector };
  return { environment: "home", distribution: "rke1", controller: "nginx", service, anyHealthPort };
}
const file = fileOf(combination("by app"));
const input = inputOf(file);
const [withCard = ""] = input.announcers;
const withoutCard = file.oldNodes.map((node) => node.name);

const variantNames = Object.keys(variants) as Variant[];
const everywhere = Object.fromEntries(input.announcers.map((node) => [node, true]));
type Step = "create" | "update" | "delete";

const hold = "example.org/hold";
/** By `changes`: what becomes of Rancher's Service. */
const always = [
  "+ metadata.labels.home-cluster/address",
  "+ metadata.annotations.home-cluster/taken-over",
  ...rewritten.map((key) => `~ metadata.annotations.${key}`),
  "+ metadata.annotations.metallb.io/address-pool",
  "+ metadata.annotations.metallb.io/loadBalancerIPs",
  "+ metadata.annotations.pulumi.com/patchForce",
  "+ metadata.annotations.pulumi.com/skipAwait",
  "+ metadata.annotations.workload.cattle.io/targetWorkloadIdNoop",
  "+ spec.allocateLoadBalancerNodePorts",
  "~ spec.externalTrafficPolicy",
  "+ spec.healthCheckNodePort",
  "~ spec.sessionAffinity",
  "- spec.sessionAffinityConfig.clientIP.timeoutSeconds",
  "~ spec.type",
];
const expected = {
  app: [...always, "+ spec.selector.app", "- spec.selector.workloadID_ingress-nginx"],
  workload: always,
};
// The server takes the rest of it off later than it counts who owns what.
const affinityLost = ["spec.sessionAffinity"];
const expectedLosses = {
  app: {
    "kubectl-client-side-apply": affinityLost,
    rancher: ["spec.externalTrafficPolicy", "spec.selector", "spec.type"],
  },
  workload: {
    "kubectl-client-side-apply": affinityLost,
    rancher: ["spec.externalTrafficPolicy", "spec.type"],
  },
};

for (const minor of minors) {
  describe(`the ingress controller's Service on the ${minor} API server (Rancher, kubectl and MetalLB are writers of ours, the engine is its requests; nobody answers behind it)`, () => {
    let plane: ControlPlane;
    let raw: ApiClient;
    let provider: Provider;
    let others: Others;
    let clients: Clients;
    const lines: string[] = [];

    before(async () => {
      plane = await ControlPlane.start({ minor });
      raw = new ApiClient(plane.kubeconfigFor("provider", ["system:masters"]));
      provider = new Provider(raw, false);
      others = new Others(plane);
      clients = clientsOf(plane.api);
      await plane.namespace(namespace);
      await addNodes(
        plane.api,
        [...withoutCard, ...input.announcers].map((node) => ({ name: node })),
      );
    });

    after(async () => {
      others?.close();
      raw?.close();
      await plane?.stop();
    });

    beforeEach(() => void (lines.length = 0));

    afterEach("nobody writes any more, nothing is left, no part has ended", async () => {
      await others.stop();
      for (const one of await plane.api.list(kinds.services)) {
        if (one.metadata?.name !== "kubernetes") await others.remove({ ...one, ...kinds.services });
      }
      await removed(kinds.configMaps, recordName, namespace);
      assert.deepEqual(plane.casualties(), []);
    });

    describe("taken over from Rancher", () => {
      before(() => setPods(plane, everywhere));

      for (const variant of variantNames) {
        const { selector, anyHealthPort } = variants[variant];
        const writing = anyHealthPort ? ", while Rancher goes on writing" : "";

        it(`${variant}: changes our fields alone, keeps cluster IP and node ports, takes from others what it changes${writing}`, async () => {
          const before = await foreignService(plane, others, file);
          if (anyHealthPort) await others.keepWriting(service);
          await takeOver(variant);
          if (anyHealthPort) await others.more(3);
          await others.stop();
          await others.rewrite(service);
          const after = await live();
          const declared = objectOf(await declaredFor(variant, after));
          assert.deepEqual(lost(declared, after), []);
          assert.deepEqual(changes(before, after), [...expected[selector]].sort(byPath));
          assert.deepEqual(ownedBy(after, ours, "Apply"), declaredFields(declared));
          assert.deepEqual(lostFields(before, after), expectedLosses[selector]);
        });
      }

      it("is applied again without a change, and no drift is found, although Rancher's annotations change", async () => {
        await foreignService(plane, others, file);
        await takeOver();
        const first = await live();
        const registration = await declaredFor("by app", first);
        await others.keepWriting(service);
        for (let round = 0; round < 10; round += 1) {
          await others.more(1);
          for (const dryRun of [true, false]) isClean(await provider.update(registration, { dryRun }));
          assert.deepEqual(lost(objectOf(registration), await live()), []);
        }
        await unchanged(provider, registration);
        await others.stop();
        const last = await live();
        const theirs = rewritten.map((key) => `~ metadata.annotations.${key}`);
        assert.deepEqual(changes(first, last), theirs.sort(byPath));
        assert.deepEqual(entryOf(last), entryOf(first));
        assert.equal(last.metadata?.annotations?.[rewritten[0]], others.last);
      });

      it("is told of a port that Kubernetes holds for nobody, after an update that met another write", async () => {
        await foreignService(plane, others, file);
        const free = 31777;
        const declared = { ...input, healthCheckNodePort: free };
        await check(declared);
        await leakPort(free);
        await refuses(
          check(declared),
          /no Service has all of the ports 31777, and the API server does not give them out/,
          /again in ten minutes/,
          /already allocated": an update that met another write leaves its ports held for nobody/,
        );
        await check();
      });
    });

    describe("put back on leaving", () => {
      before(() => setPods(plane, everywhere));

      for (const variant of variantNames.filter((one) => variants[one].anyHealthPort)) {
        it(`${variant}: byte for byte but for what Rancher went on writing, and nothing of ours is left`, async () => {
          const before = await foreignService(plane, others, file);
          await others.keepWriting(service);
          others.balance(service);
          await takeOver(variant);
          await has("192.168.40.5");
          await others.more(2);
          assert.equal((await leave(variant)).restored, "is what it was before");
          await has(undefined);
          await others.more(2);
          await others.stop();
          const after = await live();
          assert.equal(text(after), text(before));
          assert.equal(after.metadata?.annotations?.[rewritten[0]], others.last);
          assert.equal(await recordMap(), undefined);
          assert.deepEqual(ownedBy(after, ours), []);
          assert.deepEqual(ownedBy(after, "kubectl-client-side-apply"), [
            "metadata.annotations.kubectl.kubernetes.io/last-applied-configuration",
            "metadata.labels.team",
          ]);
          const now = Object.keys(owners(after)).filter((manager) => manager !== "metallb");
          assert.deepEqual(now, [...Object.keys(owners(before)), "home-cluster"].sort());
        });
      }

      it("reads again after each conflict with Rancher, and loses nothing that either wrote", async () => {
        const before = await foreignService(plane, others, file);
        await takeOver();
        const api = kubernetesClient(plane.kubeconfigFor("leaving", ["system:masters"]));
        let races = 0;
        const racing = instead(api, {
          replace: async (object) => {
            if (object.kind === "Service" && ++races <= 3) await others.rewrite(service);
            return api.replace(object);
          },
        });
        assert.equal((await leave("by app", clientsOf(racing))).restored, "is what it was before");
        const written = plane.audit().filter(({ user, verb }) => user.username === "leaving" && verb === "update");
        assert.deepEqual(
          written.map(({ responseStatus }) => responseStatus?.code),
          [409, 409, 409, 200],
        );
        assert.equal(text(await live()), text(before));
        assert.equal((await live()).metadata?.annotations?.[rewritten[0]], others.last);
      });

      it("comes through while Rancher writes without a pause", async () => {
        const before = await foreignService(plane, others, file);
        const quiet = "by app, any health check port";
        await others.keepWriting(service, 0);
        await takeOver(quiet);
        assert.equal((await leave(quiet)).restored, "is what it was before");
        await others.stop();
        assert.equal(text(await live()), text(before));
      });

      it("leaves the Service alone whose first update was refused, and takes it over once nothing is in the way", async () => {
        const before = await foreignService(plane, others, file);
        const freed = { http: 30998, https: 30999 };
        await movePorts(freed);
        await plane.api.create(
          otherService({ spec: { ports: [{ port: 80, nodePort: file.ingress.nodePorts.http }] } }),
        );
        const original = await live();
        await command("ingress-own-record", "create");
        const [refused] = await provider.create(await registered("ingress-own-service"));
        assert.match(refused?.refused ?? "", /provided port is already allocated/);
        assert.equal((await leave()).restored, "was put back before");
        assert.equal(text(await live()), text(original));
        assert.deepEqual(owners(await live()), owners(original));
        assert.equal(await recordMap(), undefined);

        // The same, but the operator removes what was in the way and runs it again instead.
        await command("ingress-own-record", "create");
        await others.remove(otherService({ spec: {} }));
        await takeOver();
        assert.deepEqual(portsOf(await live()), file.ingress.nodePorts);
        await leave();
        assert.equal(text(await live()), text(original));
        assert.notEqual(text(original), text(before));
      });

      it("puts back where the update was made and its answer was lost, and where it was lost and made again", async () => {
        const before = await foreignService(plane, others, file);
        // The engine's state knows of the record alone; the Service is ours all the same.
        await takeOver();
        await leave();
        assert.equal(text(await live()), text(before));
        await takeOver();
        await takeOver();
        await leave();
        assert.equal(text(await live()), text(before));
      });

      it("goes on where it was cut off before the record was gone, and does not undo what was done since", async () => {
        await foreignService(plane, others, file);
        await takeOver();
        const cutOff = instead(plane.api, {
          remove: () => Promise.reject(new ApiRefusal(0, "Unreachable", "cut off")),
        });
        await assert.rejects(leave("by app", clientsOf(cutOff)), /cut off/);
        assert.ok(await recordMap());
        await plane.api.patch(kinds.services, name, { spec: { sessionAffinity: "None" } }, namespace);
        const since = await live();
        assert.equal((await leave()).restored, "was put back before");
        assert.equal(text(await live()), text(since));
        assert.equal(await recordMap(), undefined);
      });

      it("makes no Service that was deleted meanwhile, and forgets it", async () => {
        await foreignService(plane, others, file);
        await takeOver();
        await others.remove(service);
        await refuses(check(), /Service ingress-nginx\/ingress-nginx: does not exist/, /existing to false/);
        assert.equal((await leave()).restored, "is gone");
        assert.equal(await plane.api.read(kinds.services, name, namespace), undefined);
        assert.equal(await recordMap(), undefined);
      });

      it("leaves alone a Service that Rancher made anew, also where it looks like ours", async () => {
        const looks: Record<string, string>[] = [{}, { "home-cluster/address": "ingress" }];
        for (const labels of looks) {
          await foreignService(plane, others, file);
          await takeOver();
          await others.remove(service);
          await foreignService(plane, others, file, labels);
          const other = await live();
          assert.equal((await leave()).restored, "is another one by now, left alone");
          assert.equal(text(await live()), text(other));
          assert.equal(await recordMap(), undefined);
          await others.remove(service);
        }
      });

      it("takes over one that Rancher made anew with a record of its own, and puts that one back", async () => {
        await foreignService(plane, others, file);
        await takeOver();
        await others.remove(service);
        await others.make(rancherService(file));
        const other = await live();
        // As the engine runs the record's update, since the check answers with another Service than the one that was recorded.
        await takeOver("by app", "update");
        assert.deepEqual(lost(objectOf(await declaredFor("by app", await live())), await live()), []);
        await check();
        await leave();
        assert.equal(text(await live()), text(other));
      });

      it("is refused without the record, before anything is touched, and possible again with one written by the documentation", async () => {
        const before = await foreignService(plane, others, file, {}, {});
        await takeOver();
        await removed(kinds.configMaps, recordName, namespace);
        const taken = await live();
        const missing = /was taken over or made by this program, and there is no record of what it was before/;
        const byHand = /write the ConfigMap again by hand \(docs\/decisions\/taking-over-the-service\.md\)/;
        await refuses(check(), missing, byHand);
        await refuses(command("ingress-own-record", "create"), missing, byHand);
        await refuses(leave(), missing, byHand);
        assert.equal(text(await live()), text(taken));
        await plane.api.create(documentedRecord(taken.metadata?.uid ?? ""));
        await check();
        assert.equal((await leave()).restored, "is what it was before");
        assert.equal(text(await live()), text(before));
      });
    });

    describe("a selector without a ready pod is refused before traffic is lost:", () => {
      beforeEach(() => foreignService(plane, others, file));
      const nobody = /Service ingress-nginx\/ingress-nginx: no ready pod has the labels app=ingress-nginx$/;
      const again = /kubectl -n ingress-nginx get pods --show-labels -o wide`, and run it again once .* Ready/;

      it("no pod at all", async () => {
        await setPods(plane, {});
        await refuses(check(), nobody, again);
      });

      it("pods that are not ready; once they are, it passes", async () => {
        await setPods(plane, { [withCard]: false });
        await refuses(check(), nobody, again);
        await setPodReady(plane.api, podOn(withCard), namespace, true);
        await check();
      });

      it("a pod that is on its way out", async () => {
        await setPods(plane, { [withCard]: true });
        await plane.api.patch(kinds.pods, podOn(withCard), { metadata: { finalizers: [hold] } }, namespace);
        await plane.api.remove(kinds.pods, podOn(withCard), namespace);
        try {
          await refuses(check(), nobody, again);
        } finally {
          await plane.api.patch(kinds.pods, podOn(withCard), { metadata: { finalizers: null } }, namespace);
        }
      });

      it("pods that run only where no card is in the pool's network; with policy Cluster they do", async () => {
        await setPods(plane, Object.fromEntries(withoutCard.map((node) => [node, true])));
        const where = `its ready pods run on ${withoutCard.join(", ")}, and none on debian-1, debian-2 or debian-3`;
        await refuses(check(), new RegExp(where), /run it again once one is Ready on debian-1, debian-2 or debian-3/);
        await check({ externalTrafficPolicy: "Cluster" });
      });

      it("a selector with a letter wrong", async () => {
        await setPods(plane, { [withCard]: true });
        const wrong = /no ready pod has the labels app=ingress-ngnix/;
        await refuses(check({ selector: { app: "ingress-ngnix" } }), wrong, again);
      });

      it("a selector that Rancher would have to label pods for, and does not", async () => {
        await setPods(plane, { [withCard]: true }, { app: "ingress-nginx" });
        const selector = { "workloadID_ingress-nginx": "true" };
        await refuses(check({ selector }), /no ready pod has the labels workloadID_ingress-nginx=true/, again);
      });

      it("and after the take-over the answer is waited for while they come and go", async () => {
        await setPods(plane, { [withCard]: true });
        await takeOver();
        others.balance(service);
        await setPods(plane, { [withoutCard[0] ?? ""]: true });
        await refuses(
          ingressAnswers.run(input, clientsOf(plane.api, hurried())),
          /Service ingress-nginx\/ingress-nginx on 192\.168\.40\.5: not within 600 s/,
          /describe service ingress-nginx/,
          /endpoints are ready on rancheros-1, and none on debian-1, debian-2 or debian-3/,
        );
        let done = false;
        const answers = ingressAnswers.run(input, clients).then((result) => ((done = true), result));
        await pause(200);
        assert.equal(done, false);
        await setPods(plane, { [withoutCard[0] ?? ""]: true, [withCard]: true });
        assert.deepEqual(await answers, { address: "192.168.40.5" });
      });

      it("the checks wrote nothing", () => {
        const asked = plane.audit().filter(({ user }) => user.username === "checking");
        const written = asked.filter(
          ({ verb, requestURI }) => !["get", "list"].includes(verb) && !requestURI.includes("dryRun=All"),
        );
        assert.ok(asked.length > 0);
        assert.deepEqual(written, []);
      });
    });

    describe("what the server would refuse is told before it is tried:", () => {
      before(() => setPods(plane, { [withCard]: true }));

      it("another health check port, which it never changes", async () => {
        await foreignService(plane, others, file);
        await plane.api.patch(
          kinds.services,
          name,
          { spec: { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 31500 } },
          namespace,
        );
        const { next } = await refuses(check(), /its health check port is 31500, declared is 31431/, /to 31500/);
        await refusedByServer(/healthCheckNodePort: (Forbidden|Invalid value).*immutable/);
        const declared = Number(/ingress\.healthCheckNodePort to (\d+)/.exec(next)?.[1]);
        await check({ healthCheckNodePort: declared });
        const taken = changed(await registered("ingress-own-service"), { healthCheckNodePort: declared });
        (await provider.create(taken)).forEach(isClean);
      });

      for (const [what, spec, port] of [
        ["a node port", { type: "NodePort", ports: [{ port: 80, nodePort: 30176 }] }, 30176],
        ["the health check port, as a node port", { type: "NodePort", ports: [{ port: 80, nodePort: 31431 }] }, 31431],
        [
          "the health check port",
          {
            type: "LoadBalancer",
            externalTrafficPolicy: "Local",
            healthCheckNodePort: 31431,
            ports: [{ port: 80, nodePort: 30990 }],
          },
          31431,
        ],
      ] as const) {
        it(`another Service that has ${what}`, async () => {
          await foreignService(plane, others, file);
          await movePorts({ http: 30998, https: 30999 });
          await plane.api.create(otherService({ spec }));
          await refuses(check(), new RegExp(`Service default/other: has the node port ${port}`), /declare a free port/);
          await refusedByServer(/provided port is already allocated/);
          await others.remove(otherService({ spec: {} }));
          await takeOver();
        });
      }

      it("another Service that has the address (which the server would take)", async () => {
        await foreignService(plane, others, file);
        const other = otherService({ spec: { type: "LoadBalancer", ports: [{ port: 80 }] } });
        await plane.api.create(other);
        await others.status("metallb", other, { loadBalancer: { ingress: [{ ip: "192.168.40.5" }] } });
        await refuses(check(), /Service default\/other: has the address 192\.168\.40\.5/, /give it another address/);
      });
    });

    describe("a Service that is a LoadBalancer already, with another address", () => {
      const elsewhere = { "metallb.io/loadBalancerIPs": "192.168.40.3", "metallb.io/address-pool": "others" };
      const balanced = { type: "LoadBalancer" };
      before(() => setPods(plane, { [withCard]: true }));

      it("gets ours, which is waited for, and its own again on leaving", async () => {
        await foreignService(plane, others, file, {}, balanced, elsewhere);
        others.balance(service);
        await has("192.168.40.3");
        const before = await live();
        await others.stop();
        await takeOver();
        await refuses(
          ingressAnswers.run(input, clientsOf(plane.api, hurried())),
          /not within 600 s/,
          /describe service/,
          /address is 192\.168\.40\.3, not 192\.168\.40\.5/,
        );
        others.balance(service);
        assert.deepEqual(await ingressAnswers.run(input, clients), { address: "192.168.40.5" });
        await leave();
        await has("192.168.40.3");
        await others.stop();
        assert.equal(text(await live()), text(before));
      });

      for (const [field, spec, what] of [
        ["spec.loadBalancerIP", { ...balanced, loadBalancerIP: "192.168.40.3" }, /has spec\.loadBalancerIP 192/],
        ["a class", { ...balanced, loadBalancerClass: "example.org/lb" }, /has the load balancer class example\.org/],
      ] as const) {
        it(`is refused while it has ${field}, and taken over after the command that the refusal names`, async () => {
          await foreignService(plane, others, file, {}, spec);
          const { next } = await refuses(check(), what, /kubectl -n ingress-nginx patch service ingress-nginx/);
          const patch = /--type merge -p '(.*)'`/.exec(next)?.[1] ?? "";
          await plane.api.patch(kinds.services, name, JSON.parse(patch) as object, namespace);
          const before = await live();
          await takeOver();
          await leave();
          assert.equal(text(await live()), text(before));
        });
      }
    });

    /** Real time, looked at often: what an operation would wait for in minutes is there within a second here. */
    function clientsOf(kubernetes: KubernetesApi, clock: Clients["clock"] = quick): Clients {
      const untouched = new Proxy({}, { get: () => assert.fail("only the cluster may be asked") }) as never;
      const log = (line: string): void => void lines.push(line);
      return { kubernetes, clock, log, proxmox: untouched, rancher: untouched, ssh: untouched, network: untouched };
    }

    async function check(change: Partial<IngressInput> = {}): Promise<unknown> {
      checking ??= kubernetesClient(plane.kubeconfigFor("checking", ["system:masters"]));
      return checkIngressPods.run({ ...input, ...change }, clientsOf(checking));
    }
    let checking: KubernetesApi | undefined;

    /** What `up` does: check, record, import. */
    async function takeOver(variant: Variant = "by app", record: Step = "create"): Promise<void> {
      const found = inputOf(fileOf(combination(variant)));
      await check(found);
      await command("ingress-own-record", record, variant);
      const writes: Write[] = await provider.create(await declaredFor(variant, await live()));
      writes.forEach(isClean);
    }

    /** What `destroy` does: the engine forgets the Service (retainOnDelete), then the record's delete runs. */
    async function leave(
      variant: Variant = "by app",
      using: Clients = clients,
    ): Promise<{ readonly restored?: string }> {
      const { options } = await registered("ingress-own-service", variant);
      assert.deepEqual([options.importId, options.retainOnDelete], [`${namespace}/${name}`, true]);
      return (await command("ingress-own-record", "delete", variant, using)) as { restored?: string };
    }

    async function live(): Promise<V1Service> {
      const found = await plane.api.read(kinds.services, name, namespace);
      assert.ok(found);
      return found;
    }

    function recordMap(): Promise<V1ConfigMap | undefined> {
      return plane.api.read(kinds.configMaps, recordName, namespace);
    }

    async function movePorts({ http, https }: Environment["ingress"]["nodePorts"]): Promise<void> {
      const ports = [
        { name: "http", port: 80, targetPort: 80, nodePort: http, protocol: "TCP" },
        { name: "https", port: 443, targetPort: 443, nodePort: https, protocol: "TCP" },
      ];
      await plane.api.patch(kinds.services, name, { spec: { ports } }, namespace);
    }

    async function has(ip: string | undefined): Promise<void> {
      await until(`the Service has ${ip ?? "no address"}`, async () =>
        assert.equal((await live()).status?.loadBalancer?.ingress?.[0]?.ip, ip),
      );
    }

    /** Lets updates that ask for this port meet other writes, until the server holds it for nobody. */
    async function leakPort(port: number): Promise<void> {
      const { one } = await raw.paths(service);
      const patch = (spec: object): ReturnType<ApiClient["send"]> =>
        raw.send("PATCH", one, { body: { spec }, contentType: "application/merge-patch+json" });
      let over = false;
      const storm = async (writer: number): Promise<void> => {
        for (let write = 0; !over; write += 1) {
          const body = { metadata: { annotations: { [rewritten[0]]: `${writer}-${write}` } } };
          await raw.send("PATCH", one, { body, contentType: "application/merge-patch+json" });
        }
      };
      const storms = [1, 2, 3, 4].map(storm);
      try {
        for (let round = 0; round < 100; round += 1) {
          const { status, body } = await patch({
            type: "LoadBalancer",
            externalTrafficPolicy: "Local",
            healthCheckNodePort: port,
          });
          if (status === 500 && JSON.stringify(body).includes("already allocated")) return;
          assert.equal(status, 200, JSON.stringify(body));
          await patch({ type: "NodePort", externalTrafficPolicy: "Cluster", healthCheckNodePort: null });
        }
      } finally {
        over = true;
        await Promise.all(storms);
      }
      assert.fail("Kubernetes does so no more: operations/load-balancer/held-ports.ts has nothing left to do");
    }

    async function refusedByServer(why: RegExp): Promise<void> {
      const [write] = await provider.create(await registered("ingress-own-service"));
      assert.match(write?.refused ?? "", why);
    }

    async function removed(kind: Parameters<KubernetesApi["remove"]>[0], one: string, place?: string): Promise<void> {
      await plane.api.remove(kind, one, place);
      await until(`${kind.kind} ${one} is gone`, async () =>
        assert.equal(await plane.api.read(kind, one, place), undefined),
      );
    }

    /** Runs what a recorded Command declares for a step, on the real cluster. */
    async function command(
      resource: string,
      step: Step,
      variant: Variant = "by app",
      using: Clients = clients,
    ): Promise<unknown> {
      const { inputs } = await registered(resource, variant);
      const verb = verbOf(inputs[step]) ?? "";
      return JSON.parse(await dispatch(verb, String(reveal(inputs.stdin)), () => using)) as unknown;
    }
  });
}

/** The Service as the program registers it for the cluster that has this one: with its UID, where the recording has that of the pretend home. */
async function declaredFor(variant: Variant, { metadata }: V1Service): Promise<Registration> {
  const registration = await registered("ingress-own-service", variant);
  const inputs = structuredClone(registration.inputs) as { metadata: { annotations: Record<string, string> } };
  inputs.metadata.annotations[takenOver] = metadata?.uid ?? "";
  return { ...registration, inputs };
}

async function registered(resource: string, variant: Variant = "by app"): Promise<Registration> {
  const { services } = await recordingOf(combination(variant));
  const found = services.find((one) => one.name === resource);
  assert.ok(found, `${resource} is not registered`);
  return found;
}

/** The same, with this in its spec. */
function changed(registration: Registration, spec: object): Registration {
  const { inputs } = registration;
  return { ...registration, inputs: { ...inputs, spec: { ...(reveal(inputs.spec) as object), ...spec } } };
}

const quick = { now: () => Date.now(), sleep: async () => void (await pause(50)) };

/** A clock on which time passes by waiting alone. */
function hurried(): Clients["clock"] {
  let now = 0;
  return { now: () => now, sleep: async (milliseconds) => void (now += milliseconds) };
}

/** The API, with some of its verbs done otherwise. */
function instead(api: KubernetesApi, otherwise: Partial<KubernetesApi>): KubernetesApi {
  return new Proxy(api, {
    get(target, key) {
      const replaced: unknown = Reflect.get(otherwise, key);
      if (replaced !== undefined) return replaced;
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** What a refusal says; anything else is thrown on. */
async function refuses(run: Promise<unknown>, what: RegExp, next: RegExp, why = /./): Promise<Refusal["parts"]> {
  const error = await run.then(
    () => assert.fail("it was let pass"),
    (reason: unknown) => reason,
  );
  if (!(error instanceof Refusal)) throw error;
  assert.match(error.parts.what, what);
  assert.match(error.parts.why, why);
  assert.match(error.parts.next, next);
  return error.parts;
}

/** What each manager owned before and does not any more, also not under the name that it has while the Service is taken over. */
function lostFields(before: V1Service, after: V1Service): Record<string, string[]> {
  const now = owners(after);
  const owned = (manager: string): string[] => now[manager] ?? now[`home-cluster/${manager}`] ?? [];
  const losses = Object.entries(owners(before)).map(
    ([manager, fields]) => [manager, fields.filter((field) => !owned(manager).includes(field))] as const,
  );
  return Object.fromEntries(losses.filter(([, fields]) => fields.length > 0));
}

/** Our entry of the managed fields, its time with it. */
function entryOf({ metadata }: V1Service): unknown {
  return metadata?.managedFields?.filter(({ manager }) => ours.test(manager ?? ""));
}

function portsOf({ spec }: V1Service): Record<string, unknown> {
  return Object.fromEntries((spec?.ports ?? []).map((entry) => [entry.name ?? "", entry.nodePort]));
}

function otherService({ spec }: { readonly spec: object }): V1Service {
  const metadata = { name: "other", namespace: "default" };
  return { apiVersion: "v1", kind: "Service", metadata, spec: { type: "NodePort", ...spec } };
}
