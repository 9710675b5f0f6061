import { execFileSync } from "node:child_process";
import { closeSync, openSync, writeSync } from "node:fs";
import { crc32 } from "node:zlib";

/** Disks of somebody else: what makes one of an empty file, and what the operator must read when it is the data disk. */
export const foreignDisks: readonly {
  readonly what: string;
  readonly make: (file: string) => void;
  readonly says: RegExp;
}[] = [
  {
    what: "a file system under another label",
    make: (file) => void execFileSync("mkfs.ext4", ["-q", "-L", "photos", file]),
    says: /the data disk \/dev\/sd[a-z] is not empty, it holds: ext4 photos$/m,
  },
  {
    what: "a physical volume of LVM",
    make: makePhysicalVolume,
    says: /the data disk \/dev\/sd[a-z] is not empty, it holds: LVM2_member$/m,
  },
  {
    what: "a partition",
    make: (file) => void execFileSync("sfdisk", ["--quiet", file], { input: "label: gpt\ntype=L\n" }),
    says: /the data disk \/dev\/sd([a-z]) has partitions: sd\1\d$/m,
  },
];

/** LVM's label in the second sector, with its checksum: its own programs are no part of what these tests need. */
function makePhysicalVolume(file: string): void {
  const sector = Buffer.alloc(512);
  sector.write("LABELONE", 0);
  sector.writeBigUInt64LE(1n, 8);
  sector.writeUInt32LE(32, 20);
  sector.write("LVM2 001", 24);
  sector.write("abcdefghijklmnopqrstuvwxyzABCDEF", 32);
  // LVM begins with a number of its own and inverts nothing; zlib inverts before and after.
  sector.writeUInt32LE(~crc32(sector.subarray(20), ~0xf597a6cf >>> 0) >>> 0, 16);
  const disk = openSync(file, "r+");
  writeSync(disk, sector, 0, 512, 512);
  closeSync(disk);
}
