import assert from "node:assert/strict";
import { main as retire } from "../../commands/retire";
import { checkout as surroundings } from "../../commands/validate";
import { connect } from "../../operations/connect";
import { clearFailure, leaseName, leaseNamespace } from "../../operations/cluster/lease";
import { failureAnnotation } from "../../operations/cluster/lease-watch";
import * as kinds from "../../operations/kinds";
import type { Logged } from "../../rehearsal/simulators/server";
import { migratedHome, setPhase, standing } from "../support/migrated-home";
import { needs } from "../support/needs";
import { Lab, writes } from "./lab/lab";
import { LabStack } from "./lab/stack";
import type { Checkout, Run } from "./support";

const stack = "home-rancheros";
const old = ["rancheros-1", "rancheros-2", "rancheros-3"];
const update = ["up", "--yes", "--skip-preview", "--stack", stack];
const destroy = ["destroy", "--yes", "--skip-preview", "--stack", stack];

describe("retiring old nodes by the real engine (Proxmox, Rancher and Kubernetes are simulated behind HTTPS; their own behaviour is shown by test/cluster/retirement.test.ts)", function () {
  // A destroy of three nodes is a minute of the operations' own pace, more on a busy machine.
  this.timeout(900_000);
  let lab: Lab;
  let layer: LabStack;
  let checkout: Checkout;
  /** Everything migrated and recorded, nothing retired. */
  let recorded: () => Promise<void>;
  let original: ReturnType<typeof standing>;

  before(async function () {
    needs(this, "pulumi", "pulumi-language-nodejs", "pulumi-resource-command");
    lab = await Lab.start();
    Object.assign(lab.home, (await migratedHome()).home);
    checkout = lab.checkout;
    layer = await lab.stack("rancheros");
    await checkout.must(...update);
    original = standing(lab.home);
    recorded = lab.snapshot();
  });
  afterEach(async () => {
    forgive();
    await recorded?.();
    forget();
  });
  after(() => lab?.stop());

  const forgive = (): void => {
    if (lab) lab.proxmox.fault = lab.cluster.rancher.fault = lab.cluster.kubernetes.fault = () => undefined;
  };
  const servers = (): readonly { readonly log: Logged[] }[] => [
    lab.proxmox,
    lab.cluster.rancher,
    lab.cluster.kubernetes,
  ];
  const forget = (): void => {
    for (const { log } of lab ? servers() : []) log.length = 0;
  };
  /** Everything written anywhere since the last test. */
  const written = (): string[] => servers().flatMap(({ log }) => writes(log));
  const machine = (index: number): string => `${old[index]}-machine`;
  const urn = async (name: string): Promise<string> => {
    const found = (await layer.resources()).get(name);
    assert.ok(found, name);
    return found.urn;
  };
  /** Names of what stands for an old node, or for the gate, in the state. */
  const kept = async (): Promise<string[]> =>
    [...(await layer.resources()).values()]
      .filter(({ type }) => type === "command:local:Command")
      .map(({ urn: one }) => one.split("::").at(-1) ?? "")
      .sort();
  const everything = [...old.map((_, index) => machine(index)), "retirement-check"].sort();

  const refused = ({ code, text }: Run, ...says: readonly RegExp[]): void => {
    assert.notEqual(code, 0, text);
    for (const part of says) assert.match(text, part);
    assert.doesNotMatch(text, /unhandled exception|^\s+at .*\(.*:\d+:\d+\)/m, text);
  };
  const gone = (...names: readonly string[]): void => {
    const left = (all: readonly string[]): string[] => all.filter((name) => !names.includes(name));
    assert.deepEqual(standing(lab.home), {
      machines: left(original.machines),
      rancher: left(original.rancher),
      nodes: left(original.nodes),
      cordoned: [],
    });
  };
  /** Rancher's removals and Proxmox's deletions in the order in which they came, which one at a time has. */
  const inTurn = (): void => {
    const removals = lab.cluster.rancher.log.filter(({ method }) => method === "DELETE");
    const deletions = lab.proxmox.log.filter(({ method }) => method === "DELETE");
    const ids = deletions.map(({ path }) => path.split("/").at(-1));
    assert.equal(new Set(ids).size, ids.length, "nothing is deleted twice");
    assert.deepEqual(
      removals.map(({ path }) => /\d+$/.exec(path)?.[0]),
      ids,
      "the first to be removed is the first whose machine goes",
    );
  };

  it("a destroy with its preview takes all of them one at a time; the emptied stack can be destroyed again, updated as `retired`, and removed", async () => {
    await checkout.must("destroy", "--yes", "--stack", stack);
    gone(...old);
    inTurn();
    assert.deepEqual(await kept(), []);
    forget();
    await checkout.must(...destroy);
    assert.deepEqual(written(), []);

    // Without `retired` the file asks for what is gone: the next command is said.
    refused(
      await checkout.pulumi(...update),
      /rancheros-1: there is no machine 101/,
      /set `retired: true` if it is gone; then `pulumi up -s home-rancheros`/,
    );
    const changed = checkout.file("Pulumi.home.yaml");
    checkout.set("home", ...old.map((_, index) => [["home-cluster:oldNodes", index, "retired"], true] as const));
    try {
      await checkout.must(...update);
      assert.deepEqual(await kept(), []);
      assert.deepEqual(JSON.parse(await checkout.must("stack", "output", "--json", "--stack", stack)), { nodes: {} });
      const said: string[] = [];
      const where = {
        ...surroundings(),
        folder: checkout.folder,
        out: (line: string) => void said.push(line),
        error: (line: string) => void said.push(line),
      };
      assert.equal(await retire(["home", "--check"], where), 0, said.join("\n"));
      assert.deepEqual(said, ["home: every old node of the file is retired"]);
      await checkout.must("preview", "--stack", stack);
      await checkout.must(...destroy);
      await checkout.must("stack", "rm", "--yes", stack);
    } finally {
      checkout.write("Pulumi.home.yaml", changed);
    }
  });

  it("from a checkout whose file has become another one, even one that no update would take: what was recorded counts", async () => {
    const changed = lab.engine.copy("changed");
    changed.write("Pulumi.home.yaml", checkout.file("Pulumi.home.yaml"));
    changed.set(
      "home",
      [["home-cluster:oldNodes", 0, "vmId"], 999],
      [["home-cluster:oldNodes", 0, "mac"], "BC:24:11:00:10:99"],
      [["home-cluster:surprise"], true],
    );
    refused(await changed.pulumi("preview", "--stack", stack), /surprise/);
    await changed.must(...destroy);
    gone(...old);
    inTurn();
  });

  it("an entry that is taken out of the file: `up` retires that node; while a volume stands against it nothing is touched, and the entry put back is nothing to do", async () => {
    const file = checkout.file("Pulumi.home.yaml");
    try {
      lab.edit(({ oldNodes = [] }) => void oldNodes.splice(2, 1));
      setPhase(lab.home, "games", "valheim-server-data", "verified");
      refused(
        await checkout.pulumi(...update),
        /rancheros-3: not retired, nothing was touched/,
        /volume games\/valheim-server-data is not switched: its ledger says verified/,
        /mend what is named, then `pulumi destroy -s home-rancheros`/,
      );
      gone();
      const without = checkout.file("Pulumi.home.yaml");
      checkout.write("Pulumi.home.yaml", file);
      await checkout.must(...update);
      assert.deepEqual(await kept(), everything);
      gone();

      setPhase(lab.home, "games", "valheim-server-data", "switched");
      checkout.write("Pulumi.home.yaml", without);
      await checkout.must(...update);
      gone("rancheros-3");
      assert.deepEqual(await kept(), [machine(0), machine(1), "retirement-check"]);
    } finally {
      checkout.write("Pulumi.home.yaml", file);
    }
  });

  it("`--target` of one machine: refused while the gate depends on it; with `--target-dependents` that one goes alone, and the rest later", async () => {
    const target = ["--target", await urn(machine(0))];
    refused(await checkout.pulumi(...destroy, ...target), /--target-dependents/);
    assert.deepEqual(await kept(), everything);
    assert.deepEqual(written(), []);
    await checkout.must(...destroy, ...target, "--target-dependents");
    gone("rancheros-1");
    assert.deepEqual(await kept(), [machine(1), machine(2)]);
    await checkout.must(...destroy);
    gone(...old);
    inTurn();
  });

  it("a protected resource stops a destroy in its preview, before anything; without one it stays, the others go, and the way on is said", async () => {
    await checkout.must("state", "protect", "--yes", "--stack", stack, await urn(machine(1)));
    refused(
      await checkout.pulumi("destroy", "--yes", "--stack", stack),
      /rancheros-2-machine.*cannot be deleted|protected/s,
      /pulumi state unprotect/,
    );
    gone();
    assert.deepEqual(written(), []);
    // Without a preview the engine meets it only on its way.
    refused(await checkout.pulumi(...destroy), /pulumi state unprotect/);
    gone("rancheros-1", "rancheros-3");
    inTurn();
    await checkout.must("state", "unprotect", "--yes", "--stack", stack, await urn(machine(1)));
    await checkout.must(...destroy);
    gone(...old);
  });

  it("`--exclude-protected`: the protected one stays, and the others go", async () => {
    await checkout.must("state", "protect", "--yes", "--stack", stack, await urn(machine(1)));
    await checkout.must(...destroy, "--exclude-protected");
    gone("rancheros-1", "rancheros-3");
    inTurn();
    await checkout.must("state", "unprotect", "--yes", "--stack", stack, await urn(machine(1)));
    await checkout.must(...destroy);
    gone(...old);
  });

  it("with `retirement.machines: keep` the machines stay, off, until they are purged, each after the same look at who it is", async () => {
    const file = checkout.file("Pulumi.home.yaml");
    try {
      checkout.set("home", [["home-cluster:retirement", "machines"], "keep"]);
      await checkout.must(...update);
      assert.deepEqual(written(), []);
      await checkout.must(...destroy);
      const machines = [101, 102, 103].map((vmId) => lab.machine(vmId));
      assert.deepEqual(
        machines.map(({ status, config }) => [status, Number(config?.onboot)]),
        old.map(() => ["stopped", 0]),
      );
      assert.deepEqual(
        standing(lab.home).nodes,
        original.nodes.filter((name) => !old.includes(name)),
      );
      checkout.set("home", ...old.map((_, index) => [["home-cluster:oldNodes", index, "retired"], true] as const));
      const said: string[] = [];
      const say = (line: string): void => void said.push(line);
      const where = { ...surroundings(), folder: checkout.folder, out: say, error: say };
      const parts = { secrets: () => lab.secrets(), connect };
      lab.change(102, { name: "somebody-elses" });
      assert.equal(await retire(["home", "--purge"], where, parts), 1);
      assert.match(said.join("\n"), /machine 102 on pve is not deleted.*its name is somebody-elses/s);
      const left = original.machines.filter((name) => !["rancheros-1", "rancheros-2"].includes(name));
      assert.deepEqual(standing(lab.home).machines, [...left, "somebody-elses"].sort());
      lab.change(102, { name: "rancheros-2" });
      assert.equal(await retire(["home", "--purge"], where, parts), 0, said.join("\n"));
      gone(...old);
    } finally {
      checkout.write("Pulumi.home.yaml", file);
    }
  });

  it("a failure in the middle: it stops there and names the command, those that wait end at once and touch nothing; the same command then takes all", async () => {
    let deletes = 0;
    lab.proxmox.fault = ({ method }) =>
      method === "DELETE" && (deletes += 1) > 0
        ? { kind: "status", status: 500, reason: "can't lock file", when: "before" }
        : undefined;
    const run = await checkout.pulumi(...destroy);
    refused(
      run,
      /has left the cluster, and its machine is still there: /,
      /can't lock file/,
      /to go on: `pulumi destroy -s home-rancheros`; there is no going back/,
      /did not start to leave, nothing was touched/,
      /next: +go on with rancheros-\d first/,
    );
    const failed = /(rancheros-\d): has left the cluster/.exec(run.text)?.[1] ?? "";
    assert.deepEqual(standing(lab.home).machines, original.machines);
    assert.deepEqual(
      standing(lab.home).nodes,
      original.nodes.filter((name) => name !== failed),
    );
    assert.deepEqual(standing(lab.home).cordoned, []);
    // The gate let it pass and is gone: from here on each looks for itself.
    assert.deepEqual(
      await kept(),
      everything.filter((name) => name !== "retirement-check"),
    );
    forgive();
    forget();
    await checkout.must(...destroy);
    gone(...old);
  });

  it("a rotated key: a destroy by the old one stops before anything and says to run `up`, which records the new one with no other effect", async () => {
    const current = lab.secrets();
    await checkout.setSecrets(stack, { rancherToken: "token-old12:key-of-another-time" });
    await checkout.must(...update);
    await checkout.setSecrets(stack, { rancherToken: current.rancherToken ?? "" });
    forget();
    refused(
      await checkout.pulumi(...destroy),
      /nothing was touched, because Rancher does not answer as it should/,
      /after a rotated token or kubeconfig, `pulumi up -s home-rancheros` records the new one/,
    );
    gone();
    await checkout.must(...update);
    assert.deepEqual(written(), [], "recording a key has no other effect");
    await checkout.must(...destroy);
    gone(...old);
  });

  it("a Debian node that is not Ready stands in the way; once it is mended the same command goes through", async () => {
    const node = lab.home.kubernetes.objects.find(
      ({ kind, metadata }) => kind === "Node" && metadata?.name === "debian-2" && metadata.namespace === undefined,
    ) as { status?: { conditions?: { type: string; status: string }[] } } | undefined;
    const ready = node?.status?.conditions?.find(({ type }) => type === "Ready");
    assert.ok(ready);
    ready.status = "False";
    refused(
      await checkout.pulumi(...destroy),
      /home-rancheros: no old node was retired, nothing was touched/,
      /etcd: .*not: debian-2/,
      /mend what is named, then `pulumi destroy -s home-rancheros`/,
    );
    assert.deepEqual(written(), []);
    assert.deepEqual(await kept(), everything);
    ready.status = "True";
    await checkout.must(...destroy);
    gone(...old);
  });

  it("a Debian node's leave that failed holds them up and is named; once it has ended well they go", async () => {
    const lease = { ...kinds.leases, metadata: { name: leaseName, namespace: leaseNamespace } };
    const failure = "failed: debian-4: drain: not within 900 s";
    await lab.hand.kubernetes.create({
      ...lease,
      metadata: { ...lease.metadata, annotations: { [failureAnnotation]: failure } },
    });
    refused(
      await checkout.pulumi(...destroy),
      /did not start to leave, nothing was touched/,
      /the leave of debian-4 has not ended well: failed: debian-4: drain/,
      /go on with debian-4 first, by the command that its own message named; then run the same command again/,
    );
    gone();
    // What debian-4's own leave does when it ends.
    await clearFailure(lab.hand, "debian-4");
    await checkout.must(...destroy);
    gone(...old);
  });

  it("an engine that is killed while Rancher removes a node: `pulumi cancel`, then the same command takes the rest", async () => {
    let told: () => void = () => undefined;
    const telling = new Promise<void>((resolve) => (told = resolve));
    lab.cluster.rancher.fault = ({ method }) => {
      if (method === "DELETE") told();
      return undefined;
    };
    const run = layer.destroy();
    await telling;
    LabStack.kill();
    const { ok } = await run;
    assert.equal(ok, false);
    await layer.cancel();
    await checkout.must(...destroy);
    gone(...old);
    assert.deepEqual(await kept(), []);
  });
});
