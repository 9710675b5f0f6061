import * as pulumi from "@pulumi/pulumi";
import type { Environment } from "../../environment/schema";
import { ask, declare, type AccessInput } from "../../operations/declare";
import { checkIngressPods } from "../../operations/load-balancer/check-ingress-pods";
import { ingressAnswers } from "../../operations/load-balancer/ingress-answers";
import { ChartService } from "./ingress-chart-service";
import { OwnService } from "./ingress-own-service";
import { ingressSettings, type IngressTarget } from "./ingress-target";

export interface IngressServiceArgs {
  readonly ingress: Environment["ingress"];
  readonly target: IngressTarget;
  /** Names of the nodes with a card in the pool's network. */
  readonly announcers: readonly string[];
  /** To the Kubernetes API. */
  readonly access: AccessInput;
}

/** The ingress controller on its fixed address: refused while nobody would answer there, done once somebody does. */
export class IngressService extends pulumi.ComponentResource {
  /** Where clients reach the controller, once it answers. */
  readonly address: pulumi.Output<string>;

  constructor(name: string, args: IngressServiceArgs, opts?: pulumi.ComponentResourceOptions) {
    super("home-cluster:services:IngressService", name, args, opts);
    const { ingress, target, access } = args;
    const settings = ingressSettings(ingress, target, args.announcers);
    const { namespace, uid } = ask(checkIngressPods, access, settings, { parent: this });
    const after = { parent: this, dependsOn: opts?.dependsOn };
    const { chart } = target;
    const service = chart
      ? new ChartService(
          `${name}-chart`,
          { ingress, chart, chartNamespace: target.namespace, namespace, access },
          after,
        )
      : new OwnService(`${name}-own`, { ingress, target, namespace, uid, access }, after);
    const answers = declare(
      `${name}-answers`,
      {
        create: ingressAnswers,
        update: ingressAnswers,
        access,
        // All of the settings, so that a change of any is waited for again; the namespace from the check, so that a refusal leaves nothing to
        // register.
        input: namespace.apply((checked) => ({ ...settings, namespace: checked })),
      },
      { parent: this, dependsOn: service },
    );
    this.address = answers.result.address;
    this.registerOutputs({ address: this.address });
  }
}
