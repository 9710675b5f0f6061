import { spawnSync } from "node:child_process";
import { realpathSync, symlinkSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { onPath } from "./needs";

/**
 * What the copy's image has on its PATH: Alpine's busybox and, added by the image's Dockerfile (`apk add rsync openssh`, pv-migrate, docker/rsync), rsync. The
 * programs are those that Alpine's busyboxconfig (aports, main/busybox, f246c3719d27, of busybox 1.29.2: the newest that could be read) switches on under
 * "Coreutils", "Editors", "Finding Utilities" and "Shells"; it has more, but what is not here is not used. Its find has none of -cmin, -ctime, -quit, -printf.
 */
const busyboxPrograms = [
  ..."basename cat chgrp chmod chown chroot cksum comm cp cut date dd df dirname du echo env expand expr factor false fold fsync head hostid id groups".split(
    " ",
  ),
  ..."install link ln ls md5sum sha1sum sha256sum sha512sum mkdir mkfifo mknod mktemp mv nice nl nohup nproc od paste printenv printf pwd readlink".split(
    " ",
  ),
  ..."realpath rm rmdir seq shred shuf sleep sort split stat stty sum sync tac tail tee test timeout touch tr true truncate tty uname uniq unlink".split(
    " ",
  ),
  ..."usleep wc whoami yes awk cmp diff ed patch sed vi find grep egrep fgrep xargs sh ash".split(" "),
];

/** A folder for PATH with the programs of the copy's image alone; undefined where there is no busybox. rsync is this machine's. */
export function imagePrograms(folder: string): string | undefined {
  const busybox = onPath("busybox");
  if (busybox === undefined) return undefined;
  const program = realpathSync(busybox);
  const has = new Set(spawnSync(program, ["--list"], { encoding: "utf8" }).stdout.split("\n"));
  mkdirSync(folder, { recursive: true });
  for (const name of busyboxPrograms) if (has.has(name)) symlinkSync(program, join(folder, name));
  const rsync = onPath("rsync");
  if (rsync !== undefined) symlinkSync(realpathSync(rsync), join(folder, "rsync"));
  return folder;
}
