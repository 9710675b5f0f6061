import { X509Certificate } from "node:crypto";
import { at, usable } from "../origin";
import { show, type Finding } from "../problem";
import type { Environment } from "../schema";

/** Rancher and Proxmox: where they are and how they are trusted. */

/** Longhorn's namespace is put into this project; a project of another cluster is ignored by Rancher without a word. */
export function storageProjectElsewhere(environment: Environment): readonly Finding[] {
  const { clusterId, storageProject } = environment.cluster.rancher;
  const [cluster = "", project = ""] = storageProject.split(":");
  if (cluster === clusterId) return [];
  return [
    {
      path: at(environment.cluster.rancher, "storageProject"),
      value: storageProject,
      why: `is a project of cluster ${cluster}, and this cluster is ${clusterId}`,
      remedy: `write ${clusterId}:${project}, or the project that the cluster really has`,
    },
  ];
}

/** A URL lands in logs, states and diffs; a name and password in it would, too. */
export function credentialsInUrl(environment: Environment): readonly Finding[] {
  const urls = [
    ...usable(() => [{ url: environment.cluster.rancher.url, path: at(environment.cluster.rancher, "url") }], []),
    ...usable(() => [{ url: environment.proxmox.endpoint, path: at(environment.proxmox, "endpoint") }], []),
    ...[() => environment.longhorn.chart, () => environment.loadBalancer.chart].flatMap((read) =>
      usable(() => {
        const chart = read();
        return chart.repository === undefined ? [] : [{ url: chart.repository, path: at(chart, "repository") }];
      }, []),
    ),
  ];
  return urls
    .filter(({ url }) => new URL(url).username !== "" || new URL(url).password !== "")
    .map(({ url, path }) => ({
      path,
      value: show(url),
      why: "holds a user name or password, which would stand in every log and state",
      remedy: "remove it, and change the password: it was in a file",
    }));
}

export function caCertificateUnreadable(environment: Environment): readonly Finding[] {
  const sections = [() => environment.cluster.rancher, () => environment.proxmox];
  return sections.flatMap((read) =>
    usable(() => {
      const section = read();
      const { caCertificate } = section;
      if (caCertificate === undefined || isCertificate(caCertificate)) return [];
      return [
        {
          path: at(section, "caCertificate"),
          value: show(caCertificate),
          why: "is no certificate in PEM form",
          remedy: "paste the CA's certificate, from -----BEGIN CERTIFICATE----- on, as a block with `|`",
        },
      ];
    }, []),
  );
}

function isCertificate(text: string): boolean {
  if (text.includes("PRIVATE KEY")) return false;
  try {
    return new X509Certificate(text).subject !== undefined;
  } catch {
    return false;
  }
}
