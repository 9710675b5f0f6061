import type { V1Secret } from "@kubernetes/client-node";
import { gunzipSync } from "node:zlib";
import { z } from "zod";
import type { KubernetesApi } from "../clients";
import { secrets } from "../kinds";
import { Refusal } from "../refusal";

/** One revision of a Helm release, as Helm itself recorded it in the cluster. */
export interface HelmRevision {
  readonly release: string;
  readonly namespace: string;
  readonly revision: number;
  /** Helm's word: `deployed`, `superseded`, `failed`, `pending-upgrade` … */
  readonly status: string;
  /** The Secret that holds the record. */
  readonly secret: string;
  /** Decodes the record, which may be a megabyte: only what is asked for is unpacked. */
  readonly content: () => HelmContent;
}

export interface HelmContent {
  readonly chart: { readonly name: string; readonly version: string; readonly appVersion: string | undefined };
  /** What the last action said, such as why it failed. */
  readonly description: string;
  /** The objects it installed, hooks left out. */
  readonly manifest: string;
}

/** All revisions of all releases in all namespaces. Helm 3 keeps them as Secrets of this type with these labels (helm/helm, pkg/storage/driver). */
export async function helmRevisions(kubernetes: KubernetesApi): Promise<readonly HelmRevision[]> {
  const found = await kubernetes.list<V1Secret>(secrets, { labels: { owner: "helm" } });
  return found
    .filter((secret) => secret.type === "helm.sh/release.v1")
    .map((secret) => ({
      release: secret.metadata?.labels?.name ?? "",
      namespace: secret.metadata?.namespace ?? "",
      revision: Number(secret.metadata?.labels?.version ?? 0),
      status: secret.metadata?.labels?.status ?? "unknown",
      secret: secret.metadata?.name ?? "",
      content: () => decode(secret),
    }));
}

const record = z.object({
  info: z.object({ description: z.string().optional() }).optional(),
  chart: z.object({
    metadata: z.object({ name: z.string(), version: z.string(), appVersion: z.string().optional() }),
  }),
  manifest: z.string().optional(),
});

/** JSON in gzip in base64, and the whole in base64 once more as every Secret's data. Records of early Helm 3 are not compressed. */
function decode(secret: V1Secret): HelmContent {
  try {
    const inner = Buffer.from(secret.data?.release ?? "", "base64").toString("latin1");
    const packed = Buffer.from(inner, "base64");
    const text = packed[0] === 0x1f && packed[1] === 0x8b ? gunzipSync(packed) : packed;
    const { info, chart, manifest } = record.parse(JSON.parse(text.toString("utf8")));
    const { name, version, appVersion } = chart.metadata;
    return { chart: { name, version, appVersion }, description: info?.description ?? "", manifest: manifest ?? "" };
  } catch {
    // The parser's own message would quote the record, and a release's values may hold secrets.
    throw new Refusal({
      what: `Secret ${secret.metadata?.namespace}/${secret.metadata?.name}: no Helm release can be read from it`,
      why: "it is labelled as one, and what it installed would be overlooked",
      next: `look at it with \`helm -n ${secret.metadata?.namespace} history ${secret.metadata?.labels?.name}\`, and delete the Secret if Helm cannot read it either`,
    });
  }
}
