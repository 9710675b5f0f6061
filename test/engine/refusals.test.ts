import assert from "node:assert/strict";
import { lstatSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { layers } from "../../environment/stack";
import { closedAddress, Engine, secretsFor, type Checkout } from "./support";

/** Nothing that the engine prints for a refusal buries it under a stack trace, or says that the program is broken. */
function assertReadable(text: string): void {
  assert.doesNotMatch(text, /unhandled exception|^\s+at .*\(.*:\d+:\d+\)/m, text);
}

describe("stacks, links and secrets on the real CLI (a backend of files and a passphrase; no other backend is tried)", () => {
  const engine = new Engine();
  let checkout: Checkout;

  before(async () => {
    checkout = engine.copy();
    await checkout.init("home-nodes", "home-services");
  });
  after(() => engine.dispose());

  const assertLinks = (): void => {
    for (const layer of layers) {
      assert.equal(readlinkSync(join(checkout.folder, `Pulumi.home-${layer}.yaml`)), "Pulumi.home.yaml");
    }
    assert.ok(lstatSync(join(checkout.folder, "Pulumi.home.yaml")).isFile());
  };

  it("stacks of two layers are created through their links, which stay links; the file keeps its form but for one salt", () => {
    assertLinks();
    const added = checkout.file("Pulumi.home.yaml").split("\n");
    const salts = added.filter((line) => line.startsWith("encryptionsalt: "));
    assert.equal(salts.length, 1);
    assert.deepEqual(
      added.filter((line) => !salts.includes(line)),
      engine.copy("untouched").file("Pulumi.home.yaml").split("\n"),
    );
  });

  it("a secret set on one layer is in the one file, encrypted, decrypts on the other layer, and the links stay links", async () => {
    await checkout.must("config", "set", "--secret", "--stack", "home-nodes", "rancherToken", "token-abcde:a-secret");
    assertLinks();
    assert.match(checkout.file("Pulumi.home.yaml"), /^ {2}home-cluster:rancherToken:\n {4}secure: v1:/m);
    assert.doesNotMatch(checkout.file("Pulumi.home.yaml"), /a-secret/);
    assert.equal(
      (await checkout.must("config", "get", "--stack", "home-services", "rancherToken")).trim(),
      "token-abcde:a-secret",
    );
  });

  it("a stack that is removed takes only its link along", async () => {
    await checkout.must("stack", "rm", "--yes", "home-services");
    assert.equal(lstatSync(join(checkout.folder, "Pulumi.home-services.yaml"), { throwIfNoEntry: false }), undefined);
    assert.match(checkout.file("Pulumi.home.yaml"), /home-cluster:rancherToken/);
  });
});

describe("refusals on the real engine: nothing is touched, and the operator reads what to do (no system is there to be touched)", () => {
  const engine = new Engine();
  let checkout: Checkout;
  let closed: string;

  before(async () => {
    closed = await closedAddress();
    checkout = engine.copy();
    await checkout.init("home-nodes");
  });
  after(() => engine.dispose());

  const preview = ["preview"];
  const update = ["up", "--yes", "--skip-preview"];

  /** Each refused with these words, and nothing in the state afterwards but what exists only there. */
  async function refused(
    runs: readonly (readonly string[])[],
    stack: string,
    where: Checkout,
    ...says: readonly RegExp[]
  ): Promise<void> {
    for (const args of runs) {
      const { code, text } = await where.pulumi(...args, "--stack", stack);
      assert.notEqual(code, 0, text);
      for (const part of says) assert.match(text, part);
      assertReadable(text);
    }
    assert.deepEqual(await where.real(stack), []);
  }

  it("a stack whose name is no environment and layer: the names to use", async () => {
    await checkout.init("home-nose");
    await refused(
      [update],
      "home-nose",
      checkout,
      /stack home-nose: not <environment>-<layer>; use one of home-nodes, home-services, home-volumes, home-rancheros/,
    );
  });

  it("a stack of an environment that has no file: says what the file must hold", async () => {
    await checkout.init("cabin-nodes");
    await refused([update], "cabin-nodes", checkout, /stack cabin-nodes: refused, nothing was touched/);
  });

  it("a broken environment: every problem at once", async () => {
    const broken = engine.copy("broken");
    broken.set(
      "home",
      [["home-cluster:nodes", 1, "vmId"], 201],
      [["home-cluster:longhorn", "replicas"], 4],
      [["home-cluster:surprise"], true],
    );
    await refused(
      [preview, update],
      "home-nodes",
      broken,
      /stack home-nodes: refused, nothing was touched/,
      /surprise: /,
      /nodes\[1\]\.vmId: 201: /,
      /longhorn\.replicas: 4: /,
    );
  });

  it("an update of a layer with something unpinned names npm run pin; its preview only warns of it", async () => {
    const { code, text } = await checkout.pulumi("up", "--yes", "--skip-preview", "--stack", "home-nodes");
    assert.notEqual(code, 0);
    assert.match(
      text,
      /error: versions\.ts: debian\.build, debian\.sha512 not resolved.*run `npm run pin` and commit the result/,
    );
    assertReadable(text);
    assert.deepEqual(
      (await checkout.state("home-nodes")).resources.map(({ type }) => type),
      ["pulumi:pulumi:Stack"],
    );
    assert.match(
      (await checkout.pulumi(...preview, "--stack", "home-nodes")).text,
      /warning: versions\.ts: debian\.build, debian\.sha512 not resolved/,
    );
  });

  it("a missing secret: the command that sets it", async () => {
    const pinned = engine.copy("no-secret");
    pinned.standInForPins();
    const { code, text } = await pinned.pulumi("preview", "--stack", "home-nodes");
    assert.notEqual(code, 0);
    assert.match(text, /pulumi config set --secret (home-cluster:)?proxmoxToken/);
    assert.deepEqual(await pinned.real("home-nodes"), []);
  });

  describe("with every secret set, and nothing that answers", () => {
    let pinned: Checkout;

    before(async () => {
      pinned = engine.copy("nobody-answers");
      pinned.standInForPins();
      pinned.set(
        "home",
        [["home-cluster:proxmox", "endpoint"], `${closed}/`],
        [["home-cluster:cluster", "rancher", "url"], closed],
      );
      await pinned.init("home-services", "home-volumes", "home-rancheros");
      await pinned.setSecrets("home-nodes", secretsFor(closed));
    });

    it("the layer nodes: a preview says that Proxmox does not answer, where, and what to try", async () => {
      await refused(
        [preview],
        "home-nodes",
        pinned,
        /error: Proxmox at https:\/\/127\.0\.0\.1:\d+: no answer\n +why: {2}the connection ended with ECONNREFUSED\n +next: check from this machine/,
      );
    });

    // Which of the two says it first, the check or the provider of the image, is not ours to decide.
    it("the layer nodes: an update without a preview fails, too, and creates nothing", async () => {
      await refused([update], "home-nodes", pinned, /127\.0\.0\.1:\d+/);
    });

    it("the layer services, before the nodes are deployed: says what to deploy first", async () => {
      await refused([update], "home-services", pinned, /home-nodes/);
    });

    it("the layer volumes, before the services are deployed: says what to deploy first", async () => {
      await refused([update], "home-volumes", pinned, /home-services/);
    });

    it("the layer rancheros: its update says that Proxmox does not answer, and records nothing", async () => {
      const { code, text } = await pinned.pulumi("up", "--yes", "--skip-preview", "--stack", "home-rancheros");
      assert.notEqual(code, 0);
      assert.match(text, /Proxmox at https:\/\/127\.0\.0\.1:\d+: no answer/);
      assert.doesNotMatch(text, /11111111-2222/);
      assert.deepEqual(await pinned.real("home-rancheros"), []);
    });
  });
});
