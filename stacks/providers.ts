import * as proxmox from "@muhlba91/pulumi-proxmoxve";
import * as command from "@pulumi/command";
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import type { AccessInput } from "../operations/declare";
import type { System } from "../operations/operation";
import type { Context } from "./context";

/** The one provider to Proxmox. Verified TLS, the token of the configuration, no SSH to the hypervisor: nothing here needs it. */
export function proxmoxProvider({ file, secrets }: Context): proxmox.Provider {
  return new proxmox.Provider("proxmox", {
    endpoint: file.proxmox.endpoint,
    apiToken: secrets.proxmoxToken,
    insecure: false,
  });
}

/**
 * The one provider to the cluster. `clusterIdentifier` from day one: without it a kubeconfig with another server address replaces every resource (tried).
 * `upsertExistingObjects` is for a layer whose objects outlive it (retainOnDelete) or an interrupted `up`: created again, they are taken over as they are.
 */
export function kubernetesProvider(
  { file, secrets }: Context,
  settings: Pick<kubernetes.ProviderArgs, "upsertExistingObjects"> = {},
): kubernetes.Provider {
  return new kubernetes.Provider("cluster", {
    kubeconfig: secrets.kubeconfig,
    clusterIdentifier: file.cluster.name,
    enableServerSideApply: true,
    ...settings,
    // Given here, so no ambient kubeconfig is read; Pulumi.<environment>.yaml disables default providers for what would forget this one.
  });
}

/**
 * The one provider that runs declared operations and checks. It has no settings; explicit all the same, because default providers are disabled and a
 * Command without a provider would be refused.
 */
export function operationsProvider(): command.Provider {
  return new command.Provider("operations");
}

/** The one provider of what is drawn once and kept in the state. Explicit for the same reason. */
export function randomProvider(): random.Provider {
  return new random.Provider("random");
}

/** The ways into the named systems for operations, secrets still outputs. */
export function access({ file, secrets }: Context, systems: readonly System[]): AccessInput {
  const { rancher, name, distribution } = file.cluster;
  return pulumi.output({
    ...(systems.includes("proxmox") && {
      proxmox: {
        endpoint: file.proxmox.endpoint,
        token: secrets.proxmoxToken,
        caCertificate: file.proxmox.caCertificate,
      },
    }),
    ...(systems.includes("rancher") && {
      rancher: {
        url: rancher.url,
        token: secrets.rancherToken,
        clusterId: rancher.clusterId,
        clusterName: name,
        distribution,
        caCertificate: rancher.caCertificate,
      },
    }),
    ...(systems.includes("kubernetes") && { kubernetes: { kubeconfig: secrets.kubeconfig } }),
    ...(systems.includes("ssh") && { ssh: { privateKey: secrets.sshPrivateKey } }),
  });
}
