import assert from "node:assert/strict";
import { homedir } from "node:os";
import { root } from "../support/environment";
import { TestServer, type Reply } from "../support/https";
import { closedAddress, Engine, secretsFor, type Checkout } from "./support";

const stack = "home-rancheros";

/** The old nodes as a Proxmox would show them, by id; changed by tests. */
const machines = new Map(
  [101, 102, 103].map((vmId, index) => [vmId, { name: `rancheros-${index + 1}`, mac: `BC:24:11:00:10:1${index + 1}` }]),
);

/** Proxmox's answers to what reading a machine asks; anything else is none of this layer's business while it only records. */
function answer({ method, path }: { readonly method: string; readonly path: string }): Reply {
  const [, vmId, what] = /^\/api2\/json\/nodes\/pve\/qemu\/(\d+)\/(config|status\/current)/.exec(path) ?? [];
  const machine = machines.get(Number(vmId));
  if (method !== "GET" || !machine) return { status: 500, reason: `unexpected ${method} ${path}` };
  const config = { name: machine.name, net0: `virtio=${machine.mac},bridge=vmbr0` };
  return { body: { data: what === "config" ? config : { status: "running" } } };
}

describe("the layer rancheros on the real engine, against a Proxmox of the test (does not prove what a real Proxmox answers)", () => {
  const engine = new Engine();
  let server: TestServer;
  let checkout: Checkout;
  let secrets: Record<string, string>;

  before(async () => {
    server = await TestServer.start();
    server.answer = answer;
    const closed = await closedAddress();
    secrets = secretsFor(closed);
    checkout = prepared("checkout", closed);
    await checkout.init(stack);
    await checkout.setSecrets(stack, secrets);
  });
  after(async () => {
    await server.stop();
    engine.dispose();
  });

  /** A copy whose Proxmox is the test's; Rancher and the cluster do not answer. */
  function prepared(name: string, closed: string): Checkout {
    const copy = engine.copy(name);
    copy.set(
      "home",
      [["home-cluster:proxmox", "endpoint"], `${server.url}/`],
      [["home-cluster:proxmox", "caCertificate"], server.ca],
      [["home-cluster:cluster", "rancher", "url"], closed],
    );
    return copy;
  }

  const summary = (text: string): string[] =>
    /\nResources:\n([^]*?)\n\n/
      .exec(text)?.[1]
      ?.split("\n")
      .map((line) => line.trim()) ?? [];

  it("records every old node by the real operation, and changes nothing in Proxmox", async () => {
    const text = await checkout.must("up", "--yes", "--skip-preview", "--stack", stack);
    assert.deepEqual(summary(text), ["+ 10 created"]);
    assert.deepEqual(
      [...new Set(server.seen.map(({ method }) => method))],
      ["GET"],
      "reading is all that this layer does on its way up",
    );
    assert.deepEqual(JSON.parse(await checkout.must("stack", "output", "--json", "--stack", stack)), {
      nodes: {
        "rancheros-1": { vmId: 101, mac: "BC:24:11:00:10:11" },
        "rancheros-2": { vmId: 102, mac: "BC:24:11:00:10:12" },
        "rancheros-3": { vmId: 103, mac: "BC:24:11:00:10:13" },
      },
    });
  });

  it("keeps no path of this machine in its state, and secrets only inside of secrets", async () => {
    const { text } = await checkout.state(stack);
    // Where in the program a resource was made is the engine's own note, relative to the project, and never compared.
    const notes = new Set(["sourcePosition", "stackTrace"]);
    const state = JSON.stringify(JSON.parse(text, (key, value: unknown) => (notes.has(key) ? undefined : value)));
    assert.deepEqual(
      [engine.folder, root, homedir()].filter((path) => state.includes(path)),
      [],
    );
    const encrypted = await checkout.must("stack", "export", "--stack", stack);
    for (const secret of Object.values(secrets)) {
      assert.equal(encrypted.includes(JSON.stringify(secret).slice(1, -1)), false);
    }
  });

  it("has nothing to do in a second update, and asks nobody", async () => {
    server.seen.length = 0;
    const text = await checkout.must("up", "--yes", "--skip-preview", "--stack", stack);
    assert.deepEqual(summary(text), ["10 unchanged"]);
    assert.deepEqual(server.seen, []);
  });

  it("sees no difference from another checkout, in another folder", async () => {
    const other = engine.copy("elsewhere");
    other.write("Pulumi.home.yaml", checkout.file("Pulumi.home.yaml"));
    assert.deepEqual(summary(await other.must("preview", "--stack", stack)), ["10 unchanged"]);
  });

  it("runs the update, not the create, when a token changes, and replaces nothing", async () => {
    server.seen.length = 0;
    await checkout.setSecrets(stack, { proxmoxToken: "operator@pve!test=99999999-2222-3333-4444-555555555555" });
    const text = await checkout.must("up", "--yes", "--skip-preview", "--stack", stack);
    assert.deepEqual(summary(text), ["~ 8 updated", "2 unchanged"]);
    assert.match(server.seen[0]?.authorization ?? "", /=99999999-/);
    assert.doesNotMatch(text, /99999999-2222/);
  });

  it("refuses a machine that is not the one in the file, and keeps what was recorded", async () => {
    const changed = engine.copy("changed");
    changed.write("Pulumi.home.yaml", checkout.file("Pulumi.home.yaml"));
    changed.set("home", [["home-cluster:oldNodes", 0, "mac"], "BC:24:11:00:10:99"]);
    const { code, text } = await changed.pulumi("up", "--yes", "--skip-preview", "--stack", stack);
    assert.notEqual(code, 0);
    assert.match(text, /rancheros-1: machine 101 on pve is not the one in the environment file/);
    assert.match(text, /its first MAC is BC:24:11:00:10:11, recorded is BC:24:11:00:10:99/);
    assert.equal((await checkout.real(stack)).length, 4);
  });

  it("refuses to be destroyed while the cluster does not answer: the gate says so first, and no machine is touched", async () => {
    server.seen.length = 0;
    const before = await checkout.real(stack);
    const { code, text } = await checkout.pulumi("destroy", "--yes", "--skip-preview", "--stack", stack);
    assert.notEqual(code, 0);
    assert.match(
      text,
      /error: exit status 1: running "operations\/run check-retirement":\n +home-rancheros: nothing was touched, because Kubernetes does not answer/,
    );
    assert.match(text, /next: after a rotated token or kubeconfig, `pulumi up -s home-rancheros`/);
    assert.doesNotMatch(text, /99999999-2222|kubernetes-token-of-a-test/);
    assert.deepEqual(await checkout.real(stack), before);
    assert.deepEqual(
      [...new Set(server.seen.map(({ method }) => method))].filter((method) => method !== "GET"),
      [],
    );
  });

  it("refuses to retire a node even when the gate is gone from the state: each deletion looks for itself", async () => {
    const urn = async (name: string): Promise<string> => {
      const found = (await checkout.state(stack)).resources.find((resource) => resource.urn.endsWith(`::${name}`));
      assert.ok(found, name);
      return found.urn;
    };
    await checkout.must("state", "delete", "--yes", "--stack", stack, await urn("retirement-check"));
    const { code, text } = await checkout.pulumi(
      ...[
        "destroy",
        "--yes",
        "--skip-preview",
        "--stack",
        stack,
        "--target",
        await urn("rancheros-1-machine"),
        "--target-dependents",
      ],
    );
    assert.notEqual(code, 0);
    assert.match(text, /error: exit status 1: running "operations\/run retire-old-node":\n.*\n +why: /);
    assert.deepEqual(await checkout.real(stack), Array<string>(3).fill("command:local:Command"));
    assert.deepEqual(
      [...new Set(server.seen.map(({ method }) => method))].filter((method) => method !== "GET"),
      [],
    );
  });
});
