/* eslint-disable @typescript-eslint/no-require-imports -- loaded when needed; `await import` wants file extensions that ts-node does not resolve */
import type { Clients, KubernetesApi, ProxmoxApi, RancherApi, Ssh } from "./clients";
import { systemClock as clock } from "./clients/clock";
import { addressesOf } from "./clients/network";
import type * as kubernetesModule from "./clients/kubernetes";
import type * as proxmoxModule from "./clients/proxmox";
import type * as rancherModule from "./clients/rancher";
import type * as sshModule from "./clients/ssh";
import type { Connect } from "./dispatch";
import type { System } from "./operation";

/**
 * The real clients, of the systems that the operation declares and no others. Each is made when it is first used: it brings a library that takes up to 0.7 s
 * to load, and checks run in every preview.
 */
export const connect: Connect = (access, needs): Clients => {
  let proxmox: ProxmoxApi | undefined;
  let rancher: RancherApi | undefined;
  let kubernetes: KubernetesApi | undefined;
  let ssh: Ssh | undefined;
  return {
    get proxmox() {
      const way = declared(access.proxmox, "proxmox");
      return (proxmox ??= (require("./clients/proxmox") as typeof proxmoxModule).proxmoxClient(way, clock));
    },
    get rancher() {
      const way = declared(access.rancher, "rancher");
      return (rancher ??= (require("./clients/rancher") as typeof rancherModule).rancherClient(way, clock));
    },
    get kubernetes() {
      const way = declared(access.kubernetes, "kubernetes");
      return (kubernetes ??= (require("./clients/kubernetes") as typeof kubernetesModule).kubernetesClient(
        way.kubeconfig,
      ));
    },
    get ssh() {
      const way = declared(access.ssh, "ssh");
      return (ssh ??= (require("./clients/ssh") as typeof sshModule).sshClient(way, clock));
    },
    network: {
      addressesOf,
      urlOf: (system) => {
        if (system === "rancher") return declared(access.rancher, "rancher").url;
        if (system === "proxmox") return declared(access.proxmox, "proxmox").endpoint;
        const { kubeconfig } = declared(access.kubernetes, "kubernetes");
        return (require("./clients/kubernetes") as typeof kubernetesModule).serverOf(kubeconfig);
      },
    },
    clock,
    // Standard output is for the result alone.
    log: (line) => void process.stderr.write(`${line}\n`),
  };

  function declared<Way>(way: Way | undefined, system: System): Way {
    if (way !== undefined && needs.includes(system)) return way;
    throw new Error(`the operation uses ${system} without declaring that it needs it`);
  }
};
