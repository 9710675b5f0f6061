import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { V1Pod, V1PodSpec } from "@kubernetes/client-node";
import * as kinds from "../../operations/kinds";
import { Kubelet } from "../../rehearsal/engine/kubelet";
import { certificates } from "../support/https";
import { ControlPlane, realPods } from "./lab/control-plane";
import { addNodes } from "./lab/nodes";
import { until } from "./lab/processes";
import { Provisioner } from "./lab/provisioner";

const driver = "folders.test";

describe("the kubelets of the rehearsal on the real engine (no image, probe, control group or CSI is in it)", () => {
  let plane: ControlPlane;
  let kubelet: Kubelet;
  let provisioner: Provisioner;
  let folders = "";
  let unknownImage: string | undefined;
  let refused = false;
  let stopped = false;
  const stop = (): Promise<void> => {
    stopped = true;
    return kubelet.stop();
  };
  const programsOf = (image: string): undefined => {
    if (image !== unknownImage) return;
    refused = true;
    throw new Error(`no such image: ${image}`);
  };

  before(async () => {
    plane = await ControlPlane.start({ realPods: true });
    folders = plane.folderOf("volumes");
    kubelet = await Kubelet.start({ plane, folderOf, programsOf, certificate: certificates() });
    provisioner = Provisioner.start(plane, { name: driver });
    await addNodes(plane.api, [
      { name: "debian-1", address: "127.0.0.1" },
      { name: "debian-2", address: "127.0.0.2" },
    ]);
    await plane.api.create({
      ...{ apiVersion: "storage.k8s.io/v1", kind: "StorageClass", metadata: { name: "folders" }, provisioner: driver },
    });
    await plane.namespace("shop");
  });

  after(async () => {
    if (!stopped) await stop();
    await provisioner.stop();
    await plane.stop();
  });

  it("runs the pod's command with its settings, and reports how it ended, what it said last and its log", async () => {
    await run("says", {
      command: ["sh", "-c", 'echo "$GREETING"; echo to stderr >&2; printf done >/dev/termination-log'],
      env: [{ name: "GREETING", value: "good\nday" }],
    });
    const pod = await ends("says", "Succeeded");
    const [status] = pod.status?.containerStatuses ?? [];
    const { exitCode, reason, message } = status?.state?.terminated ?? {};
    assert.deepEqual({ exitCode, reason, message }, { exitCode: 0, reason: "Completed", message: "done" });
    assert.equal(await plane.api.podLog("says", "shop", 10), "good\nday\nto stderr\n");
    assert.equal(await plane.api.podLog("says", "shop", 1), "to stderr\n");
  });

  it("reports an exit code other than 0 as failed, with the end of the log where the pod asks for that", async () => {
    await run("fails", {
      command: ["sh", "-c", "echo no room; exit 23"],
      terminationMessagePolicy: "FallbackToLogsOnError",
    });
    const pod = await ends("fails", "Failed");
    const { exitCode, message } = pod.status?.containerStatuses?.[0]?.state?.terminated ?? {};
    assert.deepEqual({ exitCode, message }, { exitCode: 23, message: "no room\n" });
  });

  it("mounts claims, ConfigMaps and empty folders at their paths, read-only where the pod says so, and nothing else of the machine", async () => {
    await claim("data");
    await plane.api.create({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "scripts", namespace: "shop" },
      data: { "a.sh": "cat /data/sub/in; touch /data/out /tmp/x; touch /ro/no || echo read-only; ls /" },
    } as never);
    const folder = await boundFolder("data");
    mkdirSync(join(folder, "sub"));
    writeFileSync(join(folder, "sub", "in"), "from the volume\n");
    await run(
      "mounts",
      {
        command: ["sh", "/scripts/a.sh"],
        volumeMounts: [
          { name: "data", mountPath: "/data" },
          { name: "data", mountPath: "/ro", readOnly: true },
          { name: "scripts", mountPath: "/scripts" },
          { name: "tmp", mountPath: "/tmp" },
        ],
        securityContext: { readOnlyRootFilesystem: true },
      },
      {
        volumes: [
          { name: "data", persistentVolumeClaim: { claimName: "data" } },
          { name: "scripts", configMap: { name: "scripts" } },
          { name: "tmp", emptyDir: {} },
        ],
      },
    );
    await ends("mounts", "Succeeded");
    const root = ["bin", "data", "dev", "etc", "lib", "lib64", "proc", "ro", "sbin", "scripts", "tmp", "usr"];
    const log = (await plane.api.podLog("mounts", "shop", 100)).split("\n");
    assert.deepEqual(
      log.filter((line) => !line.startsWith("touch: ")),
      ["from the volume", "read-only", ...root, ""],
    );
    assert.ok(existsSync(join(folder, "out")));
    assert.ok(!existsSync(join(folder, "no")));
  });

  it("keeps the capabilities that the pod adds, and no other", async () => {
    const script =
      "touch /data/f && chown 1234 /data/f && echo chowned; mknod /data/n c 1 3 && echo made; grep CapBnd /proc/self/status";
    await run(
      "drops",
      {
        command: ["sh", "-c", script],
        volumeMounts: [{ name: "data", mountPath: "/data" }],
        securityContext: { capabilities: { drop: ["ALL"], add: ["CHOWN"] } },
      },
      { volumes: [{ name: "data", persistentVolumeClaim: { claimName: "data" } }] },
    );
    await ends("drops", "Failed", "Succeeded");
    const log = await plane.api.podLog("drops", "shop", 100);
    assert.match(log, /^chowned$/m);
    assert.match(log, /^CapBnd:\s0000000000000001$/m);
    assert.doesNotMatch(log, /^made$/m);
    assert.equal(statSync(join(await boundFolder("data"), "f")).uid, 1234);
  });

  it("ends what runs when the pod is deleted, and the object goes only then", async () => {
    await claim("ends");
    await run(
      "goes-on",
      {
        command: ["sh", "-c", "while :; do date +%s%N >/data/beat; sleep 0.05; done"],
        volumeMounts: [{ name: "data", mountPath: "/data" }],
      },
      { volumes: [{ name: "data", persistentVolumeClaim: { claimName: "ends" } }] },
    );
    await ends("goes-on", "Running");
    const beat = join(await boundFolder("ends"), "beat");
    await until("it writes", () => assert.ok(existsSync(beat)));
    await plane.api.remove(kinds.pods, "goes-on", "shop");
    await until("it is gone", async () => assert.equal(await plane.api.read(kinds.pods, "goes-on", "shop"), undefined));
    const last = readFileSync(beat, "utf8");
    await run("later", { command: ["true"] });
    await ends("later", "Succeeded");
    assert.equal(readFileSync(beat, "utf8"), last);
  });

  it("a node that loses its power says nothing; when it is back, what ran there has failed", async () => {
    await run("victim", { command: ["sleep", "1000"] }, { nodeName: "debian-2" });
    await ends("victim", "Running");
    await kubelet.killNode("debian-2");
    await run("unmoved", { command: ["true"] }, { nodeName: "debian-2" });
    await run("elsewhere", { command: ["true"] }, { nodeName: "debian-1" });
    await ends("elsewhere", "Succeeded");
    const phases = async (): Promise<(string | undefined)[]> =>
      Promise.all(
        ["victim", "unmoved"].map(async (name) => (await plane.api.read(kinds.pods, name, "shop"))?.status?.phase),
      );
    assert.deepEqual(await phases(), ["Running", "Pending"]);
    kubelet.reviveNode("debian-2");
    await ends("unmoved", "Succeeded");
    assert.deepEqual(await phases(), ["Failed", "Succeeded"]);
  });

  it("a pod whose claim is not bound does not begin, and an event says why", async () => {
    await run(
      "waits",
      { command: ["true"], volumeMounts: [{ name: "data", mountPath: "/data" }] },
      { nodeName: "debian-1", volumes: [{ name: "data", persistentVolumeClaim: { claimName: "none" } }] },
    );
    await until("its event", async () => {
      const [event] = (await plane.api.list(kinds.events, { namespace: "shop" })).filter(
        ({ involvedObject }) => involvedObject.name === "waits",
      );
      assert.deepEqual([event?.reason, event?.message], ["FailedMount", "claim shop/none is not bound"]);
    });
    assert.equal((await plane.api.read(kinds.pods, "waits", "shop"))?.status?.phase, "Pending");
  });

  // Last: nothing is run any more after it.
  it("throws what ended it in `stop`, and only there, when everything that ran has ended", async () => {
    const pid = await runsOn();
    unknownImage = "from nowhere";
    await run("strange", { image: unknownImage, command: ["true"] });
    await until("its image was asked for", () => assert.ok(refused));
    await assert.rejects(stop(), (error) => {
      assert.ok(error instanceof Error && error.cause instanceof Error);
      assert.deepEqual([error.message, error.cause.message], ["the kubelets gave up", "no such image: from nowhere"]);
      return true;
    });
    // What is dead has no command line, even before somebody has taken note of it.
    assert.equal(commandOf(pid), "");
  });

  /** A container that goes on; its process here. */
  async function runsOn(): Promise<string> {
    const marker = "1000000.25";
    await run("runs-on", { command: ["sleep", marker] });
    await ends("runs-on", "Running");
    return until("its process", () => {
      const found = readdirSync("/proc").find((pid) => commandOf(pid) === `sleep ${marker}`);
      assert.ok(found);
      return found;
    });
  }

  function folderOf(volume: string): string {
    const folder = join(folders, volume);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  async function claim(name: string): Promise<void> {
    await plane.api.create({
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name, namespace: "shop" },
      spec: {
        storageClassName: "folders",
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Gi" } },
      },
    } as never);
  }

  async function boundFolder(name: string): Promise<string> {
    return until(`claim ${name} is bound`, async () => {
      const found = await plane.api.read(kinds.claims, name, "shop");
      assert.equal(found?.status?.phase, "Bound");
      return folderOf(found.spec?.volumeName ?? "");
    });
  }

  async function run(name: string, container: object, spec: Partial<V1PodSpec> = {}): Promise<void> {
    await plane.api.create({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "shop", annotations: { ...realPods } },
      spec: {
        restartPolicy: "Never",
        // Its token would come in a volume of a kind that nobody plays.
        automountServiceAccountToken: false,
        containers: [{ name: "main", image: "none", ...container }],
        ...spec,
      },
    });
  }

  async function ends(name: string, ...phases: string[]): Promise<V1Pod> {
    return until(`pod ${name} is ${phases.join(" or ")}`, async () => {
      const pod = await plane.api.read(kinds.pods, name, "shop");
      assert.ok(phases.includes(pod?.status?.phase ?? ""), JSON.stringify(pod?.status));
      return pod as V1Pod;
    });
  }
});

/** Empty for what is no process, or none any more. */
function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").join(" ").trim();
  } catch {
    return "";
  }
}
