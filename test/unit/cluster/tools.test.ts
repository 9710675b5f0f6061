import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { environment } from "../../support/environment";
import { kubernetesModules, modules, program, toolsFolder } from "../../cluster/lab/build";
import { versions } from "../../../versions";

describe("the cluster tier's programs, as their go.mod files pin them (does not build them)", () => {
  it("are Kubernetes at two minors, kwok and MetalLB", () => {
    assert.deepEqual(
      modules().map(({ name, programs }) => [name, programs.map((path) => path.split("/").at(-1))]),
      [
        ["kubernetes-1.25", ["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler"]],
        ["kubernetes-1.36", ["kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler"]],
        ["kwok", ["kwok"]],
        ["metallb", ["controller", "speaker"]],
      ],
    );
  });

  it("are of the oldest and the newest minor that an environment may have, each under its own name", () => {
    const { oldest, newest } = kubernetesModules();
    for (const { name, version } of [oldest, newest]) {
      assert.ok(version.startsWith(`v${name.slice("kubernetes-".length)}.`), `${name}: ${version}`);
      environment("lab", ({ cluster }) => (cluster.kubernetesVersion = `${version}+rke2r1`));
    }
    for (const [beyond, why] of [
      ["v1.24.17+rke2r1", /does not install below Kubernetes 1.25/],
      ["v1.37.0+rke2r1", /carries Kubernetes up to 1.36/],
    ] as const) {
      assert.throws(() => environment("lab", ({ cluster }) => (cluster.kubernetesVersion = beyond)), why);
    }
  });

  it("take every part of Kubernetes at the same release", () => {
    for (const { name, version } of Object.values(kubernetesModules())) {
      const lines = readFileSync(join(toolsFolder, name, "go.mod"), "utf8").split("\n");
      const parts = lines.filter((line) => line.includes(" => "));
      assert.ok(parts.length > 20);
      for (const line of parts) {
        const [, from, to, at] = /^\t(\S+) => (\S+) v0\.(\S+)$/.exec(line) ?? [];
        assert.deepEqual([to, `v1.${at}`], [from, version], line);
      }
    }
  });

  it("say which release they are, and of no commit that was not looked up", () => {
    const said = kubernetesModules().oldest.says;
    for (const value of ["gitVersion=v1.25.0", "gitMajor=1", "gitMinor=25", "gitTreeState=archive", "gitCommit="]) {
      assert.ok(said.includes(`k8s.io/component-base/version.${value}`), value);
    }
  });

  it("are MetalLB's of the release that the program installs", () => {
    const metallb = modules().find(({ name }) => name === "metallb");
    assert.equal(metallb?.version, `v${versions.charts.metallb.version}`);
  });

  it("have to be built before they are used", () => {
    assert.throws(
      () => program("kwok", "no-such-program"),
      /no-such-program is not there: npm run test:cluster builds it/,
    );
  });
});
