import assert from "node:assert/strict";
import type { V1Lease, V1Node } from "@kubernetes/client-node";
import type { Clients } from "../../../../operations/clients";
import { leaseName, leaseNamespace } from "../../../../operations/cluster/lease";
import { leases, longhornNamespace } from "../../../../operations/kinds";
import { restartNode } from "../../../../operations/nodes/restart";
import { Refusal } from "../../../../operations/refusal";
import { pretendClients } from "../../../../rehearsal/home/clients";
import { VirtualClock } from "../../../../rehearsal/home/clock";
import type { HomeState } from "../../../../rehearsal/home/state";
import {
  add,
  addLonghornVolume,
  counted,
  find,
  migratedHome,
  nodeIn,
  podOn,
  rancherNode,
  refusalOf,
  standing,
  vmOf,
  type MigratedHome,
} from "../../../support/migrated-home";

type Input = Parameters<typeof restartNode.run>[0];

const input = (change: Partial<Input> = {}): Input => ({
  node: "debian-1",
  vm: { host: "pve", vmId: 201, mac: "BC:24:11:00:10:21" },
  allowed: true,
  wanted: { memory: 16 },
  ...change,
});

/** The migrated home with debian-1's memory changed, as the provider leaves it, and a pod on it. */
async function waiting(change: (home: HomeState) => void = () => undefined): Promise<MigratedHome> {
  const migrated = await migratedHome("home");
  Object.assign(vmOf(migrated.home, "debian-1"), { config: { memory: 12_288 }, pending: { memory: 16_384 } });
  add(migrated.home, podOn("debian-1", "web"));
  change(migrated.home);
  return migrated;
}

const annotationsOf = (home: HomeState): Record<string, string> => nodeIn(home, "debian-1").metadata?.annotations ?? {};
const machines = (home: HomeState): unknown => structuredClone([home.proxmox.vms, standing(home)]);

/** What there is to see of a restart that ended well. */
function assertRestarted(home: HomeState): void {
  const { status, memory, pending } = vmOf(home, "debian-1");
  assert.deepEqual([status, memory, pending], ["running", 16, undefined]);
  assert.deepEqual(standing(home).cordoned, []);
  assert.deepEqual(annotationsOf(home), {});
  assert.ok(!home.kubernetes.objects.some((object) => object.metadata?.name === "web"), "the pod was not moved");
}

/** Everything that it does to the systems, in order; the same several times in a row is named once. */
function doing(clients: Clients): { readonly clients: Clients; readonly done: string[] } {
  const done: string[] = [];
  const names = /shutdownVm|startVm|stopVm|deleteVm|evict|removeNode/;
  const watched = counted(clients, (_, name) => {
    const verb = name.split(".")[1] ?? "";
    if (names.test(name) && done.at(-1) !== verb) done.push(verb);
  });
  const patch = watched.kubernetes.patch.bind(watched.kubernetes);
  watched.kubernetes.patch = (kind, name, body, ...rest) => {
    done.push(JSON.stringify(body));
    return patch(kind, name, body, ...rest);
  };
  return { clients: watched, done };
}

describe("operations/nodes/restart-node, on the pretend home (does not prove that a guest goes off, or comes back)", () => {
  it("nothing waits: nothing is touched, not even the lock", async () => {
    const { home, clients } = await migratedHome("home");
    const before = structuredClone(home);
    for (const allowed of [true, false]) {
      assert.deepEqual(await restartNode.run(input({ allowed }), clients), {
        node: "debian-1",
        restarted: false,
        waiting: [],
      });
    }
    assert.deepEqual(home, before);
  });

  it("restart: false only names what waits and the next step; with true it is restarted; then nothing is left to do", async () => {
    const { home, clients, log, clock } = await waiting();
    const before = structuredClone(home);
    assert.deepEqual(await restartNode.run(input({ allowed: false }), clients), {
      node: "debian-1",
      restarted: false,
      waiting: ["memory"],
    });
    assert.deepEqual(home, before);
    assert.deepEqual(log, [
      "debian-1: memory waits for a restart; to apply it: `restart: true` on debian-1 in the environment file, then `pulumi up`",
    ]);
    log.length = 0;
    const watched = doing(clients);
    assert.deepEqual(await restartNode.run(input(), watched.clients), {
      node: "debian-1",
      restarted: true,
      waiting: [],
    });
    assertRestarted(home);
    assert.deepEqual(watched.done, [
      '{"metadata":{"annotations":{"home-cluster/cordoned-for":"restart"}},"spec":{"unschedulable":true}}',
      "evict",
      '{"metadata":{"annotations":{"home-cluster/restart":"1"}}}',
      "shutdownVm",
      "startVm",
      '{"metadata":{"annotations":{"home-cluster/cordoned-for":null}},"spec":{"unschedulable":null}}',
      '{"metadata":{"annotations":{"home-cluster/restart":null}}}',
    ]);
    assert.deepEqual(log, [
      "restart debian-1: holds the lock",
      "debian-1: restarting it for memory",
      "debian-1: cordoned",
      "debian-1: 6 pods to move",
      "debian-1: 0 pods to move",
      "debian-1: shutting machine 201 down",
      "debian-1: waiting until it is back",
      "debian-1: uncordoned",
      "debian-1: is back, and nothing waits any more",
    ]);
    await clock.idle();
    const lease = find<V1Lease>(home, "Lease", leaseName, leaseNamespace);
    assert.equal(lease.spec?.holderIdentity, undefined);
    const after = structuredClone(home);
    assert.equal((await restartNode.run(input(), clients)).restarted, false);
    assert.deepEqual(home, after);
  });

  it("restarts for cloud-init data alone, and leaves a cordon of somebody else's", async () => {
    const { home, clients } = await migratedHome("home");
    const guest = home.guests[201] ?? assert.fail();
    guest.instance = "what it booted with";
    nodeIn(home, "debian-1").spec = { unschedulable: true };
    assert.ok((await restartNode.run(input(), clients)).restarted);
    assert.notEqual(guest.instance, "what it booted with");
    assert.deepEqual(standing(home).cordoned, ["debian-1"]);
    assert.deepEqual(annotationsOf(home), {});
  });

  const against: [string, (home: HomeState) => void, RegExp][] = [
    [
      "another member is not Ready",
      (home) => setReady(home, "rancheros-2", "Unknown"),
      /^- debian-1: the control plane or etcd node rancheros-2 is not Ready: mend it first/,
    ],
    [
      "a control plane node without etcd is not Ready",
      (home) => {
        delete nodeIn(home, "rancheros-2").metadata?.labels?.["node-role.kubernetes.io/etcd"];
        setReady(home, "rancheros-2", "Unknown");
      },
      /^- debian-1: the control plane or etcd node rancheros-2 is not Ready: mend it first/,
    ],
    [
      "it is one of two etcd members",
      (home) => {
        for (const name of ["debian-2", "rancheros-1", "rancheros-2", "rancheros-3"])
          delete nodeIn(home, name).metadata?.labels?.["node-role.kubernetes.io/etcd"];
      },
      /^- debian-1: is one of 2 etcd members, and while it is away debian-3 alone is no quorum/,
    ],
    [
      "it is not Ready itself",
      (home) => setReady(home, "debian-1", "False"),
      /^- debian-1: is not Ready, so its pods cannot be moved in order/,
    ],
    [
      "another restart has not ended",
      (home) =>
        (nodeIn(home, "debian-3").metadata = { name: "debian-3", annotations: { "home-cluster/restart": "b" } }),
      /^- debian-1: the restart of debian-3 has not ended: go on with debian-3 first/,
    ],
    [
      "Rancher is removing another",
      (home) => (rancherNode(home, "debian-2").state = "removing"),
      /^- debian-1: Rancher is still removing debian-2/,
    ],
    [
      "it is being removed",
      (home) => (rancherNode(home, "debian-1").state = "removing"),
      /^- debian-1: is being removed from the cluster/,
    ],
    [
      "it is no member",
      (home) => {
        home.kubernetes.objects = home.kubernetes.objects.filter((object) => object !== nodeIn(home, "debian-1"));
        home.rancher.nodes = home.rancher.nodes.filter((node) => node.nodeName !== "debian-1");
      },
      /^- debian-1: is not in the cluster/,
    ],
    [
      "a pod can run nowhere else",
      (home) =>
        add(
          home,
          podOn("debian-1", "tied", (pod) => Object.assign(pod.spec ?? {}, { nodeSelector: { zone: "a" } })),
        ),
      /^- debian-1: pod apps\/tied cannot run on any node that stays \(nodeSelector zone=a\)/,
    ],
    [
      "a volume has its only replica here",
      (home) => addLonghornVolume(home, "pvc-1", ["debian-1", "debian-2"], { failed: ["debian-2"] }),
      /^- debian-1: the only replica of Longhorn volume pvc-1 is here: give it another replica/,
    ],
    [
      "a volume with a replica here is degraded",
      (home) => addLonghornVolume(home, "pvc-1", ["debian-1", "debian-2"], { robustness: "degraded" }),
      /^- debian-1: Longhorn volume pvc-1 is degraded: wait/,
    ],
    [
      "a volume is faulted and its last replica is here",
      (home) => addLonghornVolume(home, "pvc-1", ["debian-1"], { robustness: "faulted" }),
      /^- debian-1: Longhorn volume pvc-1 is faulted and its last good replica is here/,
    ],
    [
      "its guest agent is silent",
      (home) => Object.assign(home.guests[201] ?? {}, { agent: false }),
      /^- debian-1: its guest agent does not answer, so nobody could tell when it is back/,
    ],
    [
      "the machine has another card",
      (home) => (vmOf(home, "debian-1").macs = ["BC:24:11:00:10:99"]),
      /^- debian-1: machine 201 on pve is another one \(its first MAC is BC:24:11:00:10:99, recorded is/,
    ],
    [
      "the node runs on another machine",
      (home) => (vmOf(home, "debian-1").uuid = "made-anew"),
      /^- debian-1: machine 201 on pve is another one \(its UUID is made-anew, the cluster's node runs on 00000000-/,
    ],
  ];
  for (const [what, change, finding] of against) {
    it(`is refused before anything is touched while ${what}`, async () => {
      const { home, clients } = await waiting(change);
      const before = machines(home);
      const watched = doing(clients);
      const parts = await refusalOf(restartNode.run(input(), watched.clients));
      assert.equal(parts.what, "debian-1: is not restarted, nothing was touched");
      const [count, first] = parts.why.split("\n").map((line) => line.trim());
      assert.equal(count, "1 thing stands against it:");
      assert.match(first ?? "", finding);
      assert.deepEqual(watched.done, []);
      assert.deepEqual(machines(home), before);
    });
  }

  it("volumes elsewhere, and one that nobody uses, stand against nothing", async () => {
    const { home, clients } = await waiting((state) => {
      addLonghornVolume(state, "pvc-1", ["debian-2"], { robustness: "degraded" });
      addLonghornVolume(state, "pvc-2", ["debian-1"]);
      Object.assign(find<V1Node>(state, "Volume", "pvc-2", longhornNamespace).status ?? {}, { state: "detached" });
    });
    await restartNode.run(input(), clients);
    assertRestarted(home);
  });

  const alone: [string, (home: HomeState) => void, string][] = [
    [
      "the only node",
      (home) => {
        home.kubernetes.objects = home.kubernetes.objects.filter(
          (object) => object.kind !== "Node" || object.metadata?.name === "debian-1",
        );
        home.rancher.nodes = [rancherNode(home, "debian-1")];
      },
      "debian-1: it is the only node, so the API and all that runs are away until it is back",
    ],
    [
      "the only control plane node",
      (home) => {
        for (const name of ["debian-2", "debian-3", "rancheros-1", "rancheros-2", "rancheros-3"])
          for (const role of ["controlplane", "etcd"])
            delete nodeIn(home, name).metadata?.labels?.[`node-role.kubernetes.io/${role}`];
      },
      "debian-1: it is the only control plane node, so the API is away until it is back",
    ],
  ];
  for (const [what, change, line] of alone) {
    it(`says that the API is away for a moment when it is ${what}, and does not refuse`, async () => {
      const { home, clients, log } = await waiting(change);
      const working = new Set(["proxmox"]);
      // Its API is away together with the machine.
      const silent = counted(clients, (_, name) => {
        const off = vmOf(home, "debian-1").status === "stopped";
        if (off && !working.has(name.split(".")[0] ?? "")) throw new Error("connection refused");
      });
      await restartNode.run(input(), silent);
      assert.ok(log.includes(line), log.join("\n"));
      assert.equal(vmOf(home, "debian-1").memory, 16);
      assert.deepEqual(standing(home).cordoned, []);
    });
  }

  it("two at once go one after the other", async () => {
    const { home, clients, log } = await waiting();
    Object.assign(vmOf(home, "debian-2"), { config: { memory: 12_288 }, pending: { memory: 16_384 } });
    const second = input({ node: "debian-2", vm: { host: "pve", vmId: 202, mac: "BC:24:11:00:10:22" } });
    await Promise.all([restartNode.run(input(), clients), restartNode.run(second, clients)]);
    assert.deepEqual(
      log.filter((line) => /shutting|is back,/.test(line)).map((line) => line.replace(/: (shut|is).*/, " $1")),
      ["debian-1 shut", "debian-1 is", "debian-2 shut", "debian-2 is"],
    );
  });

  it("waits for a kubelet that has booted since: the Ready of before still shows when the machine is up again", async () => {
    const { home, clients, clock } = await waiting();
    const node = (): V1Node => nodeIn(home, "debian-1");
    const told = (bootID: string): void => {
      Object.assign(node().status?.nodeInfo ?? {}, { bootID });
      setReady(home, "debian-1", "True");
    };
    told("before");
    const shutdown = clients.proxmox.shutdownVm.bind(clients.proxmox);
    clients.proxmox.shutdownVm = async (...given) => {
      const off = await shutdown(...given);
      told("before");
      return off;
    };
    let back = Infinity;
    const start = clients.proxmox.startVm.bind(clients.proxmox);
    clients.proxmox.startVm = async (...given) => {
      await start(...given);
      told("before");
      void clock.sleep(120_000).then(() => {
        told("after");
        back = clock.now();
      });
    };
    await restartNode.run(input(), clients);
    assert.ok(clock.now() >= back);
    assertRestarted(home);
  });

  it("waits until Longhorn has its replicas again, before the next node's turn; not for ever", async () => {
    for (const rebuilt of [true, false]) {
      const { home, clients, clock } = await waiting((state) =>
        addLonghornVolume(state, "pvc-1", ["debian-1", "debian-2"]),
      );
      const robust = (robustness: string): object =>
        Object.assign(find<V1Node>(home, "Volume", "pvc-1", longhornNamespace).status ?? {}, { robustness });
      const start = clients.proxmox.startVm.bind(clients.proxmox);
      clients.proxmox.startVm = async (...given) => {
        await start(...given);
        robust("degraded");
        if (rebuilt) void clock.sleep(1_200_000).then(() => robust("healthy"));
      };
      const before = clock.now();
      const run = restartNode.run(input(), clients);
      if (rebuilt) {
        await run;
        assert.ok(clock.now() - before >= 1_200_000);
      } else {
        const { what, why } = await refusalOf(run);
        assert.equal(
          what,
          "debian-1: was restarted and works, but Longhorn's volumes on it are not whole: not within 7200 s",
        );
        assert.equal(why, "last seen: pvc-1 is degraded");
      }
      assertRestarted(home);
    }
  });

  it("a guest that does not go off is never stopped hard; it takes pods again, and once it is off the next run starts it", async () => {
    const { home, clients } = await waiting();
    const { clients: watched, done } = doing(clients);
    const shutdown = clients.proxmox.shutdownVm.bind(clients.proxmox);
    clients.proxmox.shutdownVm = async () => false;
    assert.deepEqual(await refusalOf(restartNode.run(input(), watched)), {
      what: "debian-1: was not restarted, it takes pods as before: machine 201 did not go off within 600 s",
      why: "its guest does not react to a shutdown, and a hard stop could cost data",
      next: "see what hangs in it (`qm terminal 201` on pve), or shut it down there; the next run starts it again; to go on: `pulumi up` again",
    });
    assert.ok(!done.includes("stopVm"));
    assert.deepEqual([vmOf(home, "debian-1").status, standing(home).cordoned], ["running", []]);
    // Much later, or by hand, and whatever the file says by then.
    await shutdown("pve", 201, 1);
    assert.ok((await restartNode.run(input({ allowed: false }), clients)).restarted);
    assertRestarted(home);
  });

  it("one that still runs is drained and shut down again; with restart: false the mark is taken off and it is named", async () => {
    for (const allowed of [true, false]) {
      const { home, clients } = await waiting((state) => {
        nodeIn(state, "debian-1").metadata = {
          ...nodeIn(state, "debian-1").metadata,
          annotations: { "home-cluster/restart": "1", "home-cluster/cordoned-for": "restart" },
        };
        nodeIn(state, "debian-1").spec = { unschedulable: true };
      });
      const result = await restartNode.run(input({ allowed }), clients);
      assert.deepEqual(result, { node: "debian-1", restarted: allowed, waiting: allowed ? [] : ["memory"] });
      assert.deepEqual([annotationsOf(home), standing(home).cordoned], [{}, []]);
      assert.equal(vmOf(home, "debian-1").memory, allowed ? 16 : 12);
    }
  });

  it("one that was started by hand is awaited, and a cordon that a killed run left is taken back, whatever the file says", async () => {
    const left = async (marks: object, ready: string): Promise<MigratedHome> => {
      const migrated = await migratedHome("home");
      const node = nodeIn(migrated.home, "debian-1");
      node.metadata = { ...node.metadata, annotations: { ...marks, "home-cluster/cordoned-for": "restart" } };
      node.spec = { unschedulable: true };
      setReady(migrated.home, "debian-1", ready);
      return migrated;
    };
    const started = await left({ "home-cluster/restart": "0" }, "False");
    void started.clock.sleep(60_000).then(() => setReady(started.home, "debian-1", "True"));
    assert.ok((await restartNode.run(input({ allowed: false }), started.clients)).restarted);
    const killed = await left({}, "True");
    assert.ok(!(await restartNode.run(input({ allowed: false }), killed.clients)).restarted);
    for (const { home } of [started, killed]) {
      assert.deepEqual([annotationsOf(home), standing(home).cordoned], [{}, []]);
    }
  });

  it("what a restart does not apply is refused by name, and the node takes pods all the same", async () => {
    const { home, clients } = await waiting();
    clients.proxmox.pendingSettings = async () => ["memory"];
    const { what, why, next } = await refusalOf(restartNode.run(input(), clients));
    assert.equal(what, "debian-1: was restarted and works, but what waited is not applied: not within 300 s");
    assert.equal(why, "last seen: memory still waits");
    assert.match(
      next,
      /`qm pending 201` on pve; `pulumi up` tries once more, `restart: false` on debian-1 lets it be$/,
    );
    assertRestarted(home);
  });

  const never: [string, (migrated: MigratedHome) => void, string][] = [
    ["goes off again", ({ clients }) => (clients.proxmox.startVm = async () => undefined), "machine 201 is off"],
    [
      "has no guest agent any more",
      ({ home, clients }) => {
        const shutdown = clients.proxmox.shutdownVm.bind(clients.proxmox);
        clients.proxmox.shutdownVm = (...given) => {
          Object.assign(home.guests[201] ?? {}, { agent: false });
          return shutdown(...given);
        };
      },
      "the guest agent does not answer",
    ],
    [
      "is not Ready",
      ({ home, clients }) => {
        const start = clients.proxmox.startVm.bind(clients.proxmox);
        clients.proxmox.startVm = async (...given) => {
          await start(...given);
          setReady(home, "debian-1", "False");
        };
      },
      "its node is not Ready",
    ],
    [
      "is not active in Rancher",
      ({ home, clients }) => {
        const start = clients.proxmox.startVm.bind(clients.proxmox);
        clients.proxmox.startVm = async (...given) => {
          await start(...given);
          rancherNode(home, "debian-1").state = "registering";
        };
      },
      "Rancher calls it registering",
    ],
  ];
  for (const [what, change, last] of never) {
    it(`a node that ${what} ends in a refusal that says how to go on`, async () => {
      const migrated = await waiting();
      change(migrated);
      const { what: said, why, next } = await refusalOf(restartNode.run(input(), migrated.clients));
      assert.equal(
        said,
        "debian-1: machine 201 was told to shut down for its restart, and the node is not back: " +
          "debian-1: its machine running, its guest agent answering and its node Ready: not within 1800 s",
      );
      assert.equal(why, `last seen: ${last}`);
      assert.match(next, /then `pulumi up` again with `restart: true`: it starts the machine and goes on from here$/);
      assert.deepEqual(Object.keys(annotationsOf(migrated.home)), [
        "home-cluster/cordoned-for",
        "home-cluster/restart",
      ]);
    });
  }

  it("a machine that became another one while it was drained is not shut down", async () => {
    const { home, clients } = await waiting();
    const evict = clients.kubernetes.evict.bind(clients.kubernetes);
    clients.kubernetes.evict = (...given) => {
      vmOf(home, "debian-1").macs = ["BC:24:11:00:10:99"];
      return evict(...given);
    };
    const { clients: watched, done } = doing(clients);
    const { what } = await refusalOf(restartNode.run(input(), watched));
    assert.equal(
      what,
      "debian-1: was not restarted, it takes pods as before: debian-1: machine 201 on pve is not the node's",
    );
    assert.ok(!done.includes("shutdownVm"));
    assert.deepEqual([annotationsOf(home), standing(home).cordoned], [{}, []]);
  });

  it("after the lock was lost nothing is shut down, and the cordon is left to whoever has it", async () => {
    const { home, clients } = await waiting();
    const evict = clients.kubernetes.evict.bind(clients.kubernetes);
    clients.kubernetes.evict = async (...given) => {
      await clients.kubernetes.patch(leases, leaseName, { spec: { holderIdentity: "other/1" } }, leaseNamespace);
      return evict(...given);
    };
    const { what, next } = await refusalOf(restartNode.run(input(), clients));
    assert.match(what, /^debian-1: was not restarted, it may still be cordoned: .* the lock was lost/);
    assert.match(next, /to go back: `kubectl uncordon debian-1`$/);
    assert.equal(vmOf(home, "debian-1").memory, 12);
  });

  it("a machine that is off needs no restart, one that is not there is refused, and a silent guest is not taken for applied", async () => {
    const off = await waiting((home) => (vmOf(home, "debian-1").status = "stopped"));
    assert.deepEqual((await restartNode.run(input(), off.clients)).waiting, []);
    assert.deepEqual(off.log, ["debian-1: machine 201 is off; its next start takes what waits"]);

    const gone = await waiting((home) => home.proxmox.vms.splice(home.proxmox.vms.indexOf(vmOf(home, "debian-1")), 1));
    const { what } = await refusalOf(restartNode.run(input(), gone.clients));
    assert.equal(what, "debian-1: machine 201 on pve is not the node's");

    const silent = await waiting((home) => {
      delete vmOf(home, "debian-1").pending;
      Object.assign(home.guests[201] ?? {}, { agent: false });
    });
    assert.equal(
      (await refusalOf(restartNode.run(input(), silent.clients))).what,
      "debian-1: cannot tell whether cloud-init data waits for a restart, nothing was touched",
    );
    assert.deepEqual((await restartNode.run(input({ allowed: false }), silent.clients)).waiting, []);
  });

  for (const [how, broken] of [
    ["fails", (call: number, at: number) => call === at],
    ["and all after it fail, as when the run is killed", (call: number, at: number) => call >= at],
  ] as const) {
    it(`whichever call ${how}: the node is never left off without a mark, and the same command goes on`, async () => {
      let survived = 0;
      const { home: start } = await waiting((state) => {
        state.kubernetes.objects = state.kubernetes.objects.filter(
          (object) => object.kind !== "Pod" || object.metadata?.name === "web",
        );
      });
      for (let at = 1; ; at += 1) {
        const home = structuredClone(start);
        const clock = new VirtualClock(home.now);
        const clients = pretendClients(home, clock);
        let calls = 0;
        const faulty = counted(clients, (call) => {
          calls = call;
          if (broken(call, at)) throw new Error("connection reset");
        });
        const failure: unknown = await restartNode.run(input(), faulty).then(
          () => undefined,
          (error: unknown) => error,
        );
        await clock.idle();
        if (calls < at) break;
        assert.ok(failure === undefined || failure instanceof Refusal, `call ${at}: ${String(failure)}`);
        const [mark, cordon] = ["restart", "cordoned-for"].map((key) => annotationsOf(home)[`home-cluster/${key}`]);
        if (vmOf(home, "debian-1").status === "stopped")
          assert.ok(mark !== undefined, `call ${at}: off without a mark`);
        if (standing(home).cordoned.length > 0) assert.equal(cordon, "restart", `call ${at}`);
        await restartNode.run(input(), clients);
        await clock.idle();
        assertRestarted(home);
        survived += 1;
      }
      assert.ok(survived > 30, `${survived}`);
    });
  }
});

function setReady(home: HomeState, name: string, status: string): void {
  Object.assign(nodeIn(home, name).status ?? {}, { conditions: [{ type: "Ready", status }] });
}
