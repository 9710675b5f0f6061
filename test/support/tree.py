#!/usr/bin/env python3
"""Makes and changes trees with every kind of trouble that real volumes hold, for the tests and the measurements of a migration.

    tree.py make FOLDER FILES [SEED [KIB]]  FILES files of 1 to KIB (64) KiB in folders, and everything else in proportion (as root)
    tree.py large FOLDER COUNT BYTES        COUNT files of BYTES each, half of them incompressible
    tree.py change FOLDER PERCENT [SEED]    what a workload does: PERCENT of the files, in nine ways; prints how many
    tree.py touch FOLDER                    one change, so that everything before it is older

What Node cannot make: names that are no UTF-8, nanoseconds, attributes, ACLs, device files. Python's standard library alone.
"""

import os
import random
import socket
import stat
import struct
import sys

ODD = [b"new\nline", b"-rf", b"--delete", b" leading", b"trailing ", b"in\xffvalid\xfe", b"*", b"[ab]?", b"back\\slash", b"quote'\"`$(x)",
       b"tab\there", b"co:lon", b"#hash", b"+ plus", b"- minus", b"\x01control\x1b[2J", b".hidden", b"x" * 255, "häß".encode(), b"\\#012"]
OWNERS = [0, 0, 999, 1000, 1001, 65534, 12345]
MODES = [0o644, 0o644, 0o640, 0o600, 0o664, 0o755, 0o4755, 0o2755, 0o1644, 0o000, 0o444]
TIMES = [-86_400_123_456_789, 0, 946_684_799_999_999_999, 4_000_000_000_000_000_001]  # before 1970, 1970, 1999, 2096


def acl(*entries):
    """A POSIX ACL as the kernel stores it: (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
ACCESS = acl((1, 6, NOBODY), (2, 4, 1000), (4, 4, NOBODY), (8, 5, 1001), (16, 5, NOBODY), (32, 0, NOBODY))
DEFAULT = acl((1, 7, NOBODY), (2, 5, 999), (4, 5, NOBODY), (16, 5, NOBODY), (32, 0, NOBODY))


def set_time(path, nanoseconds):
    os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)


def make(root, files, seed, most):
    pick = random.Random(seed)
    base = 1_600_000_000_000_000_000
    folders = [root]
    tops = 12
    for i in range(max(tops, files // 47)):
        parent = root if i < tops else pick.choice(folders[1:])
        name = ODD[i % len(ODD)] if i % 17 == 0 and parent != root else b"folder-%d" % i
        path = os.path.join(parent, name)
        if not os.path.lexists(path):
            os.mkdir(path)
            folders.append(path)
    empty = [os.path.join(pick.choice(folders), b"empty-%d" % i) for i in range(files // 200)]
    for path in empty:
        os.mkdir(path)
    made = []
    for i in range(files):
        folder = pick.choice(folders[1:])
        name = ODD[i % len(ODD)] if i % 100 == 7 else b"file-%d" % i
        path = os.path.join(folder, name)
        if os.path.lexists(path):
            path = os.path.join(folder, b"other-%d" % i)
        with open(path, "wb") as file:
            if i % 200 == 11:  # sparse, with a hole at the start, in the middle and at the end
                file.seek(pick.randrange(1 << 16, 1 << 20))
                file.write(pick.randbytes(4096))
                file.seek(1 << 20, os.SEEK_CUR)
                file.write(pick.randbytes(100))
                file.truncate(file.tell() + pick.randrange(1 << 18))
            else:
                file.write(pick.randbytes(pick.randrange(1 << 10, most << 10)))
        made.append(path)
    for i in range(files * 3 // 100):  # hard links, half of them across the folders of the root
        path = made[pick.randrange(len(made))]
        folder = os.path.dirname(path) if i % 2 else pick.choice(folders[1:])
        os.link(path, os.path.join(folder, b"link-%d" % i))
    links = []
    for i in range(files // 20):
        path = os.path.join(pick.choice(folders), b"symlink-%d" % i)
        os.symlink([b"../nowhere\nat all", b"/absolute", os.path.basename(made[i])][i % 3], path)
        links.append(path)
    special = []
    for i in range(max(1, files // 5000)):
        folder = pick.choice(folders)
        os.mkfifo(os.path.join(folder, b"fifo-%d" % i))
        bound = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(folder)  # a socket's path has at most 107 bytes
        bound.bind(b"socket-%d" % i)
        os.chdir(here)
        bound.close()
        os.mknod(os.path.join(folder, b"character-%d" % i), stat.S_IFCHR | 0o640, os.makedev(1, 3 + i))
        os.mknod(os.path.join(folder, b"block-%d" % i), stat.S_IFBLK | 0o640, os.makedev(7, 200 + i))
        special += [os.path.join(folder, b"%s-%d" % (name, i)) for name in (b"fifo", b"socket", b"character", b"block")]
    for i, path in enumerate(made):
        if pick.random() < 0.3:
            os.chown(path, pick.choice(OWNERS), pick.choice(OWNERS))
        if pick.random() < 0.2:
            os.chmod(path, pick.choice(MODES))
        if i % 20 == 3:
            os.setxattr(path, b"user.comment", pick.randbytes(pick.randrange(0, 40)))
        if i % 200 == 5:
            os.setxattr(path, b"user.rsync.%stat", b"100644 0,0 0:0")
        if i % 400 == 6:
            os.setxattr(path, b"trusted.mark", pick.randbytes(8))
        if i % 50 == 9:
            os.setxattr(path, b"system.posix_acl_access", ACCESS)
        # What chown has taken away: file capabilities.
        if i % 1000 == 13:
            os.setxattr(path, b"security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))
        set_time(path, TIMES[i % len(TIMES)] if i % 50 == 1 else base + pick.randrange(10**18) // 10)
    for i, path in enumerate(links + special):
        os.lchown(path, pick.choice(OWNERS), pick.choice(OWNERS))
        set_time(path, base + pick.randrange(10**17))
    for i, path in enumerate(folders[1:] + empty):
        os.chown(path, pick.choice(OWNERS), pick.choice(OWNERS))
        os.chmod(path, pick.choice([0o755, 0o700, 0o2775, 0o1777, 0o000]))
        if i % 5 == 1:
            os.setxattr(path, b"system.posix_acl_default", DEFAULT)
        if i % 7 == 2:
            os.setxattr(path, b"user.folder", b"value")
    for path in sorted(folders + empty, key=len, reverse=True):
        set_time(path, base + pick.randrange(10**17))


def large(root, count, size):
    pick = random.Random(1)
    for i in range(count):
        with open(os.path.join(root, b"large-%d.bin" % i), "wb") as file:
            block = b"the same again, " * (1 << 16)
            for at in range(0, size, 1 << 20):
                file.write((pick.randbytes(1 << 20) if at // (1 << 20) % 2 else block)[: min(1 << 20, size - at)])


def plain_files(root):
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = os.path.join(folder, name)
            st = os.lstat(path)
            if stat.S_ISREG(st.st_mode) and st.st_nlink == 1:
                yield path, st


def change(root, percent, seed):
    """Nine ways in turn; among them content with the same size and time, which only the change time shows."""
    pick = random.Random(seed)
    found = sorted(plain_files(root))
    chosen = pick.sample(found, max(9, len(found) * percent // 100))
    for i, (path, st) in enumerate(chosen):
        kind = i % 9
        if kind in (0, 1):  # content, same size and time
            with open(path, "r+b") as file:
                file.seek(max(0, st.st_size - 1))
                last = file.read(1) or b"\0"
                file.seek(max(0, st.st_size - 1))
                file.write(bytes([last[0] ^ 1]))
            os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
            if st.st_size == 0:
                os.truncate(path, 0)
        elif kind == 2:
            with open(path, "ab") as file:
                file.write(pick.randbytes(100))
        elif kind == 3:
            os.unlink(path)
        elif kind == 4:
            os.rename(path, path[: path.rindex(b"/") + 1] + b"renamed-%d" % i)
        elif kind == 5:
            with open(path[: path.rindex(b"/") + 1] + b"new-%d" % i, "wb") as file:
                file.write(pick.randbytes(5000))
        elif kind == 6:
            os.chmod(path, stat.S_IMODE(st.st_mode) ^ 0o011)
        elif kind == 7:
            os.chown(path, st.st_uid ^ 1, st.st_gid)
        else:
            os.setxattr(path, b"user.changed", b"since")
    return len(chosen)


def main():
    what, folder, *rest = sys.argv[1:]
    root = os.fsencode(folder)
    os.umask(0o022)
    if what == "make":
        make(root, int(rest[0]), int(rest[1]) if rest[1:] else 1, int(rest[2]) if rest[2:] else 64)
    elif what == "large":
        large(root, int(rest[0]), int(rest[1]))
    elif what == "change":
        print(change(root, int(rest[0]), int(rest[1]) if rest[1:] else 2))
    elif what == "touch":
        path, st = next(plain_files(root))
        os.chmod(path, stat.S_IMODE(st.st_mode))
    else:
        sys.exit(__doc__)


main()
