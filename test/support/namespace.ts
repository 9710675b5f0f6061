import { spawnSync } from "node:child_process";

/** What `isolated` uses beside the shell. */
export const namespacePrograms = ["unshare", "setpriv", "ip", "mount"];

/**
 * What the command finds around it: a network of its own with loopback and no way out, mounts that nobody else sees, an empty memory file system for everything
 * temporary. Not `exec`: the shell stays as the first process and reaps what a killed engine leaves behind.
 */
const around =
  'set -e; ip link set lo up; mount -t tmpfs -o mode=755 none "$1"; TMPDIR="$1"; export TMPDIR; shift; "$@"';

/**
 * The command line that runs `command` in namespaces of its own. Everything in them ends with whoever started it, however that ended: the kernel kills unshare
 * with its parent, the namespace's first process with unshare, and every other process, address, mount and temporary file with that.
 */
export function isolated(command: readonly string[], scratch: string): readonly string[] {
  const own = ["--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
  return ["setpriv", "--pdeathsig", "KILL", "unshare", ...own, "sh", "-c", around, "sh", scratch, ...command];
}

/** Why namespaces cannot be had here; undefined when they can. */
export function cannotIsolate(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root for namespaces of its own (addresses, sshd's users)";
  const { status, stderr } = spawnSync("unshare", ["--net", "--mount", "--pid", "--fork", "true"], {
    encoding: "utf8",
  });
  return status === 0 ? undefined : `needs namespaces of its own: ${stderr.trim() || "unshare failed"}`;
}
