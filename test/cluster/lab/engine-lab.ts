import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chartUses } from "../../../components/services/given-charts";
import type { Environment, EnvironmentFile } from "../../../environment/schema";
import type { Layer } from "../../../environment/stack";
import * as kinds from "../../../operations/kinds";
import { LabStack } from "../../engine/lab/stack";
import { Engine, secretsFor, type Checkout } from "../../engine/support";
import { environment, rawEnvironment } from "../../support/environment";
import { ApiClient } from "./api-client";
import { Authority } from "./certificates";
import { beforeIngress, beforeVolumes, furnish, ingressController } from "./cluster-before";
import { ControlPlane, type AuditEvent, type Minor } from "./control-plane";
import { definitions } from "./crds";
import { everything, type Everything } from "./everything";
import { longhornDefinitions } from "./longhorn-kinds";
import { longhornTemplates, makeUpChart, metallbTemplates } from "./made-up-charts";
import { csiNode, Others, type Pace } from "./others";
import { freePorts } from "./processes";

export interface EngineLabOptions {
  readonly name: "home" | "lab";
  readonly minor: Minor;
  readonly change?: (file: EnvironmentFile) => void;
  /** How long others take. Default: at once, but for MetalLB's webhook, which listens only once somebody was refused for its silence. */
  readonly pace?: Pace;
}

/** Who the program is towards the API server. */
const program = "program";

/**
 * The layers services and volumes by the real engine on a real API server: a committed environment with made-up charts in a copy of this checkout, the cluster as
 * the nodes layer leaves it, and others.ts for everybody else. The nodes layer's own stack has outputs and nothing behind them.
 */
export class EngineLab {
  private readonly reader: ApiClient;
  /** One for all runs: another one would be a change. */
  private readonly kubeconfig: string;

  private constructor(
    readonly name: "home" | "lab",
    readonly plane: ControlPlane,
    /** The checked file, as it was at the start. */
    readonly file: Environment,
    private readonly raw: EnvironmentFile,
    private readonly engine: Engine,
    private readonly checkout: Checkout,
    private readonly helpers: readonly { readonly stop: () => Promise<void> }[],
  ) {
    this.kubeconfig = plane.kubeconfigFor(program, ["system:masters"]);
    this.reader = new ApiClient(plane.kubeconfigFor("reader", ["system:masters"]));
  }

  static async start({ name, minor, change = () => undefined, pace }: EngineLabOptions): Promise<EngineLab> {
    const changed = (file: EnvironmentFile): void => {
      change(file);
      file.longhorn.chart = { path: "charts/longhorn" };
      file.loadBalancer.chart = { path: "charts/metallb" };
    };
    const file = environment(name, changed);
    const raw = structuredClone(rawEnvironment(name));
    changed(raw);
    const plane = await ControlPlane.start({ minor });
    const engine = new Engine();
    const helpers: { readonly stop: () => Promise<void> }[] = [];
    const stop = async (): Promise<void> => {
      await Promise.all(helpers.map((one) => one.stop()));
      engine.dispose();
      await plane.stop();
    };
    try {
      const nodes = file.nodes.map((node) => node.name);
      helpers.push(await furnish(plane, minor, nodes, { installed: false }));
      for (const node of nodes) await plane.api.create(csiNode(node, false));
      await beforeIngress(plane, file);
      await ingressController(plane, file);
      await beforeVolumes(plane, file);
      const flag = { metadata: { annotations: { "storageclass.kubernetes.io/is-default-class": "true" } } };
      await plane.api.patch(kinds.storageClasses, file.oldStorage.storageClass, flag);

      const authority = new Authority(mkdtempSync(join(tmpdir(), "webhook-")));
      const [port = 0] = await freePorts(1);
      const webhook = { port, ...authority.server("IP:127.0.0.1") };
      const listens = (): boolean => pace !== undefined || refusedProbes(plane.audit()).length > 0;
      helpers.push(Others.start(plane, { file, webhook, listens, ...(pace && { pace }) }));

      const checkout = engine.copy();
      checkout.standInForPins();
      await layCharts(checkout, file, minor, { url: `https://127.0.0.1:${port}/`, ca: authority.ca });
      const lab = new EngineLab(name, plane, file, raw, engine, checkout, helpers);
      lab.edit(() => undefined);
      await lab.nodesStack(nodes);
      return lab;
    } catch (error) {
      await stop();
      throw error;
    }
  }

  /** Changes the environment file, as an operator would before the next `up`. */
  edit(change: (file: EnvironmentFile) => void): void {
    change(this.raw);
    const all = Object.entries(this.raw).map(([key, value]) => [[`home-cluster:${key}`], value] as const);
    this.checkout.set(this.name, ...all);
  }

  /** The layer's stack, created on first use. */
  stack(layer: Layer): Promise<LabStack> {
    const { server } = this.plane;
    const secrets = {
      ...secretsFor(server),
      kubeconfig: this.kubeconfig,
      backupAccessKey: "access-key-of-a-test",
      backupSecretKey: "secret-key-of-a-test",
    };
    const { folder } = this.checkout;
    return LabStack.create(`${this.name}-${layer}`, folder, this.engine.environment(), secrets);
  }

  /** What the program (its provider and its operations) has asked the API server, in the order of the answers. */
  asked(): AuditEvent[] {
    return this.plane.audit().filter(({ user }) => user.username === program);
  }

  everything(): Promise<Everything> {
    return everything(this.reader);
  }

  async stop(): Promise<void> {
    this.reader.close();
    await Promise.all(this.helpers.map((one) => one.stop()));
    this.engine.dispose();
    await this.plane.stop();
  }

  /** What the nodes layer says of its nodes, for the layers that ask it. */
  private async nodesStack(nodes: readonly string[]): Promise<void> {
    const stack = await this.stack("nodes");
    const state = await stack.export();
    const name = `${this.name}-nodes`;
    const type = "pulumi:pulumi:Stack";
    const reach = { vmId: 1, address: "192.0.2.1", hostKey: "ssh-ed25519 AAAA" };
    const outputs = { nodes: Object.fromEntries(nodes.map((node) => [node, reach])) };
    const root = {
      urn: `urn:pulumi:${name}::home-cluster::${type}::home-cluster-${name}`,
      custom: false,
      type,
      outputs,
    };
    await stack.import({ ...state, deployment: { ...(state.deployment as object), resources: [root] } });
  }
}

/** Tries of MetalLB's webhook that were refused because nobody answered. */
export function refusedProbes(log: readonly AuditEvent[]): AuditEvent[] {
  return log.filter(
    ({ verb, objectRef, responseStatus: { code = 0 } = {} }) =>
      verb === "create" && objectRef?.resource === "ipaddresspools" && code >= 500,
  );
}

async function layCharts(
  checkout: Checkout,
  file: Environment,
  minor: Minor,
  webhook: { readonly url: string; readonly ca: string },
): Promise<void> {
  const theirs = (await definitions(minor)).filter(({ spec }) => spec.group === "metallb.io");
  for (const { name, version, values, path = "" } of chartUses(file)) {
    mkdirSync(checkout.path(path), { recursive: true });
    const [made, templates] =
      name === "longhorn" ? [longhornDefinitions(), longhornTemplates] : [theirs, metallbTemplates(webhook)];
    makeUpChart(checkout.path(path), { name, version, values, definitions: made, templates });
  }
}
