import assert from "node:assert/strict";
import { createServer, type Server } from "node:https";
import { setTimeout as pause } from "node:timers/promises";
import type { CoreV1Event, V1Service } from "@kubernetes/client-node";
import { ApiRefusal, type Clients, type Kind, type KubernetesApi, type StoredObject } from "../../operations/clients";
import * as kinds from "../../operations/kinds";
import { ingressAnswers } from "../../operations/load-balancer/ingress-answers";
import { addressAnnotation, poolAnnotation } from "../../operations/load-balancer/names";
import { webhookReady } from "../../operations/load-balancer/webhook-ready";
import { Refusal } from "../../operations/refusal";
import { VirtualClock } from "../../rehearsal/home/clock";
import { reveal, type Registration } from "../../rehearsal/record";
import { environment } from "../support/environment";
import { ApiClient } from "./lab/api-client";
import { Authority, type Pair } from "./lab/certificates";
import { fileOf, recordingOf, type Combination } from "./lab/combinations";
import { ControlPlane, minors } from "./lab/control-plane";
import { deployments, MetalLb, metallbNamespace, webhookConfigurations, webhookHost, webhookPort } from "./lab/metallb";
import { addNodes } from "./lab/nodes";
import { until } from "./lab/processes";
import { objectOf, Provider, type Write } from "./lab/provider";

const combination: Combination = {
  environment: "home",
  distribution: "rke1",
  controller: "nginx",
  service: { existing: false, selector: "app" },
};
const file = fileOf(combination);
const { address, pool } = file.ingress;
const events: Kind<CoreV1Event> = { apiVersion: "v1", kind: "Event" };
const pools: Kind<StoredObject & { spec?: Record<string, unknown> }> = {
  apiVersion: "metallb.io/v1beta1",
  kind: "IPAddressPool",
};
const gate = { namespace: metallbNamespace, revision: 1 };

for (const minor of minors) {
  describe(`MetalLB's controller and its webhook on the ${minor} API server (no speaker, no Helm, no kubelet: that an address answers is not shown)`, () => {
    let plane: ControlPlane;
    let metallb: MetalLb;
    let raw: ApiClient;
    let provider: Provider;
    let declared: {
      readonly pools: readonly Registration[];
      readonly service: Registration;
      readonly settings: unknown;
    };

    before(async () => {
      plane = await ControlPlane.start({ minor, callsEndpoints: true });
      await addNodes(plane.api, [{ name: "debian-1", labels: kinds.debianLabels }]);
      raw = new ApiClient(plane.kubeconfigFor("provider", ["system:masters"]));
      provider = new Provider(raw, false);
      declared = await declaredByTheProgram();
      metallb = await MetalLb.install(plane);
    });

    after(async () => {
      raw?.close();
      metallb?.leave();
      await plane?.stop();
    });

    afterEach("no part has ended", () => assert.deepEqual(plane.casualties(), []));

    describe("the race: the release is ready, its webhook is not", () => {
      const heard: string[] = [];
      let waiting: Promise<unknown>;
      let opened = false;
      let standIn: Server | undefined;

      afterEach(async () => {
        await closed(standIn);
        standIn = undefined;
      });

      it("the webhook refuses when it cannot be asked, for every kind that the program makes", async () => {
        const { webhooks = [] } = (await plane.api.read(webhookConfigurations, "metallb-webhook-configuration")) ?? {};
        const kindsOf = webhooks.flatMap(({ rules, failurePolicy }) =>
          (rules ?? []).flatMap(({ resources = [] }) => resources.map((resource) => `${resource} ${failurePolicy}`)),
        );
        assert.deepEqual(kindsOf.sort(), [
          "bfdprofiles Fail",
          "bgpadvertisements Fail",
          "bgppeers Fail",
          "communities Fail",
          "ipaddresspools Fail",
          "l2advertisements Fail",
        ]);
      });

      it("without the gate the update fails: the release counts as ready, and the first pool is refused at once", async () => {
        const { status } = (await plane.api.read(deployments, "controller", metallbNamespace)) ?? {};
        assert.equal(status?.readyReplicas, 1);
        const [refused] = await provider.create(first(declared.pools));
        assert.match(
          refused?.refused ?? "",
          /failed calling webhook "ipaddresspoolvalidationwebhook\.metallb\.io".*connect: connection refused/,
        );
      });

      it("the gate waits while nobody listens", async () => {
        waiting = webhookReady.run(gate, clientsOf(hearing(plane.api, heard))).then((result) => {
          opened = true;
          return result;
        });
        // A test that fails before it waits for it must say why itself.
        waiting.catch(() => undefined);
        await waitsThrough(/connect: connection refused/);
      });

      it("… while the Service has no endpoint", async () => {
        await metallb.ready(false);
        await waitsThrough(/no endpoints available for service "metallb-webhook-service"/);
        await metallb.ready(true);
      });

      it("… while nobody vouches for the certificate, since the configuration names no authority yet", async () => {
        standIn = await answering(metallb.address, authority("unknown").server(`DNS:${webhookHost}`), 200);
        await waitsThrough(/x509: certificate signed by unknown authority/);
      });

      it("… while the certificate is another's: an authority that is not the one of the configuration, or another name", async () => {
        const old = authority("old");
        await trust(old.ca);
        standIn = await answering(metallb.address, authority("new").server(`DNS:${webhookHost}`), 200);
        await waitsThrough(/x509: certificate signed by unknown authority/);
        await closed(standIn);
        standIn = await answering(metallb.address, old.server("DNS:elsewhere.metallb-system.svc"), 200);
        await waitsThrough(/x509: certificate is valid for elsewhere/);
      });

      for (const status of [503, 404] as const) {
        it(`… while something answers with ${status}`, async () => {
          const trusted = authority(`trusted-${status}`);
          await trust(trusted.ca);
          standIn = await answering(metallb.address, trusted.server(`DNS:${webhookHost}`), status);
          await waitsThrough(
            status === 503 ? /currently unable to handle the request/ : /could not find the requested resource/,
          );
        });
      }

      it("… while MetalLB runs, is ready, and has no certificate yet", async () => {
        await metallb.start();
        await until("it has put its authority into the configuration", async () => {
          const { webhooks = [] } =
            (await plane.api.read(webhookConfigurations, "metallb-webhook-configuration")) ?? {};
          const [one] = webhooks;
          const text = Buffer.from(one?.clientConfig.caBundle ?? "", "base64").toString();
          assert.match(text, /BEGIN CERTIFICATE/);
          assert.notEqual(text, authority("trusted-404").ca);
        });
        await waitsThrough(/connect: connection refused/);
      });

      it("opens once MetalLB admits, and then every pool and announcement is taken at the first try, and its update", async () => {
        await metallb.mount();
        await opens();
        assert.deepEqual(await waiting, { namespace: metallbNamespace });
        for (const registration of declared.pools) (await provider.create(registration)).forEach(accepted);
        for (const registration of declared.pools) accepted(await provider.update(registration));
        const [live] = await plane.api.list(pools, { namespace: metallbNamespace });
        assert.deepEqual(live?.spec, objectSpec(first(declared.pools)));
        // The gate tried with one of its own, and kept none.
        assert.equal(
          (await plane.api.list(pools, { namespace: metallbNamespace })).length,
          file.loadBalancer.pools.length,
        );
      });

      it("an upgrade is a race again: without the gate the pool's update fails, after it it does not", async () => {
        await metallb.kill();
        const { refused } = await provider.update(first(declared.pools));
        assert.match(refused ?? "", /failed calling webhook .*connect: connection refused/);
        heard.length = 0;
        opened = false;
        waiting = webhookReady
          .run({ ...gate, revision: 2 }, clientsOf(hearing(plane.api, heard)))
          .then(() => (opened = true));
        waiting.catch(() => undefined);
        await waitsThrough(/connect: connection refused/);
        await metallb.start();
        await metallb.mount();
        await opens();
        for (const registration of declared.pools) accepted(await provider.update(registration));
      });

      it("says at once what the webhook refuses for its content, and what is wrong is refused to everybody", async () => {
        const spec = { addresses: ["192.0.2.0/30"] };
        const other = { ...pools, metadata: { name: "documentation", namespace: metallbNamespace }, spec };
        await plane.api.create(other);
        try {
          const error = await webhookReady.run(gate, clientsOf(plane.api)).then(
            () => assert.fail("it was let pass"),
            (reason: unknown) => reason,
          );
          assert.ok(error instanceof Refusal, String(error));
          assert.match(error.parts.what, /answers, and refuses a pool/);
          assert.match(error.parts.why, /denied the request.*overlaps/);
        } finally {
          await drop(other);
        }
        await until("it is gone", async () =>
          assert.equal(await plane.api.read(pools, "documentation", metallbNamespace), undefined),
        );
        const overlapping = { ...other, spec: { addresses: [`${address}/32`] } };
        await assert.rejects(plane.api.create(overlapping), /denied the request.*overlaps/);
      });

      async function waitsThrough(what: RegExp): Promise<void> {
        heard.length = 0;
        await until(`the gate hears ${what}`, () => {
          assert.equal(opened, false, `the gate has opened; it heard ${heard.at(-1)}`);
          assert.ok(
            heard.some((message) => what.test(message)),
            heard.at(-1),
          );
        });
        assert.equal(opened, false);
      }

      async function opens(): Promise<void> {
        await until("the gate opens", () => assert.ok(opened, `${heard.at(-1)}\n${metallb.lastLines()}`));
      }

      const authorities = new Map<string, Authority>();
      function authority(name: string): Authority {
        const found = authorities.get(name) ?? new Authority(plane.folderOf(`authority-${name}`));
        authorities.set(name, found);
        return found;
      }

      /** Puts an authority into every webhook's configuration, as an earlier MetalLB has left its own. */
      async function trust(ca: string): Promise<void> {
        const live = await plane.api.read(webhookConfigurations, "metallb-webhook-configuration");
        const caBundle = Buffer.from(ca).toString("base64");
        const webhooks = live?.webhooks?.map((one) => ({ ...one, clientConfig: { ...one.clientConfig, caBundle } }));
        await plane.api.patch(webhookConfigurations, "metallb-webhook-configuration", { webhooks });
      }
    });

    describe("the ingress Service's address", () => {
      before(async () => {
        await plane.namespace(namespaceOf(declared.service));
        await plane.namespace("games");
      });

      it("is exactly the one that the file says, of a pool that is as declared", async () => {
        assert.deepEqual((await plane.api.read(pools, pool, metallbNamespace))?.spec, {
          addresses: ["192.168.40.2-192.168.40.5"],
          autoAssign: false,
          avoidBuggyIPs: false,
          serviceAllocation: {
            namespaces: ["ingress-nginx"],
            serviceSelectors: [{ matchLabels: { "home-cluster/address": "ingress" } }],
          },
        });
        (await provider.create(declared.service)).forEach(accepted);
        await has(address);
      });

      for (const [title, thief] of Object.entries(thieves())) {
        it(`stays when ${title} comes after it, which gets none`, async () => {
          await plane.api.create(thief("after"));
          await getsNone(thief("after"));
          await has(address);
          assert.deepEqual(written(), [address]);
        });
      }

      it("stays over a restart of the controller, with others that came meanwhile", async () => {
        await metallb.kill();
        for (const thief of Object.values(thieves())) await plane.api.create(thief("meanwhile"));
        await metallb.start();
        await metallb.mount();
        await webhookReady.run(gate, clientsOf(plane.api));
        for (const thief of Object.values(thieves())) await getsNone(thief("meanwhile"));
        await has(address);
        assert.deepEqual(written(), [address]);
      });

      it("is there for it when it comes after all of them", async () => {
        await withdraw(declared.service);
        for (const thief of Object.values(thieves())) await plane.api.create(thief("before"));
        for (const thief of Object.values(thieves())) await getsNone(thief("before"));
        (await provider.create(declared.service)).forEach(accepted);
        await has(address);
        for (const thief of Object.values(thieves()))
          for (const when of ["after", "meanwhile", "before"]) {
            const { name = "", namespace } = thief(when).metadata ?? {};
            assert.deepEqual(ipsOf(await plane.api.read(kinds.services, name, namespace)), [], name);
          }
      });

      it("stays when its pool grows, and when another pool for everybody comes, from which the others get theirs", async () => {
        const others = { ...pools, metadata: { name: "others", namespace: metallbNamespace } };
        accepted(await provider.update(withSpec(first(declared.pools), { addresses: ["192.168.40.2-192.168.40.6"] })));
        await plane.api.create({ ...others, spec: { addresses: ["192.168.40.10-192.168.40.19"] } });
        const { name = "", namespace } = first(Object.values(thieves()))("after").metadata ?? {};
        await until("another Service has one of the other pool", async () => {
          const [ip = ""] = ipsOf(await plane.api.read(kinds.services, name, namespace));
          assert.match(ip, /^192\.168\.40\.1\d$/);
        });
        await has(address);
        await drop({ ...others });
        accepted(await provider.update(first(declared.pools)));
      });

      it("outside its pool is refused before anything is registered, and MetalLB would give none", async () => {
        const outside = "192.168.40.6";
        assert.throws(
          () => environment("home", (raw) => (raw.ingress.address = outside)),
          /ingress\.address: 192\.168\.40\.6: is not in pool default/,
        );
        await withdraw(declared.service);
        const service = objectOf(declared.service) as V1Service;
        const annotations = { ...service.metadata?.annotations, [addressAnnotation]: outside };
        const other = { ...service, metadata: { ...service.metadata, annotations } };
        await plane.api.create(other);
        await getsNone(other, /"192\.168\.40\.6"\] is not allowed in config/);
        // And the program's last step says so, where the engine would be content.
        const error = await ingressAnswers
          .run(ingressAnswers.schema.parse(declared.settings), impatient())
          .catch((reason: unknown) => reason);
        assert.ok(error instanceof Refusal, String(error));
        assert.match(error.parts.why, /address is missing, not 192\.168\.40\.5/);
        await drop(other);
        await goneFrom(other);
      });

      it("goes to whoever asks first where the pool is not declared as it is: what the declaration is for", async () => {
        const careless = { spec: { autoAssign: null, serviceAllocation: null } };
        await plane.api.patch(pools, pool, careless, metallbNamespace);
        await until("somebody else has the address", async () => {
          const live = await plane.api.list(kinds.services);
          assert.ok(live.some((service) => ipsOf(service).includes(address)));
        });
        (await provider.create(declared.service)).forEach(accepted);
        await getsNone(objectOf(declared.service));
      });

      async function has(expected: string): Promise<void> {
        const { name = "", namespace } = objectOf(declared.service).metadata ?? {};
        await until(`${name} has ${expected}`, async () => {
          const live = await plane.api.read(kinds.services, name, namespace);
          assert.deepEqual(ipsOf(live), [expected], metallb.lastLines());
        });
      }

      /** MetalLB has decided that it gets no address, and said so. */
      async function getsNone(service: V1Service, why = /^Failed to allocate IP for /): Promise<void> {
        const { name = "", namespace = "" } = service.metadata ?? {};
        const live = await plane.api.read(kinds.services, name, namespace);
        await until(`MetalLB refuses ${namespace}/${name}`, async () => {
          const said = (await plane.api.list(events, { namespace })).filter(
            ({ involvedObject, reason }) => involvedObject.uid === live?.metadata?.uid && reason === "AllocationFailed",
          );
          assert.ok(
            said.some(({ message = "" }) => why.test(message)),
            `${JSON.stringify(said.map(({ message }) => message))}\n${metallb.lastLines()}`,
          );
        });
        assert.deepEqual(ipsOf(await plane.api.read(kinds.services, name, namespace)), []);
      }

      /** Every address that anybody has ever written into the status of the Service: what a client would have seen, however briefly. */
      function written(): string[] {
        const { name, namespace } = objectOf(declared.service).metadata ?? {};
        const writes = plane
          .audit()
          .filter(
            ({ objectRef, verb }) =>
              objectRef?.resource === "services" &&
              objectRef.subresource === "status" &&
              objectRef.name === name &&
              objectRef.namespace === namespace &&
              ["update", "patch"].includes(verb),
          );
        assert.ok(writes.length > 0);
        return [...new Set(writes.map(({ requestObject }) => ipsOf(requestObject as V1Service).join(" ")))];
      }

      async function withdraw(registration: Registration): Promise<void> {
        await provider.remove(registration);
        await goneFrom(objectOf(registration));
      }

      async function goneFrom({ metadata }: StoredObject): Promise<void> {
        await until(`${metadata?.name} is gone`, async () =>
          assert.equal(await plane.api.read(kinds.services, metadata?.name ?? "", metadata?.namespace), undefined),
        );
      }

      /** Its ten minutes pass at once. */
      function impatient(): Clients {
        return { ...clientsOf(plane.api), clock: new VirtualClock(0) };
      }
    });

    /** Without waiting for the garbage collector, which takes its time to know a new kind. */
    async function drop(object: StoredObject): Promise<void> {
      const { status } = await raw.send("DELETE", (await raw.paths(object)).one);
      assert.equal(status, 200);
    }

    function clientsOf(kubernetes: KubernetesApi): Clients {
      const clock = { now: () => Date.now(), sleep: async () => void (await pause(50)) };
      return { kubernetes, clock, log: () => undefined } as unknown as Clients;
    }
  });
}

/** What the recorded program declares: pools and announcements in its order, the Service, and what its last step waits for. */
async function declaredByTheProgram(): Promise<{ pools: Registration[]; service: Registration; settings: unknown }> {
  const { services } = await recordingOf(combination);
  const ofType = (type: string): Registration[] => services.filter((one) => one.type.startsWith(type));
  const answers = services.find(({ name }) => name === "ingress-answers");
  const { input } = JSON.parse(String(reveal(answers?.inputs.stdin))) as { input: unknown };
  return {
    pools: ofType("kubernetes:metallb.io/"),
    service: first(ofType("kubernetes:core/v1:Service").filter(({ name }) => name.startsWith("ingress"))),
    settings: input,
  };
}

/** Other Services that want an address, by what they ask for. */
function thieves(): Record<string, (when: string) => V1Service> {
  const service =
    (name: string, annotations: Record<string, string>, more: Partial<V1Service["spec"]> = {}, namespace = "games") =>
    (when: string): V1Service => ({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: `${name}-${when}`, namespace, annotations },
      spec: {
        type: "LoadBalancer",
        selector: { app: "game" },
        ports: [{ port: 2456, protocol: "UDP" }],
        // Kubernetes would draw one, and now and then that of the ingress Service while it is away.
        allocateLoadBalancerNodePorts: false,
        ...more,
      },
    });
  return {
    "one that asks for nothing": service("any", {}),
    "one that asks for the same address": service("same", { [addressAnnotation]: address }),
    "one that asks for it by the old field": service("field", {}, { loadBalancerIP: address }),
    "one that offers to share it": service("shared", {
      [addressAnnotation]: address,
      "metallb.io/allow-shared-ip": "ingress",
    }),
    "one that asks for the pool": service("pool", { [poolAnnotation]: pool }),
    "one beside it, in its own namespace": service("beside", { [addressAnnotation]: address }, {}, "ingress-nginx"),
  };
}

function accepted({ what, refused, warnings }: Write): void {
  assert.deepEqual([refused, warnings], [undefined, []], what);
}

function ipsOf(service: V1Service | undefined): string[] {
  return (service?.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
}

function objectSpec(registration: Registration): unknown {
  return { avoidBuggyIPs: false, ...(objectOf(registration) as { spec?: object }).spec };
}

/** As the program declares it once the file says something else. */
function withSpec(registration: Registration, change: object): Registration {
  const { spec } = registration.inputs as { spec?: object };
  return { ...registration, inputs: { ...registration.inputs, spec: { ...spec, ...change } } };
}

function namespaceOf(registration: Registration): string {
  return objectOf(registration).metadata?.namespace ?? "";
}

function first<T>(items: readonly T[]): T {
  const [item] = items;
  if (item === undefined) throw new Error("there is none");
  return item;
}

/** The API, and what it refused. */
function hearing(api: KubernetesApi, heard: string[]): KubernetesApi {
  return {
    create: (object: StoredObject, options: object) =>
      api.create(object, options).catch((error: unknown) => {
        if (error instanceof ApiRefusal) heard.push(error.message);
        throw error;
      }),
  } as unknown as KubernetesApi;
}

/** Something that is not MetalLB, where MetalLB's webhook should be. */
async function answering(host: string, { key, cert }: Pair, status: number): Promise<Server> {
  const server = createServer({ key, cert }, (_, response) => response.writeHead(status).end());
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(webhookPort, host, resolve));
  return server;
}

async function closed(server: Server | undefined): Promise<void> {
  if (!server?.listening) return;
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
