import { setTimeout as pause } from "node:timers/promises";
import type { V1Service } from "@kubernetes/client-node";
import type { Environment } from "../../../environment/schema";
import type { StoredObject } from "../../../operations/clients";
import { ApiClient, type Reply } from "./api-client";
import type { ControlPlane } from "./control-plane";
import { until } from "./processes";

/** What Rancher and its agent rewrite on a Service as they go; nobody else's business. */
export const rewritten = ["field.cattle.io/publicEndpoints", "field.cattle.io/ipAddresses"] as const;

/** The NodePort Service that Rancher makes for the ingress controller of the environment. */
export function rancherService({ ingress }: Environment): V1Service {
  const { name = "", namespace = "" } = ingress.service ?? {};
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name,
      namespace,
      labels: { "cattle.io/creator": "norman" },
      annotations: {
        "field.cattle.io/targetWorkloadIds": '["daemonset:ingress-nginx:nginx-ingress-controller"]',
      },
    },
    spec: {
      type: "NodePort",
      selector: { [`workloadID_${name}`]: "true" },
      ports: [
        { name: "http", port: 80, targetPort: 80, nodePort: ingress.nodePorts.http, protocol: "TCP" },
        { name: "https", port: 443, targetPort: 443, nodePort: ingress.nodePorts.https, protocol: "TCP" },
      ],
    },
  };
}

/**
 * Those who write on a Service beside us, under their own names: Rancher, which made it and rewrites its annotations, a person with kubectl, Kubernetes' own
 * controllers, and MetalLB's, which gives a LoadBalancer the address that it asks for. Only what they write is like them; none of them runs.
 */
export class Others {
  /** How often Rancher has rewritten its annotations. */
  writes = 0;
  /** What it wrote last. */
  last = "";
  /** How often somebody was quicker, and it read again. */
  conflicts = 0;
  private readonly clients = new Map<string, ApiClient>();
  private writing: Promise<void> | undefined;
  private balancing: Promise<void> | undefined;
  private stopped = false;

  constructor(private readonly plane: ControlPlane) {}

  /** The Service as these managers leave it, before anybody takes it over. */
  async make(service: V1Service): Promise<V1Service> {
    const { all, one } = await this.as("rancher").paths(service);
    await this.must("rancher", "POST", all, { query: { fieldManager: "rancher" }, body: service });
    await this.rewrite(service);
    return (await this.must("rancher", "GET", one)).body as V1Service;
  }

  /** A person's `kubectl apply` on it, of this much. */
  async kubectl(service: V1Service, change: StoredObject & { readonly spec?: object }): Promise<void> {
    const { one } = await this.as("person").paths(service);
    const last = JSON.stringify({ apiVersion: "v1", kind: "Service", ...change });
    const annotations = {
      ...change.metadata?.annotations,
      "kubectl.kubernetes.io/last-applied-configuration": `${last}\n`,
    };
    await this.must("person", "PATCH", one, {
      query: { fieldManager: "kubectl-client-side-apply" },
      body: { ...change, metadata: { ...change.metadata, annotations } },
      contentType: "application/strategic-merge-patch+json",
    });
  }

  /** A person's `kubectl delete`: with the answer the Service is gone, and its ports are free again, which they are later where dependents go first. */
  async remove(service: V1Service): Promise<void> {
    const { one } = await this.as("person").paths(service);
    const body = { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Background" };
    const { status, body: answer } = await this.as("person").send("DELETE", one, { body });
    if (status !== 200 && status !== 404) throw new Error(`person: DELETE ${one}: ${JSON.stringify(answer)}`);
  }

  /** Status, as the controller named writes it. */
  async status(manager: string, service: V1Service, status: object): Promise<void> {
    const { one } = await this.as(manager).paths(service);
    await this.must(manager, "PATCH", `${one}/status`, {
      query: { fieldManager: manager },
      body: { status },
      contentType: "application/merge-patch+json",
    });
  }

  /** Rancher's annotations anew, once: the whole object, with the version that it read, until nobody was in between. */
  async rewrite(service: V1Service): Promise<void> {
    const { one } = await this.as("rancher").paths(service);
    for (;;) {
      const found = await this.as("rancher").send("GET", one);
      if (found.status === 404) return;
      const live = found.body as V1Service;
      const value = `[{"port":30176,"write":${this.writes + 1}}]`;
      const annotations = {
        ...live.metadata?.annotations,
        ...Object.fromEntries(rewritten.map((name) => [name, value])),
      };
      const { status, body } = await this.as("rancher").send("PUT", one, {
        query: { fieldManager: "rancher" },
        body: { ...live, metadata: { ...live.metadata, annotations } },
      });
      if (status === 200) {
        this.writes += 1;
        this.last = value;
        return;
      }
      // Gone or another one by now counts as a conflict, too.
      if (status !== 409 && status !== 404) throw new Error(`rancher: ${JSON.stringify(body)}`);
      this.conflicts += 1;
    }
  }

  /** Rancher goes on rewriting, until `stop`; returns once it has begun. */
  async keepWriting(service: V1Service, everyMilliseconds = 10): Promise<void> {
    const rounds = async (): Promise<void> => {
      while (!this.stopped) {
        await this.rewrite(service);
        await pause(everyMilliseconds);
      }
    };
    this.writing = rounds();
    await this.more(1);
  }

  /** Waits for so many writes from now on. */
  async more(writes: number): Promise<void> {
    const from = this.writes;
    await until(`Rancher writes ${writes} times more`, () => {
      if (this.writes < from + writes) throw new Error(`${this.writes - from} times`);
    });
  }

  /** From now on a LoadBalancer gets the address that it asks for, and what is none any more loses it. */
  balance(service: V1Service): void {
    const rounds = async (): Promise<void> => {
      const { one } = await this.as("metallb").paths(service);
      while (!this.stopped) {
        await this.assign(service, one);
        await pause(50);
      }
    };
    this.balancing = rounds();
  }

  /** Ends what goes on; throws what ended it before, if anything did. */
  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all([this.writing, this.balancing]);
    [this.writing, this.balancing] = [undefined, undefined];
    this.stopped = false;
  }

  close(): void {
    for (const client of this.clients.values()) client.close();
  }

  private async assign(service: V1Service, one: string): Promise<void> {
    const found = await this.as("metallb").send("GET", one);
    if (found.status === 404) return;
    const { metadata, spec, status } = found.body as V1Service;
    const wanted = metadata?.annotations?.["metallb.io/loadBalancerIPs"];
    const ip = spec?.type === "LoadBalancer" ? wanted : undefined;
    const [has] = status?.loadBalancer?.ingress ?? [];
    if (has?.ip === ip) return;
    await this.status("metallb", service, { loadBalancer: { ingress: ip === undefined ? null : [{ ip }] } });
  }

  private as(user: string): ApiClient {
    const client = this.clients.get(user) ?? new ApiClient(this.plane.kubeconfigFor(user, ["system:masters"]));
    this.clients.set(user, client);
    return client;
  }

  private async must(user: string, ...request: Parameters<ApiClient["send"]>): Promise<Reply> {
    const reply = await this.as(user).send(...request);
    if (reply.status > 299) throw new Error(`${user}: ${request[0]} ${request[1]}: ${JSON.stringify(reply.body)}`);
    return reply;
  }
}
