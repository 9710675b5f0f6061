import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { Access } from "../../operations/access";
import { dispatch } from "../../operations/dispatch";
import { buildHome } from "../../rehearsal/home/build";
import { pretendClients } from "../../rehearsal/home/clients";
import { VirtualClock } from "../../rehearsal/home/clock";
import type { HomeState } from "../../rehearsal/home/state";
import { record, reveal, secret, type Recording } from "../../rehearsal/record";
import { verbOf } from "../../rehearsal/verb";
import { environment } from "./environment";

/** What must never show. */
export const credentials = [
  "proxmox-token-not-to-show",
  "rancher-token-not-to-show",
  "kubeconfig-not-to-show",
] as const;

/** Ways into four systems, one more than the layer needs, each changeable. */
export function ways(change: Partial<Access> = {}): pulumi.Output<Access> {
  return pulumi.output({
    proxmox: { endpoint: "https://pve.invalid:8006/", token: pulumi.secret(credentials[0]) },
    rancher: {
      url: "https://rancher.invalid",
      token: pulumi.secret(credentials[1]),
      clusterId: "c-abc12",
      clusterName: "home",
      distribution: "rke1" as const,
    },
    kubernetes: { kubeconfig: pulumi.secret(credentials[2]) },
    ssh: { privateKey: pulumi.secret("not needed here") },
    ...change,
  });
}

export interface RunOptions {
  readonly preview?: boolean;
  /** Fails every custom resource whose name holds this. */
  readonly fail?: string;
  readonly home?: HomeState;
}

/** Records a program whose operations run for real, on the home as it is before the retirement. */
export function run(
  program: (opts: pulumi.ComponentResourceOptions) => unknown,
  options: RunOptions = {},
): Promise<Recording> {
  return recordOn(() => program({ providers: [new command.Provider("operations")] }), options);
}

/** The same for a program that makes its own providers. */
export function recordOn(
  program: () => unknown,
  { preview = false, fail, home = buildHome(environment("home")) }: RunOptions = {},
): Promise<Recording> {
  const clients = pretendClients(home, new VirtualClock(home.now));
  return record(program, {
    stack: "home-rancheros",
    preview,
    answer: async ({ name, inputs, type }) => {
      if (type.startsWith("pulumi:providers:")) return {};
      if (fail !== undefined && name.includes(fail)) throw new Error("it failed");
      const stdout = await dispatch(verbOf(inputs.create) ?? "", String(reveal(inputs.stdin)), () => clients);
      return { outputs: { stdout: secret(stdout) } };
    },
  });
}
