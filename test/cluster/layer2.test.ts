import assert from "node:assert/strict";
import type { V1Service } from "@kubernetes/client-node";
import type { EnvironmentFile } from "../../environment/schema";
import type { Kind } from "../../operations/clients";
import * as kinds from "../../operations/kinds";
import { ingressPodLabels } from "../../rehearsal/home/build";
import { environment } from "../support/environment";
import { needs, skip } from "../support/needs";
import { kubernetesModules } from "./lab/build";
import { ControlPlane, type Minor } from "./lab/control-plane";
import { declaredFor, provisioningSettings, type Declared } from "./lab/declared";
import { cannotProxy, type ProxyMode } from "./lab/kernel";
import { LoadBalancer, podOn } from "./lab/load-balancer";
import { metallbNamespace } from "./lab/metallb";
import { HomeNetwork, places, type Place } from "./lab/network";
import { setPodReady } from "./lab/nodes";
import { failover, silenceWhile, spread } from "./lab/outages";
import { until } from "./lab/processes";
import { Visitor } from "./lab/visitor";

/** home with a fourth node that has no card in the pool's network. By MetalLB's own order it would be the first to announce. */
const file = environment("home", (given) => {
  const [first] = given.nodes;
  if (!first) throw new Error("home has no nodes");
  given.nodes.push({
    ...structuredClone(first),
    name: "debian-4",
    vmId: 204,
    memory: 4,
    roles: ["worker"],
    cards: [{ network: "servers", address: "192.168.10.24", mac: "BC:24:11:00:10:24" }],
  } satisfies EnvironmentFile["nodes"][number]);
});
const { address, healthCheckNodePort = 0 } = file.ingress;
const { namespace } = ingressPodLabels(file);

/** MetalLB prefers nodes by the SHA-256 of name, # and address (speaker/layer2_controller.go, ShouldAnnounce). */
const [best, second, third, cardless] = ["debian-2", "debian-3", "debian-1", "debian-4"] as const;

const l2Advertisements: Kind = { apiVersion: "metallb.io/v1beta1", kind: "L2Advertisement" };

interface Variant {
  readonly minor: Minor;
  readonly mode: ProxyMode;
  readonly programs: readonly string[];
  /** Whether it also tries what is MetalLB's alone and takes most of the time: which kube-proxy there is makes no difference to it. */
  readonly elections: boolean;
}

const variants: readonly Variant[] = [
  { minor: "newest", mode: "nftables", programs: ["nft"], elections: true },
  { minor: "newest", mode: "iptables", programs: ["nft", "iptables"], elections: false },
  { minor: "oldest", mode: "iptables", programs: ["nft", "iptables"], elections: false },
];

/** Of three events each. */
const rounds = 3;

for (const { minor, mode, programs, elections } of variants) {
  const { version } = kubernetesModules()[minor];

  describe(`layer 2 with MetalLB's speakers and kube-proxy ${version} by ${mode} (proves nothing of real switches, of Calico's own rules, or of an ingress controller)`, function () {
    let network: HomeNetwork;
    let plane: ControlPlane;
    let balancer: LoadBalancer;
    let declared: Declared;
    const visitors = {} as Record<Place, Visitor>;

    /** Which pod answers there, and whom it sees; "nothing" where no answer comes. */
    const answerTo = async (place: Place, port = 80): Promise<string> => {
      const { body } = await visitors[place].ask(`http://${address}:${port}/`);
      if (body === undefined) return "nothing";
      const { pod, peer } = JSON.parse(body) as { pod: string; peer: string };
      return `${pod} sees ${peer}`;
    };
    const answers = (place: Place, expected: string, port = 80): Promise<void> =>
      until(`the answer to ${place} is: ${expected}`, async () => assert.equal(await answerTo(place, port), expected));
    const announced = (...nodes: string[]): Promise<void> =>
      until(`${nodes.join(", ") || "nobody"} announces in the pool's network`, () =>
        assert.deepEqual(network.whoAnswersFor(address, "dmz"), nodes),
      );
    const ready = (node: string, value: boolean): Promise<void> =>
      setPodReady(plane.api, podOn(node), namespace, value);

    /** A node that dies while another is doubted is found dead sooner. */
    const untroubled = (): Promise<void> =>
      until("no speaker has doubted another for 5 s", () => assert.ok(balancer.undoubted() > 5));

    before(async function () {
      this.timeout(300_000);
      needs(this, "busybox", "nsenter", "sysctl", ...programs);
      const cannot = cannotProxy(mode);
      if (cannot !== undefined) skip(this, cannot);
      declared = await declaredFor(file);
      network = await HomeNetwork.build(file);
      plane = await ControlPlane.start({ minor, address: network.address });
      balancer = await LoadBalancer.start(plane, network, file, { minor, mode });
      for (const place of places) visitors[place] = Visitor.start(network.clients[place].enter);
      for (const object of [...declared.pools, declared.service]) await plane.api.create(object);
      for (const { name } of network.nodes) {
        await balancer.addPod(name);
        await balancer.startNode(name);
      }
    });

    after(async () => {
      for (const visitor of Object.values(visitors)) visitor.stop();
      await balancer?.stop();
      await plane?.stop();
      network?.stop();
    });

    afterEach("no part has ended", () => assert.deepEqual([...balancer.casualties(), ...plane.casualties()], []));

    it("the Service has exactly its address, and the node that MetalLB prefers announces it, alone", async () => {
      await until("the Service has its address", async () => {
        const live = await plane.api.read<V1Service>(kinds.services, declared.service.metadata?.name ?? "", namespace);
        assert.deepEqual(
          live?.status?.loadBalancer?.ingress?.map(({ ip }) => ip),
          [address],
        );
      });
      await announced(best);
    });

    it("without the routing of provisioning, who comes through the router gets no answer: it comes back by the wrong network, where the router's filter drops it", async () => {
      await answers("dmz", `${podOn(best)} sees 192.168.40.150`);
      const before = network.droppedByFilter();
      network.countFrom(address);
      assert.equal(await answerTo("outside"), "nothing");
      assert.deepEqual(network.cameBy(), ["servers"]);
      assert.ok(network.droppedByFilter() > before, "the router dropped nothing");
      // Beside the nodes the answer arrives, but not through the router, which lets nothing more of such a connection pass.
      assert.equal(await answerTo("servers"), "nothing");
    });

    it("with it, clients of every network are answered on both ports and through the pool's network, and the pod sees their own addresses", async () => {
      for (const spec of file.nodes) network.node(spec.name).provisionRouting(await provisioningSettings(file, spec));
      network.countFrom(address);
      await answers("outside", `${podOn(best)} sees 203.0.113.9`);
      await answers("outside", `${podOn(best)} sees 203.0.113.9`, 443);
      await answers("servers", `${podOn(best)} sees 192.168.10.150`);
      await answers("dmz", `${podOn(best)} sees 192.168.40.150`);
      assert.deepEqual(network.cameBy(), ["dmz"]);
    });

    it("a node without a pod does not announce, and its healthCheckNodePort says so", async () => {
      const healthIs = (node: string, expected: number): Promise<void> =>
        until(`the health check of ${node} says ${expected}`, async () => {
          const url = `http://${network.node(node).address}:${healthCheckNodePort}/`;
          assert.equal((await visitors.servers.ask(url)).status, expected);
        });
      await balancer.removePod(best);
      await announced(second);
      await answers("outside", `${podOn(second)} sees 203.0.113.9`);
      await healthIs(best, 503);
      await healthIs(second, 200);
      await balancer.addPod(best);
      await announced(best);
      await answers("outside", `${podOn(best)} sees 203.0.113.9`);
      await healthIs(best, 200);
    });

    it("a node whose pod is not ready does not announce", async () => {
      await ready(best, false);
      await announced(second);
      await answers("outside", `${podOn(second)} sees 203.0.113.9`);
      await ready(second, false);
      await announced(third);
      await answers("outside", `${podOn(third)} sees 203.0.113.9`);
    });

    it("a card that was down has lost its routes: nobody from outside is answered until the routing's next run", async () => {
      for (const node of [second, best]) await ready(node, true);
      await announced(best);
      await answers("outside", `${podOn(best)} sees 203.0.113.9`);
      const node = network.node(best);
      node.disconnect();
      node.connect();
      await answers("dmz", `${podOn(best)} sees 192.168.40.150`);
      // Who was asked last, perhaps in the place of a node that was away for long.
      network.forgetNeighbours();
      assert.equal(await answerTo("outside"), "nothing");
      node.refreshRouting();
      await answers("outside", `${podOn(best)} sees 203.0.113.9`);
    });

    it("a pod in its node's own network is answered the same way", async () => {
      await balancer.removePod(best);
      await balancer.addPod(best, { hostNetwork: true });
      await announced(best);
      network.countFrom(address);
      await answers("outside", `${podOn(best)} sees 203.0.113.9`);
      await answers("servers", `${podOn(best)} sees 192.168.10.150`);
      assert.deepEqual(network.cameBy(), ["dmz"]);
    });

    it("with externalTrafficPolicy Cluster, a pod on another node is answered through the announcing one, whose address it sees", async () => {
      const policy = (externalTrafficPolicy: string): Promise<unknown> =>
        plane.api.patch(
          kinds.services,
          declared.service.metadata?.name ?? "",
          { spec: { externalTrafficPolicy } },
          namespace,
        );
      await policy("Cluster");
      for (const node of [best, second, cardless]) await ready(node, false);
      await announced(best);
      network.countFrom(address);
      await answers("outside", `${podOn(third)} sees ${network.node(best).address}`);
      assert.deepEqual(network.cameBy(), ["dmz"]);
      for (const node of [best, second, cardless]) await ready(node, true);
      await policy("Local");
      await announced(best);
      await answers("outside", `${podOn(best)} sees 203.0.113.9`);
    });

    if (elections) {
      it("when the announcing node dies, another takes over, also from a second that dies; when they are back, all is as before (asserts no time)", async function () {
        this.timeout(600_000);
        const client = { visitor: visitors.outside, url: `http://${address}:80/` };
        /** Kills a node, after which its heir announces, alone, and answers. */
        const kill = async (node: string, heir: string): Promise<number> => {
          const time = await failover(client, () => balancer.kill(node));
          await announced(heir);
          await answers("outside", `${podOn(heir)} sees 203.0.113.9`);
          return time;
        };
        const [one, two, back]: [number[], number[], number[]] = [[], [], []];
        for (let round = 0; round < rounds; round += 1) {
          await untroubled();
          one.push(await kill(best, second));
          two.push(await kill(second, third));
          await balancer.revive(second);
          await announced(second);
          await untroubled();
          const isBack = (body: string): boolean => body.includes(`"${podOn(best)}"`);
          back.push(await silenceWhile(client, () => balancer.revive(best), isBack));
          await announced(best);
        }
        console.log(`      failover when the announcing node dies, ${spread(one)}`);
        console.log(`      failover when the next one dies before the first is back, ${spread(two)}`);
        console.log(`      longest silence when the preferred node is back and takes over again, ${spread(back)}`);
      });

      it("the node without the card is kept out by the announcement's node selector, also where it has the only ready pod; without that selector it is preferred, and the address is silent", async () => {
        // The program lets no speaker run there: this is about its second line of defence.
        await balancer.startSpeaker(cardless);
        const advertisement = declared.pools.find(({ kind }) => kind === "L2Advertisement");
        const { nodeSelectors } = (advertisement as { spec?: { nodeSelectors?: unknown } }).spec ?? {};
        const select = (selectors: unknown, interfaces: readonly string[] = []): Promise<unknown> =>
          plane.api.patch(
            l2Advertisements,
            file.ingress.pool,
            { spec: { nodeSelectors: selectors, interfaces } },
            metallbNamespace,
          );
        // Its card's name instead does not help: the node is preferred all the same, and then has no such card.
        await select([], [network.node(best).card("dmz")?.device ?? ""]);
        await announced();
        assert.deepEqual(network.whoAnswersFor(address, "servers"), []);
        await select([]);
        await until("it announces where it has a card", () =>
          assert.deepEqual(network.whoAnswersFor(address, "servers"), [cardless]),
        );
        assert.deepEqual(network.whoAnswersFor(address, "dmz"), []);
        network.forgetNeighbours();
        assert.equal(await answerTo("outside"), "nothing");
        await select(nodeSelectors);
        await announced(best);
        await answers("outside", `${podOn(best)} sees 203.0.113.9`);
        for (const node of [best, second, third]) await ready(node, false);
        await announced();
        assert.deepEqual(network.whoAnswersFor(address, "servers"), []);
        network.forgetNeighbours();
        assert.equal(await answerTo("outside"), "nothing");
      });
    }
  });
}
