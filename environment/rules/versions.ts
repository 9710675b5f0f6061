import { parse, type SemVer } from "semver";
import { at } from "../origin";
import type { Finding } from "../problem";
import type { Environment } from "../schema";

/** Versions that do not go together. Compared by major and minor: `v2.12.0-rc1` refuses the same as `v2.12.0`. */

type Distribution = Environment["cluster"]["distribution"];

/** Whether a version is older than major.minor. The schema has refused what is no version. */
function below(version: SemVer | null, major: number, minor: number): boolean {
  return version !== null && (version.major < major || (version.major === major && version.minor < minor));
}

/** Rancher 2.12 neither manages RKE1 nor starts while an RKE1 cluster is there (rancher v2.12.0, chart/scripts/pre-upgrade-hook.sh). */
export function rke1AboveRancher(environment: Environment): readonly Finding[] {
  const { distribution, rancher } = environment.cluster;
  if (distribution !== "rke1" || below(parse(rancher.version), 2, 12)) return [];
  return [
    {
      path: at(rancher, "version"),
      value: rancher.version,
      why: "Rancher 2.12 and later do not manage RKE1 clusters, so a live one runs under 2.11 at most",
      remedy: "write the version that Rancher's start page shows, or the cluster's true distribution",
    },
  ];
}

/** `kubeVersion: ">=1.25.0-0"` in the chart of Longhorn 1.12.1, the version of versions.ts. */
export function kubernetesBelowLonghorn(environment: Environment): readonly Finding[] {
  const { kubernetesVersion } = environment.cluster;
  if (!below(parse(kubernetesVersion), 1, 25)) return [];
  return [
    {
      path: at(environment.cluster, "kubernetesVersion"),
      value: kubernetesVersion,
      why: "Longhorn 1.12 does not install below Kubernetes 1.25",
      remedy: "upgrade the cluster to 1.25 or later first",
    },
  ];
}

/**
 * The newest Kubernetes that each distribution is known to carry, and the mark of its builds. rke1: RKE v1.8.14, the last release (rancher-archives/rke). rke2: the rke2-docs
 * page "Ingress migration" names 1.36 as the newest. k3s: built from the same upstream releases, held to the same number.
 */
const carried: Readonly<Record<Distribution, { readonly newest: number; readonly mark: RegExp }>> = {
  rke1: { newest: 32, mark: /-rancher\d/ },
  rke2: { newest: 36, mark: /\+rke2r\d/ },
  k3s: { newest: 36, mark: /\+k3s\d/ },
};

export function kubernetesNotCarried(environment: Environment): readonly Finding[] {
  const { distribution, kubernetesVersion } = environment.cluster;
  const found = { path: at(environment.cluster, "kubernetesVersion"), value: kubernetesVersion };
  const other = (["rke1", "rke2", "k3s"] as const).find(
    (name) => name !== distribution && carried[name].mark.test(kubernetesVersion),
  );
  if (other) {
    return [
      {
        ...found,
        why: `is a build of ${other}, and the cluster's distribution is ${distribution}`,
        remedy: "write what `kubectl version` shows, or the cluster's true distribution",
      },
    ];
  }
  const { newest } = carried[distribution];
  if (below(parse(kubernetesVersion), 1, newest + 1)) return [];
  return [
    {
      ...found,
      why: `${distribution} carries Kubernetes up to 1.${newest}`,
      remedy:
        distribution === "rke1"
          ? "write what `kubectl version` shows"
          : "write what `kubectl version` shows; if it is newer, raise the number in environment/rules/versions.ts with its source",
    },
  ];
}
