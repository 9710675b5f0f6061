import assert from "node:assert/strict";
import { ApiRefusal, type Clients, type KubernetesApi, type StoredObject } from "../../../../operations/clients";
import { webhookReady } from "../../../../operations/load-balancer/webhook-ready";
import { Refusal } from "../../../../operations/refusal";
import { VirtualClock } from "../../../../rehearsal/home/clock";
import { environment } from "../../../support/environment";
import { lbHome } from "../../../support/load-balancer";

const input = { namespace: "metallb-system" };

/** An API server that answers attempts in turn: an error to throw, or true to admit; the last one for ever. */
function answering(...answers: readonly (Error | true)[]) {
  const tried: { object: StoredObject; dryRun: boolean | undefined; at: number }[] = [];
  const clock = new VirtualClock(0);
  const create: KubernetesApi["create"] = async (object, options) => {
    const answer = answers[Math.min(tried.length, answers.length - 1)];
    tried.push({ object, dryRun: options?.dryRun, at: clock.now() });
    if (answer instanceof Error) throw answer;
    return object;
  };
  const clients = { kubernetes: { create }, clock, log: () => undefined } as unknown as Clients;
  return { tried, clock, clients };
}

const noEndpoints = new ApiRefusal(
  500,
  "InternalError",
  'Internal error occurred: failed calling webhook "ipaddresspoolvalidationwebhook.metallb.io": no endpoints available',
);

describe("webhook-ready (pretend API server: does not prove what a real webhook says)", () => {
  it("waits through a release whose webhook does not answer yet, and makes no object", async () => {
    const clients = await lbHome(environment("home"));
    clients.home.kubernetes.metallbAnswersAt = clients.clock.now() + 20_000;
    const before = clients.home.kubernetes.objects.length;
    assert.deepEqual(await webhookReady.run(input, clients), { namespace: "metallb-system" });
    assert.equal(clients.clock.now() - clients.home.kubernetes.metallbAnswersAt, 4_000);
    assert.equal(clients.home.kubernetes.objects.length, before);
  });

  it("tries a pool of an address that nobody has, in MetalLB's namespace, as a dry run", async () => {
    const { clients, tried } = answering(true);
    await webhookReady.run(input, clients);
    assert.deepEqual(tried[0], {
      object: {
        apiVersion: "metallb.io/v1beta1",
        kind: "IPAddressPool",
        metadata: { name: "home-cluster-probe", namespace: "metallb-system" },
        spec: { addresses: ["192.0.2.1/32"], autoAssign: false },
      },
      dryRun: true,
      at: 0,
    });
    assert.deepEqual(
      tried.map(({ dryRun }) => dryRun),
      [true, true, true],
    );
  });

  it("wants three admissions in a row: one speaks for one API server", async () => {
    const { clients, tried } = answering(true, true, noEndpoints, true);
    await webhookReady.run(input, clients);
    assert.deepEqual(
      tried.map(({ at }) => at),
      [0, 2_000, 4_000, 6_000, 8_000, 10_000],
    );
  });

  const waited: readonly [string, Error][] = [
    ["no endpoints", noEndpoints],
    ["a certificate that is not there yet", new ApiRefusal(500, "InternalError", "failed calling webhook: x509: …")],
    ["no such kind yet", new ApiRefusal(404, "NotFound", 'no matches for kind "IPAddressPool"')],
    ["an API server that is away", new ApiRefusal(0, "Unreachable", "10.0.0.1:6443: ECONNREFUSED")],
    ["an API server that is busy", new ApiRefusal(429, "TooManyRequests", "try again")],
    [
      "a webhook that has not read the pools yet",
      new ApiRefusal(403, "Forbidden", "admission webhook denied the request: failed to get existing IPAddressPools"),
    ],
  ];
  for (const [title, error] of waited) {
    it(`waits for ${title}`, async () => {
      const { clients, tried } = answering(error, error, true);
      await webhookReady.run(input, clients);
      assert.equal(tried.length, 5);
    });
  }

  const refused: readonly [string, ApiRefusal][] = [
    [
      "the webhook refuses for its content",
      new ApiRefusal(403, "Forbidden", 'admission webhook "…" denied the request: CIDR "192.0.2.0/24" overlaps'),
    ],
    ["the schema refuses", new ApiRefusal(422, "Invalid", "IPAddressPool is invalid: spec.addresses")],
    ["the kubeconfig may not ask", new ApiRefusal(403, "Forbidden", 'User "x" cannot create resource')],
  ];
  for (const [title, error] of refused) {
    it(`shows at once what ${title}`, async () => {
      const { clients, tried } = answering(error);
      await assert.rejects(webhookReady.run(input, clients), (thrown: unknown) => {
        assert.ok(thrown instanceof Refusal);
        assert.equal(thrown.parts.why, error.message);
        return true;
      });
      assert.equal(tried.length, 1);
    });
  }

  it("does not take a bug for an answer", async () => {
    const { clients, tried } = answering(new TypeError("undefined is not a function"));
    await assert.rejects(webhookReady.run(input, clients), TypeError);
    assert.equal(tried.length, 1);
  });

  it("gives up after five minutes with what the API server said last", async () => {
    const { clients, clock } = answering(noEndpoints);
    await assert.rejects(webhookReady.run(input, clients), (thrown: unknown) => {
      assert.ok(thrown instanceof Refusal);
      assert.equal(thrown.parts.what, "MetalLB's webhook: not within 300 s");
      assert.match(thrown.parts.why, /no endpoints available/);
      assert.match(thrown.parts.next, /kubectl -n metallb-system logs deployment\/metallb-controller/);
      return true;
    });
    assert.equal(clock.now(), 300_000);
  });

  it("is the same for another revision: only the request changes", async () => {
    const { clients } = answering(true);
    assert.deepEqual(await webhookReady.run({ ...input, revision: 4 }, clients), { namespace: "metallb-system" });
  });
});
