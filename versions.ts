import * as pulumi from "@pulumi/pulumi";
import type { Layer } from "./environment/stack";

/** Stands where a digest or checksum has not been looked up. Never invented: `npm run pin` resolves all of them, `up` refuses until then. */
export const unresolved = "unresolved";

/**
 * Every chart, image and Debian build that the program installs; nothing else names a version. A Longhorn upgrade goes one minor version at a time
 * (longhorn.io, "Upgrade": 1.12 from 1.11 only) and never back.
 */
export const versions = {
  charts: {
    // renovate: datasource=helm registryUrl=https://charts.longhorn.io depName=longhorn
    longhorn: { repository: "https://charts.longhorn.io", chart: "longhorn", version: "1.12.1" },
    // renovate: datasource=helm registryUrl=https://metallb.github.io/metallb depName=metallb
    metallb: { repository: "https://metallb.github.io/metallb", chart: "metallb", version: "0.16.1" },
  },
  images: {
    /** rsync 3.4 or newer on alpine, kept by the pv-migrate project. */
    // renovate: datasource=docker depName=docker.io/utkuozdemir/pv-migrate-rsync
    copy: {
      repository: "docker.io/utkuozdemir/pv-migrate-rsync",
      tag: "3.6.1",
      digest: unresolved,
    },
    /** Python's standard library is all that verification needs. */
    // renovate: datasource=docker depName=docker.io/library/python
    verify: {
      repository: "docker.io/library/python",
      tag: "3.13-slim-bookworm",
      digest: unresolved,
    },
  },
  /** Debian's genericcloud image: its cloud kernel has every module Longhorn needs (iscsi_tcp, dm_crypt, nfs). */
  debian: {
    release: "trixie",
    version: "13",
    build: unresolved,
    // Longer than a line once `npm run pin` has written it.
    // prettier-ignore
    sha512: unresolved,
  },
};

/** Where Debian publishes the build, and the name under which Proxmox keeps it. */
export function debianImage(debian = versions.debian): {
  readonly url: string;
  readonly fileName: string;
  readonly sha512: string;
} {
  const fileName = debianFileName(debian);
  const url = `https://cloud.debian.org/images/cloud/${debian.release}/${debian.build}/${fileName}`;
  return { url, fileName, sha512: debian.sha512 };
}

/** Debian's own name of a build. */
export function debianFileName(debian: { readonly version: string; readonly build: string }): string {
  return `debian-${debian.version}-genericcloud-amd64-${debian.build}.qcow2`;
}

/** `repository:tag@digest`: the tag for people, the digest for the container runtime. */
export function imageReference(image: {
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}): string {
  return `${image.repository}:${image.tag}@${image.digest}`;
}

/** Paths below `versions` that are still unresolved, such as `images.copy.digest`. */
export function unresolvedPaths(value: unknown = versions, path = ""): readonly string[] {
  if (value === unresolved) return [path];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) => unresolvedPaths(child, path === "" ? key : `${path}.${key}`));
}

/** What each layer installs by digest or checksum. */
const neededBy: Record<Layer, readonly string[]> = {
  nodes: ["debian."],
  services: [],
  volumes: ["images."],
  rancheros: [],
};

/** Refuses an update of a layer that would install something unpinned; a preview only warns, so that a change can be reviewed before its pins are there. */
export function refuseUnresolved(layer: Layer): void {
  const missing = unresolvedPaths().filter((path) => neededBy[layer].some((prefix) => path.startsWith(prefix)));
  if (missing.length === 0) return;
  const message = `versions.ts: ${missing.join(", ")} not resolved, so this layer would install something nobody pinned: run \`npm run pin\` and commit the result`;
  if (!pulumi.runtime.isDryRun()) throw new Error(message);
  void pulumi.log.warn(message);
}
