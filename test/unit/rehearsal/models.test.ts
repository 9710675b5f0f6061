import assert from "node:assert/strict";
import { pretendClients } from "../../../rehearsal/home/clients";
import { VirtualClock } from "../../../rehearsal/home/clock";
import { buildHome } from "../../../rehearsal/home/build";
import type { HomeState } from "../../../rehearsal/home/state";
import { answerResource } from "../../../rehearsal/models";
import { releaseRecord } from "../../../rehearsal/models/helm";
import { isSecret, reveal, type Answer, type Properties } from "../../../rehearsal/record";
import { environment } from "../../support/environment";
import { noOptions as options } from "../../support/registration";

async function answer(home: HomeState, type: string, inputs: Properties, importId = ""): Promise<Answer> {
  const clock = new VirtualClock(home.now);
  const registration = {
    urn: `urn:pulumi:s::p::${type}::x`,
    type,
    name: "x",
    custom: true,
    parent: "",
    provider: "",
    inputs,
    dependencies: [],
    options: { ...options, importId },
  };
  const result = await answerResource(registration, home, clock, pretendClients(home, clock));
  await clock.idle();
  home.now = clock.now();
  return result;
}

const image = { nodeName: "pve", datastoreId: "local", fileName: "debian.qcow2" };
const machine = {
  vmId: 201,
  name: "debian-1",
  nodeName: "pve",
  tags: ["a"],
  memory: { dedicated: 4096 },
  disks: [{ size: 40 }],
  networkDevices: [{ macAddress: "BC:24:11:00:10:21" }],
  initialization: { ipConfigs: [{ ipv4: { address: "192.168.10.21/24" } }] },
};

describe("models of the providers (does not prove what the providers do)", () => {
  let home: HomeState;
  beforeEach(() => {
    home = buildHome(environment("home"));
  });

  it("a type without a model is an error", async () => {
    await assert.rejects(answer(home, "aws:s3/bucket:Bucket", {}), /aws:s3\/bucket:Bucket: the rehearsal has no model/);
  });

  it("an image is downloaded once and never over another", async () => {
    assert.equal((await answer(home, "proxmoxve:download/file:File", image)).id, "local:import/debian.qcow2");
    await assert.rejects(answer(home, "proxmoxve:download/file:File", image), /refusing to override existing file/);
  });

  it("a machine runs afterwards, with a guest that nobody has provisioned", async () => {
    assert.equal((await answer(home, "proxmoxve:index/vmLegacy:VmLegacy", machine)).id, "201");
    const vm = home.proxmox.vms.find((other) => other.vmId === 201);
    assert.deepEqual([vm?.status, vm?.macs, vm?.memory, vm?.disks], ["running", ["BC:24:11:00:10:21"], 4, [40]]);
    assert.deepEqual(
      [home.guests[201]?.address, home.guests[201]?.agent, home.guests[201]?.joined],
      ["192.168.10.21", false, false],
    );
  });

  it("a taken vmId is an error and not an adoption", async () => {
    await assert.rejects(
      answer(home, "proxmoxve:index/vmLegacy:VmLegacy", { ...machine, vmId: 101 }),
      /VM 101 already exists/,
    );
  });

  it("random values are secret and the same every time", async () => {
    const first = await answer(home, "random:index/randomPassword:RandomPassword", { length: 12 });
    const second = await answer(home, "random:index/randomPassword:RandomPassword", { length: 12 });
    assert.equal(isSecret(first.outputs?.result), true);
    assert.equal(String(reveal(first.outputs?.result)).length, 12);
    assert.deepEqual(first, second);
  });

  it("an object that is there already is refused, and taken over with import", async () => {
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name: "ingress-nginx",
        namespace: "ingress-nginx",
        annotations: { "metallb.io/loadBalancerIPs": "192.168.40.5" },
      },
      spec: { type: "LoadBalancer" },
    };
    await assert.rejects(answer(home, "kubernetes:core/v1:Service", service), /already exists/);
    const taken = await answer(home, "kubernetes:core/v1:Service", service, "ingress-nginx/ingress-nginx");
    assert.equal(taken.id, "ingress-nginx/ingress-nginx");
    const stored = taken.outputs as { spec: { clusterIP: string; type: string }; status: unknown };
    assert.deepEqual([stored.spec.clusterIP, stored.spec.type], ["10.43.7.7", "LoadBalancer"]);
    assert.deepEqual(stored.status, { loadBalancer: { ingress: [{ ip: "192.168.40.5" }] } });
  });

  it("Longhorn's class comes after its release, not with it", async () => {
    const clock = new VirtualClock(home.now);
    const clients = pretendClients(home, clock);
    const inputs = { name: "longhorn", namespace: "longhorn-system", chart: "longhorn", version: "1.12.1" };
    const registration = {
      urn: "u",
      type: "kubernetes:helm.sh/v3:Release",
      name: "x",
      custom: true,
      parent: "",
      provider: "",
      inputs,
      dependencies: [],
      options,
    };
    await answerResource(registration, home, clock, clients);
    const classes = (): string[] =>
      home.kubernetes.objects
        .filter((object) => object.kind === "StorageClass")
        .map((object) => object.metadata?.name ?? "");
    assert.deepEqual(classes(), ["nfs-client"]);
    await clock.idle();
    assert.deepEqual(classes(), ["nfs-client", "longhorn"]);
  });

  it("a release leaves Helm's own record", () => {
    const record = releaseRecord("longhorn", "longhorn-system", "charts/longhorn", "1.12.1");
    assert.equal(record.metadata?.name, "sh.helm.release.v1.longhorn.v1");
  });

  it("a claim is bound to a volume of its size", async () => {
    await answer(home, "kubernetes:core/v1:PersistentVolumeClaim", {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "new", namespace: "games" },
      spec: { storageClassName: "longhorn", resources: { requests: { storage: "20Gi" } } },
    });
    const claim = home.kubernetes.objects.find((object) => object.metadata?.name === "new") as {
      status?: { phase: string };
      spec?: { volumeName: string };
    };
    assert.deepEqual([claim.status?.phase, claim.spec?.volumeName], ["Bound", "pvc-new-games-new"]);
  });

  it("a Job whose nodes do not exist fails", async () => {
    const job = {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "j", namespace: "games" },
      spec: { template: { spec: { nodeSelector: { no: "where" }, containers: [] } } },
    };
    await assert.rejects(answer(home, "kubernetes:batch/v1:Job", job), /Job games\/j: no node takes its pod/);
  });
});
