import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needs } from "../../../support/needs";
import { guestScripts } from "../../../support/nodes";

const token = "registration-token-that-must-not-show";

const settings = {
  NODE_NAME: "debian-1",
  ADDRESS: "192.168.10.21",
  ROLES: "controlplane,etcd,worker",
  LABELS: "home-cluster/node=debian,zone=a",
  SERVER: "https://rancher.home.example.org",
  CA_CHECKSUM: "",
  AGENT_IMAGE: "rancher/rancher-agent:v2.11.16",
};

/** A folder in which docker, curl and systemctl are stubs that keep what they were given. */
class Guest {
  readonly root = mkdtempSync(join(tmpdir(), "join-"));

  constructor() {
    for (const folder of ["bin", "tmp", "var/lib/rancher/agent"])
      mkdirSync(join(this.root, folder), { recursive: true });
    this.stub(
      "docker",
      `case "$1 $2" in
        "container inspect") [[ -e "$ROOT/kubelet" ]] ;;
        "ps --filter") cat "$ROOT/agents" 2>/dev/null || true ;;
        "run --detach") for ((i = 1; i < $#; i++)); do [[ "\${!i}" == --env-file ]] && { i=$((i + 1)); cp -p "\${!i}" "$ROOT/env"; }; done; exit "$(cat "$ROOT/docker-exit" 2>/dev/null || echo 0)" ;;
      esac`,
    );
    this.stub("systemctl", '[[ -e "$ROOT/active" ]]');
    this.stub(
      "curl",
      `for ((i = 1; i <= $#; i++)); do case "\${!i}" in
        --output) i=$((i + 1)); output="\${!i}" ;;
        https://*) url="\${!i}" ;;
      esac; done
      case "$url" in
        */cacerts) cp "$ROOT/ca.pem" "$output" ;;
        */system-agent-install.sh) cp "$ROOT/install.sh" "$output" ;;
      esac`,
    );
    writeFileSync(join(this.root, "ca.pem"), "a private CA\n");
    writeFileSync(
      join(this.root, "install.sh"),
      'env | grep -E "^(CATTLE|HTTPS)_" | sort >"$ROOT/installed"; echo "args: $*" >>"$ROOT/installed"; echo from the installer\n',
    );
  }

  run(
    script: "join-rke1" | "join-agent",
    change: Record<string, string> = {},
  ): { out: string; error: string; code: number | null } {
    const all = { ...settings, TOKEN: token, AGENT_ENVIRONMENT: "", ...change };
    const variables = Object.entries(all).map(([name, value]) => `${name}='${value}'\n`);
    const { stdout, stderr, status } = spawnSync("bash", ["-s"], {
      input: variables.join("") + readFileSync(join(guestScripts, `${script}.sh`), "utf8"),
      env: {
        PATH: `${join(this.root, "bin")}:${process.env.PATH ?? ""}`,
        ROOT: this.root,
        TMPDIR: join(this.root, "tmp"),
      },
      encoding: "utf8",
    });
    return { out: stdout, error: stderr, code: status };
  }

  set(name: string, content = ""): void {
    writeFileSync(join(this.root, name), content);
  }

  read(name: string): string | undefined {
    return existsSync(join(this.root, name)) ? readFileSync(join(this.root, name), "utf8") : undefined;
  }

  /** Nothing with a secret in it stays behind. */
  leftovers(): string[] {
    return readdirSync(join(this.root, "tmp"));
  }

  private stub(name: string, body: string): void {
    const path = join(this.root, "bin", name);
    writeFileSync(path, `#!/bin/bash\necho "${name} $*" >>"$ROOT/log"\n${body}\n`);
    chmodSync(path, 0o755);
  }
}

describe("operations/guest/join-*.sh, with stub commands (does not prove that Rancher's agents register)", () => {
  let guest: Guest;
  beforeEach(() => (guest = new Guest()));
  afterEach(() => rmSync(guest.root, { recursive: true }));

  it("join-rke1 runs Rancher's agent with everything in an environment file of mode 600, and nothing of it in an argument", () => {
    assert.deepEqual(guest.run("join-rke1"), { out: "joining\n", error: "", code: 0 });
    assert.equal(
      guest.read("env"),
      `CATTLE_SERVER=https://rancher.home.example.org
CATTLE_TOKEN=${token}
CATTLE_NODE_NAME=debian-1
CATTLE_ROLE=controlplane,etcd,worker
CATTLE_ADDRESS=192.168.10.21
CATTLE_INTERNAL_ADDRESS=192.168.10.21
CATTLE_NODE_LABEL=home-cluster/node=debian,zone=a
`,
    );
    const mode = spawnSync("stat", ["--format", "%a", join(guest.root, "env")], { encoding: "utf8" }).stdout;
    assert.equal(mode, "600\n");
    assert.match(
      guest.read("log") ?? "",
      /^docker run --detach --name home-cluster-join --privileged --restart=unless-stopped --net=host --volume \/etc\/kubernetes:\/etc\/kubernetes --volume \/var\/run:\/var\/run --env-file \S+ rancher\/rancher-agent:v2\.11\.16$/m,
    );
    assert.ok(!guest.read("log")?.includes(token));
    assert.deepEqual(guest.leftovers(), []);
  });

  it("join-rke1 adds the checksum of Rancher's CA and the cluster's own variables when there are any", () => {
    guest.run("join-rke1", {
      CA_CHECKSUM: "abc",
      AGENT_ENVIRONMENT: "HTTPS_PROXY=http://u:p@proxy\nNO_PROXY=10.0.0.0/8",
    });
    assert.match(
      guest.read("env") ?? "",
      /\nCATTLE_CA_CHECKSUM=abc\nHTTPS_PROXY=http:\/\/u:p@proxy\nNO_PROXY=10\.0\.0\.0\/8\n$/,
    );
  });

  it("join-rke1 starts no second agent: where rke1 runs already, and beside one that somebody started by hand", () => {
    guest.set("kubelet");
    assert.equal(guest.run("join-rke1").out, "already joined\n");
    rmSync(join(guest.root, "kubelet"));
    // A pod of the cluster and rke1's own helper are no such agents.
    guest.set("agents", "quirky_hopper \nk8s_agent_cattle-node-agent cattle-system\nshare-mnt \n");
    assert.equal(guest.run("join-rke1").out, "already joining through quirky_hopper\n");
    assert.equal(guest.read("env"), undefined);
  });

  it("join-rke1 replaces its own agent of a run before, whose token may have expired", () => {
    guest.set("agents", "home-cluster-join \n");
    assert.equal(guest.run("join-rke1").out, "joining\n");
    assert.match(guest.read("log") ?? "", /docker rm --force home-cluster-join\ndocker run/);
  });

  it("join-rke1 fails when docker does, and leaves no token behind", () => {
    guest.set("docker-exit", "125");
    assert.equal(guest.run("join-rke1").code, 125);
    assert.deepEqual(guest.leftovers(), []);
  });

  it("join-agent runs Rancher's installer with everything in its environment, and nothing of it in an argument", () => {
    assert.deepEqual(guest.run("join-agent"), { out: "joining\n", error: "from the installer\n", code: 0 });
    assert.equal(
      guest.read("installed"),
      `CATTLE_ADDRESS=192.168.10.21
CATTLE_INTERNAL_ADDRESS=192.168.10.21
CATTLE_LABELS=cattle.io/os=linux,home-cluster/node=debian,zone=a
CATTLE_NODE_NAME=debian-1
CATTLE_ROLE_CONTROLPLANE=true
CATTLE_ROLE_ETCD=true
CATTLE_ROLE_WORKER=true
CATTLE_SERVER=https://rancher.home.example.org
CATTLE_TOKEN=${token}
args: 
`,
    );
    assert.ok(!guest.read("log")?.includes(token));
    assert.doesNotMatch(guest.read("log") ?? "", /--insecure|--cacert/);
    assert.deepEqual(guest.leftovers(), []);
  });

  for (const role of ["controlplane", "etcd", "worker"]) {
    it(`join-agent asks for ${role} alone when that is the only role`, () => {
      guest.run("join-agent", { ROLES: role, LABELS: "" });
      assert.deepEqual(guest.read("installed")?.match(/CATTLE_ROLE_\w+=true/g), [
        `CATTLE_ROLE_${role.toUpperCase()}=true`,
      ]);
      assert.match(guest.read("installed") ?? "", /^CATTLE_LABELS=cattle\.io\/os=linux$/m);
    });
  }

  it("join-agent believes a private CA only by its checksum, and then fetches everything else with it", () => {
    const checksum = createHash("sha256").update("a private CA\n").digest("hex");
    assert.equal(guest.run("join-agent", { CA_CHECKSUM: checksum }).code, 0);
    assert.match(guest.read("installed") ?? "", new RegExp(`^CATTLE_CA_CHECKSUM=${checksum}$`, "m"));
    assert.match(
      guest.read("log") ?? "",
      /^curl --insecure .*\/cacerts .*\ncurl --cacert \S+ .*system-agent-install\.sh/m,
    );

    rmSync(join(guest.root, "installed"));
    const { code, error } = guest.run("join-agent", { CA_CHECKSUM: "0".repeat(64) });
    assert.equal(code, 1);
    assert.match(error, /refused: the CA certificate .* is not the one that Rancher names/);
    assert.equal(guest.read("installed"), undefined);
  });

  it("join-agent gives the installer the cluster's own variables", () => {
    guest.run("join-agent", { AGENT_ENVIRONMENT: "HTTPS_PROXY=http://u:p@proxy" });
    assert.match(guest.read("installed") ?? "", /^HTTPS_PROXY=http:\/\/u:p@proxy$/m);
  });

  it("join-agent leaves a member alone, and registers anew where the agent runs without having been accepted", () => {
    guest.set("active");
    assert.equal(guest.run("join-agent").out, "joining\n");
    rmSync(join(guest.root, "installed"));
    guest.set("var/lib/rancher/agent/rancher2_connection_info.json", "{}");
    assert.equal(guest.run("join-agent").out, "already joined\n");
    assert.equal(guest.read("installed"), undefined);
  });

  it("join-agent fails when the installer does, and leaves nothing behind", () => {
    guest.set("install.sh", "exit 3\n");
    assert.equal(guest.run("join-agent").code, 3);
    assert.deepEqual(guest.leftovers(), []);
  });

  for (const script of readdirSync(guestScripts)) {
    it(`${script} is a script that bash can parse`, () => {
      const { status, stderr } = spawnSync("bash", ["-n", join(guestScripts, script)], { encoding: "utf8" });
      assert.deepEqual([status, stderr], [0, ""]);
    });

    it(`${script} is what shellcheck has nothing to say about`, function () {
      needs(this, "shellcheck");
      const { status, stdout } = spawnSync("shellcheck", [join(guestScripts, script)], { encoding: "utf8" });
      assert.deepEqual([status, stdout], [0, ""]);
    });
  }
});
