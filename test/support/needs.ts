import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * Programs that tests use beside Node, with the Debian package that brings them. test/packages.txt lists the same packages, and the gate fails when something
 * skips for want of one of them.
 */
export const packageOf: Readonly<Record<string, string>> = {
  busybox: "busybox-static",
  debootstrap: "debootstrap",
  etcd: "etcd-server",
  e2fsck: "e2fsprogs",
  flock: "util-linux",
  getfacl: "acl",
  getfattr: "attr",
  htpasswd: "apache2-utils",
  ip: "iproute2",
  iptables: "iptables",
  "mkfs.ext4": "e2fsprogs",
  mkswap: "util-linux",
  mount: "mount",
  nft: "nftables",
  nsenter: "util-linux",
  openssl: "openssl",
  pip3: "python3-pip",
  python3: "python3",
  "qemu-img": "qemu-utils",
  "qemu-system-x86_64": "qemu-system-x86",
  resize2fs: "e2fsprogs",
  rsync: "rsync",
  setfacl: "acl",
  setfattr: "attr",
  setpriv: "util-linux",
  sfdisk: "fdisk",
  shellcheck: "shellcheck",
  ssh: "openssh-client",
  "ssh-keygen": "openssh-client",
  "ssh-keyscan": "openssh-client",
  sshd: "openssh-server",
  sysctl: "procps",
  umount: "mount",
  unshare: "util-linux",
  wipefs: "util-linux",
  xorriso: "xorriso",
};

/** Where a program is on PATH; undefined when it is not. */
export function onPath(program: string, path = process.env.PATH ?? ""): string | undefined {
  return path
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, program))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** `not on PATH: rsync (Debian package rsync), pulumi`; undefined when all are there. */
export function missingPrograms(programs: readonly string[], path?: string): string | undefined {
  const missing = programs.filter((program) => onPath(program, path) === undefined);
  if (missing.length === 0) return undefined;
  const names = missing.map((program) => {
    const name = packageOf[program];
    return name === undefined ? program : `${program} (Debian package ${name})`;
  });
  return `not on PATH: ${names.join(", ")}`;
}

/** What a test or suite carries so that the summary can say why it was skipped. */
export interface Skippable {
  skipReason?: string;
  readonly parent?: Skippable | undefined;
}

/**
 * Skips a test, or from a `before` hook its whole suite, and says why in the summary of `npm test`. A test that skips without a reason fails the gate.
 */
export function skip(context: Mocha.Context, reason: string): never {
  const { test, currentTest } = context;
  // A test carries its own title here, a hook `"before all" hook …`; currentTest is only meant in hooks, and in a `before` it is merely the first test.
  const marked: Skippable | undefined = test?.title.startsWith('"before all" hook')
    ? test.parent
    : test?.title.startsWith('"before each" hook')
      ? currentTest
      : test;
  if (marked) marked.skipReason = reason;
  return context.skip();
}

/** Skips unless all these programs are on PATH. */
export function needs(context: Mocha.Context, ...programs: readonly string[]): void {
  const missing = missingPrograms(programs);
  if (missing !== undefined) skip(context, missing);
}
