import type { Access } from "../../operations/access";
import { ScaledClock } from "../home/clock";
import { PretendKubernetes } from "../home/kubernetes";
import { PretendRancher } from "../home/rancher";
import type { HomeState } from "../home/state";
import { kubeconfigFor, KubernetesApiSimulator, type KubernetesOptions } from "./kubernetes";
import { RancherApiSimulator, type RancherOptions } from "./rancher";
import { Simulator, type Certificate } from "./server";

export interface ClusterOptions {
  /** Of both servers, and the CA that signed it. */
  readonly certificate: Certificate & { readonly ca: string };
  /** Where both listen. Default 127.0.0.1. */
  readonly address?: string;
  /** The cluster's name in Rancher, as in the environment file. */
  readonly clusterName: string;
  /** How long the home takes for what it does. Default: no time. */
  readonly clock?: ScaledClock;
  readonly rancher?: Partial<RancherOptions>;
  readonly kubernetes?: Partial<KubernetesOptions>;
}

/** Rancher and the Kubernetes API of a pretend home, listening. */
export interface SimulatedCluster {
  readonly rancher: Simulator;
  readonly kubernetes: Simulator;
  /** The pretend Rancher behind the first: where guests register, and tokens are rotated and expire. */
  readonly members: PretendRancher;
  readonly clock: ScaledClock;
  /** What operations take, and what the environment file and its secrets are made of. */
  readonly access: Required<Pick<Access, "rancher" | "kubernetes">>;
  stop(): Promise<void>;
}

/** Starts both servers over the home. Keys and tokens are made up for it. */
export async function startCluster(home: HomeState, options: ClusterOptions): Promise<SimulatedCluster> {
  const { certificate, clusterName, clock = new ScaledClock() } = options;
  const { ca } = certificate;
  const server = { certificate, ...(options.address !== undefined && { address: options.address }) };
  const pretend = new PretendKubernetes(home, clock);
  const members = new PretendRancher(home, clock, pretend);
  const rancherOptions = { clusterName, ca, token: "token-lab12:key-of-the-simulated-rancher", ...options.rancher };
  const kubernetesOptions = { token: "token-of-the-simulated-kubernetes", ...options.kubernetes };
  const rancher = await Simulator.start(new RancherApiSimulator(home, members, rancherOptions).answer, server);
  const kubernetes = await Simulator.start(new KubernetesApiSimulator(home, pretend, kubernetesOptions).answer, server);
  const { clusterId, distribution } = home.rancher;
  return {
    rancher,
    kubernetes,
    members,
    clock,
    access: {
      rancher: {
        url: rancher.url,
        token: rancherOptions.token,
        ...{ clusterId, clusterName, distribution, caCertificate: ca },
      },
      kubernetes: { kubeconfig: kubeconfigFor(kubernetes.url, kubernetesOptions.token, ca) },
    },
    stop: async () => {
      await Promise.all([rancher.stop(), kubernetes.stop()]);
    },
  };
}
