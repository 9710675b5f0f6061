import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { V1Secret } from "@kubernetes/client-node";
import type { Controller } from "../../components/services/longhorn-ingress";
import * as kinds from "../../operations/kinds";
import { podSecurity } from "../../operations/pod-security";
import { Engine, type Checkout } from "../engine/support";
import { environment } from "../support/environment";
import { needs } from "../support/needs";
import { ControlPlane, minors } from "./lab/control-plane";
import { definitions, install } from "./lab/crds";

const { longhornNamespace: namespace } = kinds;
const stack = "home-services";
const file = environment("home");
const { user } = file.longhorn;

for (const minor of minors) {
  for (const controller of ["nginx", "traefik"] satisfies Controller[]) {
    describe(`the UI's basic auth for ${controller}, by the real engine on the ${minor} API server (no ingress controller runs: that it asks is not shown)`, () => {
      let plane: ControlPlane;
      let engine: Engine;
      let checkout: Checkout;
      let password = "";
      /** What the engine printed, and what must not be in it. */
      const printed: string[] = [];
      const hidden: string[] = [];
      let made: V1Secret | undefined;

      before(async function () {
        needs(
          this,
          "htpasswd",
          "pulumi",
          "pulumi-language-nodejs",
          "pulumi-resource-kubernetes",
          "pulumi-resource-random",
        );
        plane = await ControlPlane.start({ minor });
        await install(plane.api, await definitions(minor));
        await plane.namespace(namespace, podSecurity("privileged"));
        engine = new Engine();
        checkout = engine.copy();
        checkout.write("index.ts", program);
        checkout.write(
          "lab.json",
          JSON.stringify({ file, kubeconfig: plane.kubeconfigFor("engine", ["system:masters"]), controller }),
        );
        await checkout.init(stack);
      });

      after(async () => {
        engine?.dispose();
        await plane?.stop();
      });

      afterEach("no part has ended", () => assert.deepEqual(plane.casualties(), []));

      it("accepts the password that the stack puts out, and no other, in Apache's own opinion", async () => {
        await up();
        password = await shown();
        assert.match(password, /^[A-Za-z0-9]{32}$/);
        made = await secret();
        const line = lineOf(made);
        hidden.push(password, line.trim());
        assert.match(line, new RegExp(`^${user}:\\$apr1\\$[A-Za-z0-9]{8}\\$[./A-Za-z0-9]{22}\\n$`));
        assert.equal(accepts(line, user, password), true);
        assert.equal(accepts(line, user, `${password}x`), false);
        assert.equal(accepts(line, user, password.toLowerCase()), false);
        assert.equal(accepts(line, "somebody", password), false);
      });

      it("was there before the Ingress, and all that makes the controller ask as well", () => {
        const created = plane
          .audit()
          .filter(
            ({ verb, user: { username }, objectRef, requestURI, responseStatus }) =>
              username === "engine" &&
              verb === "create" &&
              objectRef?.namespace === namespace &&
              !requestURI.includes("dryRun") &&
              responseStatus?.code === 201,
          )
          .map(({ objectRef }) => objectRef?.resource);
        assert.deepEqual(created, [
          "secrets",
          ...(controller === "traefik" ? ["middlewares", "middlewares"] : []),
          "ingresses",
        ]);
      });

      it("is the same bytes after another update, a refresh, and an update that refreshes", async () => {
        for (const command of [
          ["up", "--yes", "--skip-preview", "--expect-no-changes"],
          ["refresh", "--yes", "--skip-preview", "--expect-no-changes"],
          ["up", "--yes", "--skip-preview", "--expect-no-changes", "--refresh"],
        ]) {
          printed.push(await checkout.must(...command, "--stack", stack));
          // Written by nobody: neither its bytes nor anything else of it.
          assert.deepEqual(await secret(), made, command.join(" "));
          assert.equal(await shown(), password);
        }
      });

      it("is another one once the password is, and then accepts that one alone", async () => {
        const { resources } = await checkout.state(stack);
        const drawn = resources.find(({ type }) => type === "random:index/randomPassword:RandomPassword");
        assert.ok(drawn);
        await up("--replace", drawn.urn);
        const changed = await shown();
        assert.notEqual(changed, password);
        const line = lineOf(await secret());
        assert.notEqual(line, lineOf(made));
        hidden.push(changed, line.trim());
        assert.equal(accepts(line, user, changed), true);
        assert.equal(accepts(line, user, password), false);
      });

      it("never shows the password: not in what the engine prints, nor in the API server's log", async () => {
        printed.push(await checkout.must("preview", "--diff", "--stack", stack), JSON.stringify(plane.audit()));
        assert.deepEqual([hidden.length, new Set(hidden).size], [4, 4]);
        for (const said of printed)
          assert.deepEqual(
            hidden.map((one) => said.includes(one)),
            [false, false, false, false],
          );
      });

      async function up(...options: readonly string[]): Promise<void> {
        printed.push(await checkout.must("up", "--yes", "--skip-preview", ...options, "--diff", "--stack", stack));
      }

      async function shown(): Promise<string> {
        return (await checkout.must("stack", "output", "password", "--show-secrets", "--stack", stack)).trim();
      }

      async function secret(): Promise<V1Secret | undefined> {
        return plane.api.read(kinds.secrets, "basic-auth", namespace);
      }
    });
  }
}

/** The one line of the file that the controller gets. */
function lineOf(secret: V1Secret | undefined): string {
  const { auth = "", ...others } = secret?.data ?? {};
  assert.deepEqual(others, {});
  return Buffer.from(auth, "base64").toString("utf8");
}

/** Whether Apache's htpasswd lets this user in. The password goes by standard input. */
function accepts(line: string, name: string, password: string): boolean {
  const folder = mkdtempSync(join(tmpdir(), "htpasswd-"));
  try {
    const file = join(folder, "auth");
    writeFileSync(file, line, { mode: 0o600 });
    const { status, stderr, error } = spawnSync("htpasswd", ["-v", "-i", file, name], {
      input: password,
      encoding: "utf8",
    });
    // It does not read the password for a user that it does not find.
    if (error && (error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
    // 3: the password is another; 6: no such user (htpasswd(1), EXIT STATUS).
    assert.ok([0, 3, 6].includes(status ?? -1), stderr);
    return status === 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The UI as the layer services has it, and nothing else of it. */
const program = `
import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { LonghornUi } from "./components/services/longhorn-ui";
import { kubernetesProvider, randomProvider } from "./stacks/providers";

const { file, kubeconfig, controller } = JSON.parse(readFileSync("lab.json", "utf8"));
const context = { environment: "home", layer: "services", file, secrets: { kubeconfig: pulumi.secret(kubeconfig) } } as any;
const { host, user, clusterIssuer } = file.longhorn;
const providers = [kubernetesProvider(context), randomProvider()];
const ui = new LonghornUi(
  "longhorn-ui",
  { host, user, clusterIssuer, controller, className: controller, namespace: "longhorn-system" },
  { providers },
);
export const password = ui.password;
`;
