import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { V1CustomResourceDefinition } from "@kubernetes/client-node";
import { stringify } from "yaml";
import { readiness } from "./nodes";

/** A chart that takes the values that are set and no others, and brings kinds in its templates, as the real one does. */
export interface MadeUpChart {
  readonly name: string;
  readonly version: string;
  readonly values: unknown;
  readonly definitions: readonly V1CustomResourceDefinition[];
  /** Further templates, by file name. */
  readonly templates?: Readonly<Record<string, string>>;
}

/** Writes it. Beside what is given it has one ConfigMap `values` with the values that it was installed with. */
export function makeUpChart(folder: string, { name, version, values, definitions, templates = {} }: MadeUpChart): void {
  mkdirSync(join(folder, "templates"), { recursive: true });
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text);
  write("Chart.yaml", stringify({ apiVersion: "v2", name, version }));
  write("values.yaml", stringify(values));
  // By way of a file, since descriptions of fields may look like templates.
  write("definitions.yaml", definitions.map((definition) => stringify(definition)).join("---\n"));
  write(join("templates", "definitions.yaml"), '{{ .Files.Get "definitions.yaml" }}\n');
  write(join("templates", "values.yaml"), configMap("values", "values: {{ .Values | toJson | quote }}"));
  for (const [file, text] of Object.entries(templates)) write(join("templates", file), text);
}

/** Where Longhorn's manager reads how to make its class, as in its chart. */
export const classMap = "longhorn-storageclass";

/** Longhorn's as far as anybody asks for it: the manager on each of the nodes that it is let on, and the ConfigMap of its class. */
export const longhornTemplates = {
  "storageclass.yaml": configMap(
    classMap,
    "default: {{ .Values.persistence.defaultClass | quote }}\n  reclaimPolicy: {{ .Values.persistence.reclaimPolicy | quote }}",
  ),
  "manager.yaml": workload("DaemonSet", "longhorn-manager", {
    nodeSelector: "{{ .Values.longhornManager.nodeSelector | toJson }}",
    // The level that the namespace states is needed.
    securityContext: "{ privileged: true }",
  }),
};

/** MetalLB's: controller, speakers, and the webhook's configuration, which leads to an address instead of a Service: nobody routes Services here. */
export function metallbTemplates(webhook: { readonly url: string; readonly ca: string }): Record<string, string> {
  return {
    "controller.yaml": workload("Deployment", "metallb-controller", {
      nodeSelector: "{{ .Values.controller.nodeSelector | toJson }}",
    }),
    "speaker.yaml": workload("DaemonSet", "metallb-speaker", {
      affinity: "{{ .Values.speaker.affinity | toJson }}",
      tolerations: "{{ .Values.speaker.tolerations | toJson }}",
      hostNetwork: "true",
    }),
    "webhook.yaml": `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: { name: ${webhookName} }
webhooks:
${["ipaddresspools", "l2advertisements"]
  .map(
    (resource) => `  - name: ${resource}.metallb.test
    clientConfig: { url: "${webhook.url}", caBundle: ${Buffer.from(webhook.ca).toString("base64")} }
    failurePolicy: {{ .Values.crds.validationFailurePolicy }}
    sideEffects: None
    admissionReviewVersions: [v1]
    rules: [{ apiGroups: [metallb.io], apiVersions: [v1beta1], operations: [CREATE, UPDATE], resources: [${resource}] }]
`,
  )
  .join("")}`,
  };
}

export const webhookName = "metallb-webhook-configuration";

function configMap(name: string, data: string): string {
  return `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name}, namespace: "{{ .Release.Namespace }}" }\ndata:\n  ${data}\n`;
}

/** One container whose image nobody pulls. Its pods are ready when a test says so (others.ts). */
function workload(
  kind: "DaemonSet" | "Deployment",
  name: string,
  { securityContext, ...pod }: Readonly<Record<string, string>>,
): string {
  const [[ready, value] = ["", ""]] = Object.entries(readiness(false));
  const settings = Object.entries(pod).map(([key, text]) => `      ${key}: ${text}\n`);
  return `apiVersion: apps/v1
kind: ${kind}
metadata: { name: ${name}, namespace: "{{ .Release.Namespace }}", labels: { app: ${name} } }
spec:
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata:
      labels: { app: ${name} }
      annotations: { ${ready}: "${value}" }
    spec:
${settings.join("")}      containers:
        - name: main
          image: example.test/${name}:1
${securityContext === undefined ? "" : `          securityContext: ${securityContext}\n`}`;
}
