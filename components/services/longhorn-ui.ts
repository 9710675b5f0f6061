import * as pulumi from "@pulumi/pulumi";
import { BasicAuth } from "./basic-auth";
import { LonghornIngress, type Controller } from "./longhorn-ingress";

export interface LonghornUiArgs {
  readonly host: string;
  /** User of the basic auth; the password is generated. */
  readonly user: string;
  readonly clusterIssuer: string;
  readonly controller: Controller;
  readonly className: string;
  /** Longhorn's, as its component hands it on. */
  readonly namespace: pulumi.Input<string>;
}

/** Longhorn's UI behind TLS and a generated password. */
export class LonghornUi extends pulumi.ComponentResource {
  readonly url: string;
  /** Secret. */
  readonly password: pulumi.Output<string>;

  constructor(name: string, args: LonghornUiArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:LonghornUi", name, args, opts);
    const { user, namespace, host, clusterIssuer, controller, className } = args;
    const auth = new BasicAuth(`${name}-auth`, { user, namespace }, { parent: this });
    new LonghornIngress(
      `${name}-way`,
      { host, clusterIssuer, controller, className, namespace, authSecret: auth.secretName },
      // All of it: the password must be asked for from the first moment that the route exists.
      { parent: this, dependsOn: auth },
    );
    this.url = `https://${host}`;
    this.password = auth.password;
    this.registerOutputs({ url: this.url, password: this.password });
  }
}
