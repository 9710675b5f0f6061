import assert from "node:assert/strict";
import { LonghornUi } from "../../../../components/services/longhorn-ui";
import type { Environment } from "../../../../environment/schema";
import { inClear, names, run, summaries } from "../../../support/services";

const program =
  (controller: Environment["ingress"]["controller"] = "nginx") =>
  (opts: object) => {
    const { url, password } = new LonghornUi(
      "ui",
      {
        host: "longhorn.home.example.org",
        user: "admin",
        clusterIssuer: "letsencrypt",
        controller,
        className: controller,
        namespace: "longhorn-system",
      },
      opts,
    );
    return { url, password };
  };

describe("LonghornUi (mock runtime: does not prove that the UI answers)", () => {
  for (const preview of [false, true]) {
    it(`is made of a password and a way in, each under it (${preview ? "preview" : "update"})`, async () => {
      const recording = await run(program("traefik"), { preview });
      assert.equal(recording.error, undefined);
      assert.deepEqual(
        summaries(recording).map(({ name, type, parent }) => [name, type, parent]),
        [
          ["ui", "home-cluster:services:LonghornUi", "home-cluster-test-services"],
          ["ui-auth", "home-cluster:services:BasicAuth", "ui"],
          ["ui-auth-password", "random:index/randomPassword:RandomPassword", "ui-auth"],
          ["ui-auth-salt", "random:index/randomString:RandomString", "ui-auth"],
          ["ui-auth-secret", "kubernetes:core/v1:Secret", "ui-auth"],
          ["ui-way", "home-cluster:services:LonghornIngress", "ui"],
          ["ui-way-ingress", "kubernetes:networking.k8s.io/v1:Ingress", "ui-way"],
          ["ui-way-longhorn-auth", "kubernetes:traefik.io/v1alpha1:Middleware", "ui-way"],
          ["ui-way-longhorn-https", "kubernetes:traefik.io/v1alpha1:Middleware", "ui-way"],
        ],
      );
    });
  }

  for (const controller of ["nginx", "traefik"] as const) {
    it(`${controller}: the route waits for the Secret`, async () => {
      const found = summaries(await run(program(controller)));
      const waiting = found.filter(({ after }) => after?.includes("ui-auth-secret")).map(({ name }) => name);
      // Of all, the component, which the rest waits for; and each that names the Secret, for itself.
      const asking = controller === "nginx" ? "ui-way-ingress" : "ui-way-longhorn-auth";
      assert.deepEqual(waiting, ["ui-way", asking]);
      const route = found.find(({ name }) => name === "ui-way-ingress");
      assert.equal(asking === "ui-way-ingress" || route?.after?.includes(asking), true);
    });

    for (const fail of ["ui-auth-secret", "ui-auth-password", "ui-auth-salt"]) {
      it(`${controller}: no route and no Middleware without ${fail}`, async () => {
        const registered = names(await run(program(controller), { fail }));
        const secret = fail === "ui-auth-secret" ? ["ui-auth-secret"] : [];
        assert.deepEqual(registered, ["ui", "ui-auth", "ui-auth-password", "ui-auth-salt", ...secret]);
      });
    }
  }

  it("hands on where the UI is, and the password as a secret", async () => {
    const recording = await run(program());
    assert.equal(recording.outputs.url, "https://longhorn.home.example.org");
    assert.match(inClear(recording), /"password":"\[secret\]"/);
    assert.equal(inClear(recording).includes("correct-horse"), false);
  });
});
