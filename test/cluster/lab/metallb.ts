import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type {
  V1Container,
  V1CustomResourceDefinition,
  V1Deployment,
  V1EndpointSlice,
  V1Pod,
  V1Secret,
  V1ValidatingWebhookConfiguration,
} from "@kubernetes/client-node";
import { metallbValues } from "../../../components/services/metallb";
import type { Kind, StoredObject } from "../../../operations/clients";
import * as kinds from "../../../operations/kinds";
import { endpointSlices } from "../../../operations/load-balancer/names";
import { podSecurity } from "../../../operations/pod-security";
import { program } from "./build";
import type { ControlPlane } from "./control-plane";
import { install, metallbFile, yamlObjects } from "./crds";
import { readyPods, setPodReady } from "./nodes";
import { freePorts, until, type Program } from "./processes";

/** As the program names it. */
export const metallbNamespace = "metallb-system";
/** The name that its certificate has to carry. */
export const webhookHost = `metallb-webhook-service.${metallbNamespace}.svc`;
/** Where MetalLB's webhook listens, of its pod's address. Not to be chosen. */
export const webhookPort = 9443;

export const webhookConfigurations: Kind<V1ValidatingWebhookConfiguration> = {
  apiVersion: "admissionregistration.k8s.io/v1",
  kind: "ValidatingWebhookConfiguration",
};
const webhookCertificate = "metallb-webhook-cert";

/**
 * MetalLB as its release leaves it, of MetalLB's own manifests: roles, Service, Secret, and the controller's Deployment, whose pod kwok plays. The webhooks'
 * configuration is the chart's. What the pod runs is MetalLB's controller, at the pod's address, by the pod's arguments and with its service account's
 * rights; it is started when a test says so, which is what makes the race.
 */
export class MetalLb {
  private controller: Program | undefined;
  private starts = 0;

  private constructor(
    private readonly plane: ControlPlane,
    /** Of the pod, and one of this namespace. */
    readonly address: string,
    private readonly pod: V1Pod,
  ) {}

  /** Done when Helm would be: every object is there, and the pod is ready. A node that takes it is there already. */
  static async install(plane: ControlPlane): Promise<MetalLb> {
    await plane.namespace(metallbNamespace, podSecurity("privileged"));
    const manifests = yamlObjects(await metallbFile("config/manifests/metallb-native.yaml")) as StoredObject[];
    // Not those of config/crd: they lack the conversion by a webhook, and the controller waits for it before it listens.
    await install(plane.api, manifests.filter(isDefinition));
    const others = ["Namespace", "CustomResourceDefinition", "DaemonSet", webhookConfigurations.kind];
    for (const object of manifests.filter(({ kind }) => !others.includes(kind ?? ""))) await plane.api.create(object);
    await plane.api.create(await chartWebhooks());
    const [pod] = await readyPods(plane.api, 1, { namespace: metallbNamespace, labels: { component: "controller" } });
    const address = pod?.status?.podIP;
    if (!pod || address === undefined) throw new Error("MetalLB's controller has no pod with an address");
    execFileSync("ip", ["address", "add", `${address}/32`, "dev", "lo"]);
    return new MetalLb(plane, address, pod);
  }

  /** Whether the pod counts as ready: without one the Service has no endpoint. */
  async ready(ready: boolean): Promise<void> {
    await setPodReady(this.plane.api, this.pod.metadata?.name ?? "", metallbNamespace, ready);
    const labels = { "kubernetes.io/service-name": "metallb-webhook-service" };
    await until(`the webhook's endpoint is ${ready ? "ready" : "not ready"}`, async () => {
      const slices = await this.plane.api.list(endpointSlices, { namespace: metallbNamespace, labels });
      if (slices.some(hasReady) !== ready) throw new Error(JSON.stringify(slices));
    });
  }

  /** Starts the process. Its webhook listens once it has its certificate, which `mount` brings. */
  async start(): Promise<void> {
    const { metadata, spec } = this.pod;
    const [metrics = 0, health = 0] = await freePorts(2);
    const container = spec?.containers[0];
    const account = `system:serviceaccount:${metallbNamespace}:${spec?.serviceAccountName}`;
    const kubeconfig = this.plane.file("metallb-controller.kubeconfig");
    const groups = ["system:serviceaccounts", `system:serviceaccounts:${metallbNamespace}`];
    writeFileSync(kubeconfig, this.plane.kubeconfigFor(account, groups), { mode: 0o600 });
    mkdirSync(this.certificates, { recursive: true });
    this.controller = this.plane.run(
      `metallb-controller-${(this.starts += 1)}`,
      [
        program("metallb", "controller"),
        ...(container?.args ?? []).filter((argument) => !argument.startsWith("--port=")),
        // Elsewhere than in a container of its own, because this machine's may be taken.
        ...[`--port=${metrics}`, `--health-probe-port=${health}`, `--cert-dir=${this.certificates}`],
      ],
      {
        env: {
          ...environmentOf(container, metadata?.name ?? ""),
          KUBECONFIG: kubeconfig,
          METALLB_NAMESPACE: metallbNamespace,
          // The webhook's server looks for its certificate below it, whatever --cert-dir says.
          TMPDIR: this.plane.file("metallb"),
        },
      },
    );
    await this.controller.ready(async () => {
      const { status } = await fetch(`http://127.0.0.1:${health}/readyz`);
      if (status !== 200) throw new Error(`/readyz: ${status}`);
    });
  }

  /** Brings the certificate that the controller has written into its Secret to where the pod mounts it, as a kubelet does within a minute or so. */
  async mount(): Promise<void> {
    const data = await until("the controller has written its certificate", async () => {
      const { data: found } = (await this.plane.api.read(secrets, webhookCertificate, metallbNamespace)) ?? {};
      if (found?.["tls.crt"] === undefined) throw new Error(Object.keys(found ?? {}).join(", "));
      return found;
    });
    for (const [name, base64] of Object.entries(data))
      writeFileSync(join(this.certificates, name), Buffer.from(base64, "base64"), { mode: 0o600 });
  }

  /** As when its node dies: the pod's process is gone and its volume with it. The pod counts as ready until somebody says otherwise. */
  async kill(): Promise<void> {
    const { controller } = this;
    if (!controller) return;
    await controller.stop();
    this.plane.programs.splice(this.plane.programs.indexOf(controller), 1);
    rmSync(this.certificates, { recursive: true });
    this.controller = undefined;
  }

  /** Gives the address back; the process ends with the control plane. */
  leave(): void {
    execFileSync("ip", ["address", "delete", `${this.address}/32`, "dev", "lo"]);
  }

  /** What it wrote last, without its stacks. */
  lastLines(): string {
    const lines = this.controller?.lastLines(20).split("\n") ?? [];
    return lines.map((line) => line.replace(/,"(stacktrace|errorVerbose)":.*/, "")).join("\n");
  }

  private get certificates(): string {
    return this.plane.file("metallb/k8s-webhook-server/serving-certs");
  }
}

const secrets: Kind<V1Secret> = kinds.secrets;

/** The webhooks' configuration as the chart makes it of the program's values: its template, whose few expressions are filled in here and not by Helm. */
export async function chartWebhooks(): Promise<V1ValidatingWebhookConfiguration> {
  const { crds } = metallbValues([]) as { crds?: { validationFailurePolicy?: string } };
  const said: Readonly<Record<string, string | undefined>> = {
    ".Release.Namespace": metallbNamespace,
    ".Release.Namespace | quote": JSON.stringify(metallbNamespace),
    ".Values.crds.validationFailurePolicy": crds?.validationFailurePolicy,
    'include "metallb.labels" . | nindent 4': "\n    app.kubernetes.io/name: metallb",
    'include "metallb.selectorLabels" . | nindent 4': "\n    app.kubernetes.io/name: metallb",
  };
  const template = await metallbFile("charts/metallb/templates/webhooks.yaml");
  const text = template.replaceAll(/\{\{-?\s*(.*?)\s*-?\}\}/g, (_, expression: string) => {
    const value = said[expression];
    if (value === undefined)
      throw new Error(`the chart's webhooks.yaml has an expression that is not known: ${expression}`);
    return value;
  });
  const found = (yamlObjects(text) as StoredObject[]).find(({ kind }) => kind === webhookConfigurations.kind);
  if (!found) throw new Error("the chart's webhooks.yaml has no configuration of webhooks");
  return found;
}

export const deployments: Kind<V1Deployment> = { apiVersion: "apps/v1", kind: "Deployment" };

function environmentOf(container: V1Container | undefined, pod: string): Record<string, string> {
  return Object.fromEntries(
    (container?.env ?? []).map(({ name, value, valueFrom }) => {
      if (value !== undefined) return [name, value];
      if (valueFrom?.fieldRef?.fieldPath === "metadata.name") return [name, pod];
      throw new Error(`${name}: where its value comes from is not known here`);
    }),
  );
}

function isDefinition(object: StoredObject): object is V1CustomResourceDefinition {
  return object.kind === "CustomResourceDefinition";
}

function hasReady({ endpoints }: V1EndpointSlice): boolean {
  return (endpoints ?? []).some(({ conditions }) => conditions?.ready === true);
}
