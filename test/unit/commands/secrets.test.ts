import assert from "node:assert/strict";
import { readSecrets, variableOf } from "../../../commands/secrets";

const nobody = (): never => assert.fail("the Pulumi CLI was asked");

describe("secrets of our own commands (does not prove that the Pulumi CLI decrypts)", () => {
  it("each secret has a variable", () => {
    assert.equal(variableOf("proxmoxToken"), "HOME_CLUSTER_PROXMOX_TOKEN");
    assert.equal(variableOf("kubeconfig"), "HOME_CLUSTER_KUBECONFIG");
  });

  it("variables are enough, and the CLI is not asked then", () => {
    const found = readSecrets("home", ["proxmoxToken"], { HOME_CLUSTER_PROXMOX_TOKEN: "t" }, nobody);
    assert.deepEqual(found, { proxmoxToken: "t" });
  });

  it("what variables do not give comes from the configuration of the nodes stack", () => {
    const asked: string[] = [];
    const found = readSecrets("home", ["proxmoxToken", "kubeconfig"], { HOME_CLUSTER_KUBECONFIG: "k" }, (stack) => {
      asked.push(stack);
      return { json: JSON.stringify({ "home-cluster:proxmoxToken": { value: "from config", secret: true } }) };
    });
    assert.deepEqual(found, { kubeconfig: "k", proxmoxToken: "from config" });
    assert.deepEqual(asked, ["home-nodes"]);
  });

  it("an empty variable is no secret; every missing one is named with both ways to give it", () => {
    assert.throws(
      () =>
        readSecrets("home", ["proxmoxToken", "rancherToken"], { HOME_CLUSTER_PROXMOX_TOKEN: "" }, () => ({
          why: "the Pulumi CLI is not on PATH",
        })),
      {
        message:
          "no secret proxmoxToken, rancherToken for home (the Pulumi CLI is not on PATH): set HOME_CLUSTER_PROXMOX_TOKEN, HOME_CLUSTER_RANCHER_TOKEN, " +
          "or run `pulumi config set --secret --stack home-nodes proxmoxToken`",
      },
    );
  });
});
