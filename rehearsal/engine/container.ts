import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder or file of this machine as the container sees it. */
export interface Mount {
  readonly mountPath: string;
  readonly source: string;
  readonly readOnly?: boolean;
}

/** What a container runtime would be told. */
export interface ContainerSpec {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
  /** Of root's, those that are kept; every other one is dropped, in the bounding set too. */
  readonly capabilities: readonly string[];
  readonly readOnlyRoot: boolean;
  /** A folder of this machine that holds the image's programs and is all of its PATH. Default: Debian's own folders. */
  readonly programs?: string;
}

/** How a container ended. */
export interface ContainerEnd {
  /** 128 and the signal's number where it was killed. */
  readonly exitCode: number;
  /** What it wrote into /dev/termination-log. */
  readonly message: string;
}

/**
 * A container's command, as it is, in mount and process namespaces of its own: a root of this machine's /usr, the mounts of the pod at their paths, and no more
 * capabilities than its spec says. Not a container: no image is unpacked, no control group limits it, and the network is that of whoever started it.
 */
export class Container {
  readonly ended: Promise<ContainerEnd>;

  private constructor(
    private readonly child: ChildProcess,
    folder: string,
  ) {
    this.ended = new Promise((resolve, reject) => {
      child.once("error", reject);
      // Not `exit`: that is of the first process; what it started in its namespace is killed after it.
      child.once("close", (code, signal) => {
        const message = readFileSync(join(folder, "termination-log"), "utf8").slice(0, 4096);
        rmSync(folder, { recursive: true, force: true });
        resolve({ exitCode: code ?? 128 + (signal === "SIGTERM" ? 15 : 9), message });
      });
    });
  }

  /** `log` is appended to. */
  static start(spec: ContainerSpec, log: string): Container {
    const folder = mkdtempSync(join(tmpdir(), "container-"));
    const message = join(folder, "termination-log");
    writeFileSync(message, "");
    const mounts: Mount[] = [...spec.mounts, { mountPath: "/dev/termination-log", source: message }];
    if (spec.programs !== undefined) mounts.push({ mountPath: "/image", source: spec.programs, readOnly: true });
    const own = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "sh", "-c", enter, "sh"];
    const dropped = ["-all", ...spec.capabilities.map((name) => `+${name.toLowerCase()}`)].join(",");
    const argv = [
      ...own,
      String(mounts.length),
      ...mounts.flatMap(({ mountPath, source, readOnly }) => [source, mountPath, readOnly === true ? "ro" : "rw"]),
      spec.readOnlyRoot ? "ro" : "rw",
      ...["/usr/bin/setpriv", "--no-new-privs", "--inh-caps=-all", `--bounding-set=${dropped}`],
      ...spec.command,
    ];
    const output = openSync(log, "a");
    try {
      const PATH = spec.programs === undefined ? "/usr/local/bin:/usr/bin:/bin" : "/image";
      const [first = "", ...rest] = ["setpriv", "--pdeathsig", "KILL", ...argv];
      const child = spawn(first, rest, {
        // The last is held open by everything in the container, and nothing is ever written to it.
        stdio: ["ignore", output, output, "pipe"],
        env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", CONTAINER_ROOT: folder, CONTAINER_PATH: PATH, ...spec.env },
      });
      return new Container(child, folder);
    } finally {
      closeSync(output);
    }
  }

  /** As a kubelet does when the grace is over, or as a node that loses its power. */
  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }
}

/**
 * The root is a file system in memory over the container's folder, which only this namespace sees. Devices are the machine's own, bound one by one. The mounts'
 * paths are made in the root first: below a mount nothing is made.
 */
const enter = `
set -e
umask 022
root=$CONTAINER_ROOT/root
mkdir "$root"
mount --make-rprivate /
mount -t tmpfs -o mode=755 none "$root"
for link in bin lib lib64 sbin; do [ ! -e /usr/$link ] || ln -s usr/$link "$root/$link"; done
mkdir "$root/usr" "$root/dev" "$root/proc" "$root/etc"
mount --rbind -o ro /usr "$root/usr"
mount -t proc proc "$root/proc"
for device in null zero random urandom; do : >"$root/dev/$device"; mount --bind /dev/$device "$root/dev/$device"; done
ln -s /proc/self/fd "$root/dev/fd"
count=$1; shift
while [ "$count" -gt 0 ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; : >"$root$2"; fi
  mount --bind "$1" "$root$2"
  [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
  shift 3; count=$((count - 1))
done
[ "$1" = rw ] || mount -o remount,ro "$root"
shift
PATH=$CONTAINER_PATH; export PATH; unset CONTAINER_ROOT CONTAINER_PATH
exec /usr/bin/unshare --root="$root" --wd=/ "$@"
`;
