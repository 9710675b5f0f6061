#!/usr/bin/env python3
"""Makes and changes trees with every kind of trouble that real volumes hold, for the tests and the measurements of a migration.

    tree.py make FOLDER FILES [SEED [KIB]]  FILES files of 1 to KIB (64) KiB in folders, and everything else in proportion (as root)
    tree.py large FOLDER COUNT BYTES        COUNT files of BYTES each, half of them incompressible
    tree.py change FOLDER PERCENT [SEED]    what a workload does: PERCENT of the files, in nine ways; prints how many
    tree.py alike FOLDER PAIRS              files in twos, equal in everything but their inodes
    tree.py mutate FOLDER COUNT SEED        COUNT of everything that a workload can do to names, folders, links and contents, one after another
    tree.py churn FOLDER SEED               the same without end, until it is killed
    tree.py touch FOLDER                    one change, so that everything before it is older

What Node cannot make: names that are no UTF-8, nanoseconds, attributes, ACLs, device files. Python's standard library alone.
"""

import os
import random
import socket
import stat
import struct
import sys
import time

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


def alike(root, pairs):
    for i in range(pairs):
        for name in (b"alike-%d-1", b"alike-%d-2"):
            path = os.path.join(root, name % i)
            with open(path, "wb") as file:
                file.write(b"alike")
            set_time(path, 1_500_000_000_000_000_001)


def listed(root):
    """All files and folders below, without lost+found."""
    files, folders = [], [root]
    for folder, below, names in os.walk(root):
        if folder == root and b"lost+found" in below:
            below.remove(b"lost+found")
        folders += [os.path.join(folder, name) for name in below]
        files += [os.path.join(folder, name) for name in names]
    return sorted(files), sorted(folders)


def rewrite(pick, path):
    """Other content of the same size and time."""
    st = os.lstat(path)
    if stat.S_ISREG(st.st_mode) and st.st_size:
        with open(path, "r+b") as file:
            file.write(pick.randbytes(min(st.st_size, 1000)))
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


# Those that leave each name the kind of entry that it was, as workloads do.
GENTLE = [0, 0, 1, 3, 4, 5, 5, 8, 9, 11, 13]


def mutation(files, folders, pick, number, kind):
    def name():
        return os.path.join(pick.choice(folders), b"%s-%d" % (pick.choice([b"m", b"new\nline", b"in\xffvalid", b"-dash"]), number))

    file = pick.choice(files) if files else None
    folder = pick.choice(folders[1:]) if folders[1:] else None
    if kind == 0 and file:
        rewrite(pick, file)
    elif kind == 1 and folder:  # moved, unchanged below
        os.rename(folder, name())
    elif kind == 2 and len(folders) > 2:  # two folders exchanged
        one, two = pick.sample(folders[1:], 2)
        if not one.startswith(two + b"/") and not two.startswith(one + b"/"):
            os.rename(one, one + b".t")
            os.rename(two, one)
            os.rename(one + b".t", two)
    elif kind == 3 and len(files) > 1:  # two files exchanged
        one, two = pick.sample(files, 2)
        os.rename(one, one + b".t")
        os.rename(two, one)
        os.rename(one + b".t", two)
    elif kind == 4 and file:
        os.link(file, name(), follow_symlinks=False)
    elif kind == 5 and file and stat.S_ISREG(os.lstat(file).st_mode):  # a link broken as editors do: written anew, renamed over
        path = file + b".t"
        with open(path, "wb") as out:
            out.write(pick.randbytes(os.lstat(file).st_size % 10000))
        os.rename(path, file)
    elif kind == 6 and file:
        os.unlink(file)
        os.mkdir(file)  # a folder takes a file's name
    elif kind == 7 and folder:  # a file takes a folder's name
        os.rename(folder, name())
        with open(folder, "wb") as out:
            out.write(b"file now")
    elif kind == 8 and file:
        os.unlink(file)
    elif kind == 9:
        path = name()
        os.mkdir(path)
        with open(os.path.join(path, b"in it"), "wb") as out:
            out.write(pick.randbytes(3000))
    elif kind == 10 and file and not os.path.islink(file):
        os.chmod(file, pick.choice(MODES))
    elif kind == 11 and file and stat.S_ISREG(os.lstat(file).st_mode):
        os.setxattr(file, b"user.mutated", b"%d" % number)
    elif kind == 12 and file:
        os.lchown(file, pick.choice(OWNERS), pick.choice(OWNERS))
    elif kind == 13 and file:
        os.rename(file, name())


def mutate(root, count, seed, kinds=range(14)):
    pick = random.Random(seed)
    number = 0
    while count < 0 or number < count:
        # Walking a large tree takes a while: what went away in between is no reason to stop.
        if count > 0 or number % 100 == 0:
            found = listed(root)
        try:
            mutation(*found, pick, number, pick.choice(kinds))
        except OSError:
            pass
        number += 1
        if count < 0:
            time.sleep(0.002)


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
    elif what == "alike":
        alike(root, int(rest[0]))
    elif what == "mutate":
        mutate(root, int(rest[0]), int(rest[1]))
    elif what == "churn":
        mutate(root, -1, int(rest[0]), GENTLE)
    elif what == "touch":
        path, st = next(plain_files(root))
        os.chmod(path, stat.S_IMODE(st.st_mode))
    else:
        sys.exit(__doc__)


main()
