import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../../environment/schema";
import { Refusal } from "../../operations/refusal";

export type Controller = Environment["ingress"]["controller"];

export interface LonghornIngressArgs {
  readonly host: string;
  readonly clusterIssuer: string;
  readonly controller: Controller;
  readonly className: string;
  readonly namespace: pulumi.Input<string>;
  /** Output of the Secret, so that nothing here exists before it. */
  readonly authSecret: pulumi.Input<string>;
}

/** The way to Longhorn's UI: TLS and basic auth by the controller, since the UI has no login of its own. */
export class LonghornIngress extends pulumi.ComponentResource {
  constructor(name: string, args: LonghornIngressArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:LonghornIngress", name, args, opts);
    const { namespace, host } = args;
    const auth = authentication(args.controller, args.authSecret, namespace);
    const middlewares = auth.middlewares.map(
      (middleware) =>
        new kubernetes.apiextensions.CustomResource(
          `${name}-${middleware.name}`,
          {
            apiVersion: "traefik.io/v1alpha1",
            kind: "Middleware",
            metadata: { name: middleware.name, namespace },
            spec: middleware.spec,
          },
          { parent: this },
        ),
    );
    new kubernetes.networking.v1.Ingress(
      `${name}-ingress`,
      {
        metadata: {
          name: "longhorn-ingress",
          namespace,
          annotations: {
            "cert-manager.io/cluster-issuer": args.clusterIssuer,
            ...auth.annotations,
            // The engine would wait for an address in the status, which Traefik and RKE2's nginx need not publish: ten minutes, then failure.
            "pulumi.com/skipAwait": "true",
          },
        },
        spec: {
          ingressClassName: args.className,
          rules: [{ host, http: { paths: [{ path: "/", pathType: "Prefix", backend: frontend }] } }],
          tls: [{ hosts: [host], secretName: "longhorn-ingress-cert" }],
        },
      },
      // Traefik drops a route that names a middleware which is missing.
      { parent: this, dependsOn: middlewares },
    );
    this.registerOutputs({});
  }
}

/** Longhorn's chart gives the UI's Service this name. */
const frontend = { service: { name: "longhorn-frontend", port: { number: 80 } } };

/** With the space at its end, as Longhorn's documentation has it. */
const realm = "Authentication Required ";

/** What makes a controller ask for the password. */
export interface Authentication {
  readonly annotations: Readonly<Record<string, pulumi.Input<string>>>;
  /** Traefik's Middlewares, in the order in which a request meets them. */
  readonly middlewares: readonly { readonly name: string; readonly spec: object }[];
}

/** Throws a Refusal for a controller of which it is not known how to make it ask: it would serve the UI to everybody, and not say so. */
export function authentication(
  controller: Controller,
  secret: pulumi.Input<string>,
  namespace: pulumi.Input<string>,
): Authentication {
  switch (controller) {
    case "nginx": {
      const prefix = "nginx.ingress.kubernetes.io";
      return {
        annotations: {
          [`${prefix}/auth-type`]: "basic",
          [`${prefix}/auth-secret`]: secret,
          [`${prefix}/auth-realm`]: realm,
          // Not the `false` of Longhorn's sample, which would send the password in clear.
          [`${prefix}/ssl-redirect`]: "true",
          // Backing images are uploaded through the UI; nginx's own limit is 1 MiB.
          [`${prefix}/proxy-body-size`]: "10000m",
        },
        middlewares: [],
      };
    }
    case "traefik": {
      // The redirect first, so that nobody is asked for a password over plain HTTP. Traefik has no body limit that would stand in the way of uploads.
      const middlewares = [
        { name: "longhorn-https", spec: { redirectScheme: { scheme: "https", permanent: true } } },
        { name: "longhorn-auth", spec: { basicAuth: { secret, realm } } },
      ];
      const prefix = "traefik.ingress.kubernetes.io";
      return {
        annotations: {
          // Both by name (those of RKE2's and K3s's charts), or the route stands on whatever else is open. No `router.tls`, which would take the
          // route away from `web` and so leave plain HTTP without its redirect.
          [`${prefix}/router.entrypoints`]: "web,websecure",
          [`${prefix}/router.middlewares`]: pulumi
            .output(namespace)
            .apply((where) => middlewares.map(({ name }) => `${where}-${name}@kubernetescrd`).join(",")),
        },
        middlewares,
      };
    }
    default:
      return refuse(controller);
  }
}

/** Typed `never`, so that a controller added to the schema does not compile until it is answered above. */
function refuse(controller: never): never {
  throw new Refusal({
    what: `ingress controller ${String(controller)}: no authentication is declared for it`,
    why: "Longhorn's UI has no login of its own; without one, whoever reaches the host can delete every volume",
    next: "set ingress.controller to nginx or traefik, or declare another in components/services/longhorn-ingress.ts",
  });
}
