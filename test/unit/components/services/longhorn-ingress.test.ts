import assert from "node:assert/strict";
import { authentication, LonghornIngress, type Controller } from "../../../../components/services/longhorn-ingress";
import { environmentSchema } from "../../../../environment/schema";
import { Refusal } from "../../../../operations/refusal";
import { names, resources, run } from "../../../support/services";

const program =
  (controller: Controller, namespace = "longhorn-system") =>
  (opts: object) =>
    new LonghornIngress(
      "way",
      {
        host: "longhorn.home.example.org",
        clusterIssuer: "letsencrypt",
        controller,
        className: controller,
        namespace,
        authSecret: "basic-auth",
      },
      opts,
    );

const ingress = (className: string, annotations: object): object => ({
  name: "way-ingress",
  type: "kubernetes:networking.k8s.io/v1:Ingress",
  parent: "way",
  provider: "cluster",
  inputs: {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: {
      name: "longhorn-ingress",
      namespace: "longhorn-system",
      annotations: {
        "cert-manager.io/cluster-issuer": "letsencrypt",
        "pulumi.com/skipAwait": "true",
        ...annotations,
      },
    },
    spec: {
      ingressClassName: className,
      rules: [
        {
          host: "longhorn.home.example.org",
          http: {
            paths: [
              {
                path: "/",
                pathType: "Prefix",
                backend: { service: { name: "longhorn-frontend", port: { number: 80 } } },
              },
            ],
          },
        },
      ],
      tls: [{ hosts: ["longhorn.home.example.org"], secretName: "longhorn-ingress-cert" }],
    },
  },
});
/** The SDK's own, for the API versions that Ingress had. */
const aliases = { aliases: ["", ""] };

const nginx = {
  ...ingress("nginx", {
    "nginx.ingress.kubernetes.io/auth-type": "basic",
    "nginx.ingress.kubernetes.io/auth-secret": "basic-auth",
    "nginx.ingress.kubernetes.io/auth-realm": "Authentication Required ",
    "nginx.ingress.kubernetes.io/ssl-redirect": "true",
    "nginx.ingress.kubernetes.io/proxy-body-size": "10000m",
  }),
  options: aliases,
};

const middleware = (name: string, spec: object): object => ({
  name: `way-${name}`,
  type: "kubernetes:traefik.io/v1alpha1:Middleware",
  parent: "way",
  provider: "cluster",
  inputs: {
    apiVersion: "traefik.io/v1alpha1",
    kind: "Middleware",
    metadata: { name, namespace: "longhorn-system" },
    spec,
  },
});
const traefik = [
  {
    ...ingress("traefik", {
      "traefik.ingress.kubernetes.io/router.entrypoints": "web,websecure",
      "traefik.ingress.kubernetes.io/router.middlewares":
        "longhorn-system-longhorn-https@kubernetescrd,longhorn-system-longhorn-auth@kubernetescrd",
    }),
    after: ["way-longhorn-auth", "way-longhorn-https"],
    options: aliases,
  },
  middleware("longhorn-auth", { basicAuth: { secret: "basic-auth", realm: "Authentication Required " } }),
  middleware("longhorn-https", { redirectScheme: { scheme: "https", permanent: true } }),
];

describe("LonghornIngress (mock runtime: does not prove that a controller asks for the password)", () => {
  for (const preview of [false, true]) {
    const mode = preview ? "preview" : "update";
    it(`nginx: one Ingress, as the issue has it (${mode})`, async () => {
      const recording = await run(program("nginx"), { preview });
      assert.equal(recording.error, undefined);
      assert.deepEqual(resources(recording), [nginx]);
    });

    it(`traefik: the Ingress behind its two Middlewares (${mode})`, async () => {
      const recording = await run(program("traefik"), { preview });
      assert.equal(recording.error, undefined);
      assert.deepEqual(resources(recording), traefik);
    });

    it(`a controller without a declared authentication: nothing (${mode})`, async () => {
      const recording = await run(program("haproxy" as Controller), { preview });
      assert.deepEqual(names(recording), ["way"]);
      assert.match(recording.error?.message ?? "", /ingress controller haproxy: no authentication is declared/);
    });
  }

  it("traefik: no route without the Middlewares", async () => {
    for (const fail of ["longhorn-auth", "longhorn-https"]) {
      assert.deepEqual(names(await run(program("traefik"), { fail })), [
        "way",
        "way-longhorn-auth",
        "way-longhorn-https",
      ]);
    }
  });

  it("traefik: names the Middlewares in the namespace in which they are", async () => {
    const [found] = resources(await run(program("traefik", "elsewhere")));
    const { annotations } = (found?.inputs as { metadata: { annotations: Record<string, string> } }).metadata;
    assert.equal(
      annotations["traefik.ingress.kubernetes.io/router.middlewares"],
      "elsewhere-longhorn-https@kubernetescrd,elsewhere-longhorn-auth@kubernetescrd",
    );
  });
});

describe("authentication", () => {
  it("is declared for every controller of the schema", () => {
    for (const controller of environmentSchema.shape.ingress.shape.controller.options) {
      const { annotations, middlewares } = authentication(controller, "basic-auth", "longhorn-system");
      assert.match(JSON.stringify([annotations, middlewares]), /basic-auth/);
    }
  });

  it("is refused for any other, with the reason and what to do", () => {
    assert.throws(
      () => authentication("haproxy" as Controller, "basic-auth", "longhorn-system"),
      (error: unknown) => {
        assert.ok(error instanceof Refusal);
        assert.equal(error.parts.what, "ingress controller haproxy: no authentication is declared for it");
        assert.match(error.parts.why, /no login of its own/);
        assert.match(error.parts.next, /nginx or traefik/);
        return true;
      },
    );
  });
});
