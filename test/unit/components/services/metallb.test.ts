import assert from "node:assert/strict";
import { MetalLb, metallbValues } from "../../../../components/services/metallb";
import { poolAnnouncers } from "../../../../components/services/ingress-target";
import { lbHome, recordOn, updateOf, ways, type LbHome, type ProgramOptions } from "../../../support/load-balancer";
import { inClear, kubeconfig, kubernetesAccess, names, resources } from "../../../support/services";
import { isUnknown, type Recording } from "../../../../rehearsal/record";

const values = {
  frrk8s: { enabled: false },
  controller: { nodeSelector: { "home-cluster/node": "debian" } },
  speaker: {
    frr: { enabled: false },
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            {
              matchExpressions: [
                { key: "kubernetes.io/hostname", operator: "In", values: ["debian-1", "debian-2", "debian-3"] },
              ],
            },
          ],
        },
      },
    },
    tolerations: [
      { key: "node-role.kubernetes.io/controlplane", operator: "Exists", effect: "NoSchedule" },
      { key: "node-role.kubernetes.io/etcd", operator: "Exists", effect: "NoExecute" },
    ],
    ignoreExcludeLB: true,
  },
  crds: { validationFailurePolicy: "Fail" },
};

const home = ways["rke1, existing, selector app"];

function up(clients: LbHome, options: ProgramOptions = {}, chart: object = {}): Promise<Recording> {
  const args = { chart, announcers: poolAnnouncers(clients.file), access: kubernetesAccess };
  return recordOn(clients, (opts) => ({ namespace: new MetalLb("metallb", args, opts).namespace }), options);
}

describe("MetalLb (mock runtime: does not prove that Helm installs the chart)", () => {
  it("registers the namespace, the release and the gate behind it, and nothing else", async () => {
    const recording = await up(await lbHome(home()));
    assert.equal(recording.error, undefined);
    assert.equal(names(recording).length, 4);
    assert.deepEqual(resources(recording), [
      {
        name: "metallb-namespace",
        type: "kubernetes:core/v1:Namespace",
        parent: "metallb",
        provider: "cluster",
        inputs: {
          apiVersion: "v1",
          kind: "Namespace",
          metadata: {
            name: "metallb-system",
            labels: {
              "pod-security.kubernetes.io/enforce": "privileged",
              "pod-security.kubernetes.io/audit": "privileged",
              "pod-security.kubernetes.io/warn": "privileged",
            },
          },
        },
      },
      {
        name: "metallb-release",
        type: "kubernetes:helm.sh/v3:Release",
        parent: "metallb",
        provider: "cluster",
        inputs: {
          compat: "true",
          name: "metallb",
          namespace: "metallb-system",
          chart: "metallb",
          version: "0.16.1",
          repositoryOpts: { repo: "https://metallb.github.io/metallb" },
          createNamespace: false,
          timeout: 600,
          values,
        },
        after: ["metallb-namespace"],
        options: { customTimeouts: { create: "15m", update: "15m", delete: "15m" } },
      },
      {
        name: "metallb-webhook-ready",
        type: "command:local:Command",
        parent: "metallb",
        provider: "operations",
        inputs: {
          create: "operations/run webhook-ready",
          update: "operations/run webhook-ready",
          stdin: {
            secret: {
              version: 1,
              access: { kubernetes: { kubeconfig } },
              input: { namespace: "metallb-system", revision: 3 },
            },
          },
          logging: "stderr",
          addPreviousOutputInEnv: false,
        },
        after: ["metallb-release"],
        options: { deleteBeforeReplace: true },
      },
    ]);
    assert.deepEqual(recording.outputs, { namespace: "metallb-system" });
  });

  it("registers the same in preview and update, the gate's request unknown until the release has a revision", async () => {
    const clients = await lbHome(home());
    const preview = await up(clients, { preview: true });
    assert.deepEqual(names(preview), names(await up(clients)));
    const gate = preview.registrations.find(({ name }) => name === "metallb-webhook-ready");
    assert.ok(isUnknown((gate?.inputs.stdin as { value: unknown }).value));
  });

  it("shows no secret", async () => {
    assert.ok(!inClear(await up(await lbHome(home()))).includes(kubeconfig));
  });

  for (const [fail, left] of [
    ["metallb-namespace", ["metallb", "metallb-namespace"]],
    ["metallb-release", ["metallb", "metallb-namespace", "metallb-release"]],
  ] as const) {
    it(`when ${fail} fails, what comes after it is not registered`, async () => {
      assert.deepEqual(names(await up(await lbHome(home()), { fail })), left);
    });
  }

  it("takes the chart from another repository, or from a path that says its own version", async () => {
    const chartOf = async (chart: object): Promise<unknown> => {
      const release = resources(await up(await lbHome(home()), {}, chart)).find(({ name }) => name.endsWith("release"));
      const { chart: from, version, repositoryOpts } = release?.inputs as Record<string, unknown>;
      return { from, version, repositoryOpts };
    };
    assert.deepEqual(await chartOf({ repository: "https://charts.lan.example.org" }), {
      from: "metallb",
      version: "0.16.1",
      repositoryOpts: { repo: "https://charts.lan.example.org" },
    });
    assert.deepEqual(await chartOf({ path: "charts/metallb-0.16.1.tgz" }), {
      from: "charts/metallb-0.16.1.tgz",
      version: undefined,
      repositoryOpts: undefined,
    });
  });

  it("puts speakers only on nodes with a card in a pool's network, whatever the file's order", () => {
    assert.deepEqual(metallbValues(["debian-3", "debian-1", "debian-2"]), values);
    assert.deepEqual(poolAnnouncers(ways["rke2, traefik"]()), ["lab-debian-1", "lab-debian-2"]);
  });

  it("an update waits again, and changes nothing, whichever input or access changed", async () => {
    const clients = await lbHome(home());
    clients.home.kubernetes.metallbAnswersAt = clients.clock.now();
    const gate = resources(await up(clients)).find(({ name }) => name === "metallb-webhook-ready");
    const before = structuredClone(clients.home.kubernetes.objects);
    for (const change of [
      (request: { input: Record<string, unknown> }) => void (request.input.revision = 4),
      (request: { input: Record<string, unknown> }) => void (request.input.namespace = "elsewhere"),
      (request: { access: { kubernetes?: { kubeconfig: string } } }) =>
        void (request.access.kubernetes = { kubeconfig: "another" }),
    ]) {
      const start = clients.clock.now();
      const { namespace } = (await updateOf(clients, gate, change, {})) as { namespace: string };
      assert.match(namespace, /^(metallb-system|elsewhere)$/);
      assert.equal(clients.clock.now() - start, 4_000);
    }
    assert.deepEqual(clients.home.kubernetes.objects, before);
  });
});
