import { parse as parseVersion, type SemVer } from "semver";
import { z } from "zod";
import { readChart, type Chart } from "../charts/read-chart";
import type { KubernetesApi } from "../clients";
import { longhornSettings } from "../kinds";
import { defineOperation } from "../operation";
import { Refusal } from "../refusal";
import { helmRevisions, type HelmContent, type HelmRevision } from "./helm-releases";

const schema = z.strictObject({
  /** The release as declared. */
  name: z.string(),
  namespace: z.string(),
  chart: z.string(),
  version: z.string(),
  /** A chart folder or archive instead, relative to the checkout: what its Chart.yaml says counts, not `version`. */
  path: z.string().optional(),
});
type Declared = z.infer<typeof schema>;
/** The chart that is to be installed. */
type Target = Pick<Chart, "name" | "version">;

const volumesAtStake = "uninstalling Longhorn takes its CRDs and with them every volume and replica";

/**
 * Compares the Longhorn that lives in the cluster with the one declared, before anything is registered. Runs at every preview and update, since
 * Helm and the engine would do each of the refused things without a question: they install a renamed release beside the old one and uninstall that;
 * a changed chart or an older version is a plain upgrade to them. Returns what the Release then takes.
 */
export const checkLonghornRelease = defineOperation({
  verb: "check-longhorn-release",
  needs: ["kubernetes"],
  schema,
  async run(declared, { kubernetes }) {
    const target: Target = declared.path
      ? readChart({ setting: "longhorn.chart.path", path: declared.path, name: declared.chart })
      : { name: declared.chart, version: declared.version };
    for (const live of current(await helmRevisions(kubernetes))) {
      const mine = live.latest.release === declared.name && live.latest.namespace === declared.namespace;
      const content = live.latest.content();
      if (!mine && !isLonghorn(content)) continue;
      if (!mine) throw otherRelease(live.latest, content, declared);
      refuseUnfinished(live.latest);
      refuseOtherChart(live.latest, content, target);
      refuseStep(live.latest, await versionsSeen(live, kubernetes), target.version);
    }
    return { chart: declared.path ?? declared.chart, version: target.version };
  },
});

interface Live {
  readonly latest: HelmRevision;
  /** The last revision that ran; the same as `latest` unless an upgrade failed since. */
  readonly deployed: HelmRevision | undefined;
}

/** What each release is now; those that `helm uninstall --keep-history` left as a record are gone. */
function current(revisions: readonly HelmRevision[]): Live[] {
  const newestFirst = [...revisions].sort((one, other) => other.revision - one.revision);
  const sameAs = (one: HelmRevision) => (other: HelmRevision) =>
    other.release === one.release && other.namespace === one.namespace;
  return newestFirst
    .filter((revision) => newestFirst.find(sameAs(revision)) === revision && revision.status !== "uninstalled")
    .map((latest) => ({
      latest,
      deployed: newestFirst.filter(sameAs(latest)).find((revision) => revision.status === "deployed"),
    }));
}

/** By chart name, or by the CRD of volumes among what it installed: a renamed chart, or Rancher's longhorn-crd. */
function isLonghorn({ chart, manifest }: HelmContent): boolean {
  return chart.name === "longhorn" || /^\s*name:\s*["']?volumes\.longhorn\.io["']?\s*$/m.test(manifest);
}

function otherRelease(live: HelmRevision, { chart }: HelmContent, declared: Declared): Refusal {
  return new Refusal({
    what: `Longhorn lives as release ${live.release} in namespace ${live.namespace} (chart ${chart.name} ${chart.version}); declared is ${declared.name} in ${declared.namespace}`,
    why: `a release cannot be renamed or moved: Helm would install a second one and uninstall the first, and ${volumesAtStake}`,
    next: `declare what lives there (\`helm -n ${live.namespace} status ${live.release}\`), or move the data away and uninstall that release first`,
  });
}

function refuseUnfinished(live: HelmRevision): void {
  const helm = `helm -n ${live.namespace}`;
  if (live.status.startsWith("pending-")) {
    throw new Refusal({
      what: `Helm release ${live.release}: revision ${live.revision} is ${live.status}`,
      why: "an installation or upgrade is running, or was cut off; Helm refuses another one on top of it",
      next: `once no other \`pulumi up\` runs: \`kubectl -n ${live.namespace} delete secret ${live.secret}\`, then \`pulumi up\``,
    });
  }
  if (live.status === "uninstalling") {
    throw new Refusal({
      what: `Helm release ${live.release}: revision ${live.revision} is being uninstalled, or that was cut off`,
      why: "nothing can be installed on top of a half-removed Longhorn",
      next: `finish it with \`pulumi destroy\`, or bring Longhorn back with \`${helm} rollback ${live.release}\``,
    });
  }
}

function refuseOtherChart(live: HelmRevision, { chart }: HelmContent, target: Target): void {
  if (chart.name === target.name && !repackaged(chart)) return;
  throw new Refusal({
    what: `Helm release ${live.release}: installed from chart ${chart.name} ${chart.version}; declared is ${target.name} ${target.version}`,
    why: `another chart drops the objects it does not know, CRDs among them, and ${volumesAtStake}`,
    next: `declare the chart that lives there (longhorn.chart in the environment file), or move the data away and \`helm -n ${live.namespace} uninstall ${live.release}\``,
  });
}

/** Rancher's Apps ship their own chart `longhorn`, numbered 10x.y.z+up1.a.b: its CRDs are in a second release. */
function repackaged(chart: HelmContent["chart"]): boolean {
  const [version, app] = [parseVersion(chart.version), parseVersion(chart.appVersion)];
  return version !== null && app !== null && version.major !== app.major;
}

/**
 * Every version that may have touched Longhorn's objects: of the last revision, of the one that ran before it when an upgrade failed half-way, and
 * what Longhorn says of itself. A revision that failed in its pre-upgrade hook changed nothing.
 */
async function versionsSeen({ latest, deployed }: Live, kubernetes: KubernetesApi): Promise<readonly string[]> {
  const content = latest.content();
  const untouched = latest.status === "failed" && content.description.includes("pre-upgrade hooks failed");
  const own = await kubernetes.read(longhornSettings, "current-longhorn-version", latest.namespace);
  const seen = [
    ...(untouched ? [] : [content.chart.version]),
    ...(deployed && deployed !== latest ? [deployed.content().chart.version] : []),
    own?.value,
  ];
  return seen.filter((version): version is string => version !== undefined && version !== "");
}

/** One minor version at a time and never back (longhorn.io, "Upgrade"). Longhorn's own check refuses too, but in the middle of an upgrade. */
function refuseStep(live: HelmRevision, seen: readonly string[], target: string): void {
  const to = mustParse(target);
  for (const version of seen) {
    const from = mustParse(version);
    const what = `Helm release ${live.release}: Longhorn ${from.version} lives there; declared is ${to.version}`;
    if (to.compare(from) < 0) {
      throw new Refusal({
        what,
        why: "Longhorn does not go back: the objects of the newer version are not read by the older one",
        next: `set versions.charts.longhorn.version in versions.ts to ${from.version} or newer, and run \`pulumi preview\``,
      });
    }
    if (to.major !== from.major || to.minor > from.minor + 1) {
      throw new Refusal({
        what,
        why: "Longhorn upgrades one minor version at a time, and each step converts what the next one needs",
        next: `set versions.charts.longhorn.version in versions.ts to the newest ${from.major}.${from.minor + 1}.x, \`pulumi up\`, wait until every volume runs its new engine, then go on`,
      });
    }
  }
}

function mustParse(version: string): SemVer {
  const parsed = parseVersion(version, true);
  if (parsed) return parsed;
  throw new Refusal({
    what: `Longhorn ${version}: not a version`,
    why: "whether the step from one to the other is allowed cannot be told",
    next: "declare a version such as 1.12.1 in versions.ts, or one in the Chart.yaml of longhorn.chart.path",
  });
}
