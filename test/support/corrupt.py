#!/usr/bin/env python3
"""Damages a copy in every way there is, one of each kind at a time in distinct files, and counts what the verification names:

    corrupt.py VERIFY OLD NEW ROUNDS SEED [MODE…]

MODE is what HASH says: changed, all. Prints one line of JSON: {"tried": {kind: n}, "caught": {kind: n}, "unexpected": [lines], "missed": [kind: path]}. Every
damage is undone. It runs the verification as its Job does, with this environment but for SOURCE, TARGET, HASH and RESULT, and no PATH. As root.
"""

import collections
import json
import os
import random
import shutil
import stat
import subprocess
import sys

script, old, new, rounds, seed, *modes = sys.argv[1:]
pick = random.Random(int(seed))
ROOT = os.fsencode(new)
RESERVED = b".home-cluster-migration"


def shown(path):
    return repr(os.path.relpath(path, ROOT).decode("utf-8", "surrogateescape"))


def set_time(path, nanoseconds):
    os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)


class Keep:
    """Restores a folder's time when what is in it was exchanged."""

    def __init__(self, *paths):
        self.times = {os.path.dirname(path): os.stat(os.path.dirname(path)).st_mtime_ns for path in paths}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for folder, time in self.times.items():
            set_time(folder, time)


def twin(path, copy):
    """A second file like the first in everything but its inode."""
    st = os.lstat(path)
    shutil.copyfile(path, copy)
    os.chown(copy, st.st_uid, st.st_gid)
    os.chmod(copy, stat.S_IMODE(st.st_mode))
    for name in os.listxattr(path):
        os.setxattr(copy, name, os.getxattr(path, name))
    set_time(copy, st.st_mtime_ns)


files, links, folders, symlinks, devices, fifos = [], collections.defaultdict(list), [], [], [], []
for folder, below, names in os.walk(ROOT):
    if folder == ROOT:
        below[:] = [name for name in below if name not in (RESERVED, b"lost+found")]
    else:
        folders.append(folder)
    for name in names + below:
        path = os.path.join(folder, name)
        st = os.lstat(path)
        if stat.S_ISREG(st.st_mode):
            if st.st_nlink > 1:
                links[st.st_ino].append(path)
            else:
                files.append(path)
        elif stat.S_ISLNK(st.st_mode):
            symlinks.append(path)
        elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
            devices.append(path)
        elif stat.S_ISFIFO(st.st_mode):
            fifos.append(path)
alike = [path for path in files if os.path.basename(path).startswith(b"alike-")]
files = [path for path in files if path not in set(alike)]
grouped = [names for names in links.values() if len(names) > 1]


def plain(path):
    """chown takes set-id bits and capabilities away, which is another damage."""
    return not os.lstat(path).st_mode & 0o7000 and "security.capability" not in os.listxattr(path)


def with_attribute(name):
    return [path for path in files if name in os.listxattr(path)]


commented, acls = with_attribute("user.comment"), with_attribute("system.posix_acl_access")
defaults = [path for path in folders if "system.posix_acl_default" in os.listxattr(path)]
sparse = [path for path in files if os.lstat(path).st_blocks * 512 + (1 << 18) < os.lstat(path).st_size]
filled = [path for path in files if os.lstat(path).st_size > 0]
used = set()


def choose(among, wanted=lambda path: True):
    while True:
        path = pick.choice(among)
        key = path if isinstance(path, bytes) else path[0]
        if key not in used and wanted(path):
            used.add(key)
            return path


def byte(among):
    path = choose(among)
    st = os.lstat(path)
    at, bit = pick.randrange(st.st_size), 1 << pick.randrange(8)

    def flip():
        with open(path, "r+b") as file:
            file.seek(at)
            value = file.read(1)[0]
            file.seek(at)
            file.write(bytes([value ^ bit]))
        set_time(path, st.st_mtime_ns)

    flip()
    return [path], flip


def mode(bits, among):
    path = choose(among)
    before = stat.S_IMODE(os.lstat(path).st_mode)
    os.chmod(path, before ^ pick.choice(bits))
    return [path], lambda: os.chmod(path, before)


def owner(user, group):
    path = choose(files, plain)
    os.chown(path, user, group, follow_symlinks=False)
    # Back to what the other tree says, which was equal.
    st = os.lstat(os.path.join(os.fsencode(old), os.path.relpath(path, ROOT)))
    if (st.st_uid if user != -1 else st.st_gid) == (user if user != -1 else group):
        os.chown(path, user + 1 if user != -1 else -1, group + 1 if group != -1 else -1)
    return [path], lambda: os.chown(path, st.st_uid, st.st_gid)


def attribute(among, name, value):
    path = choose(among)
    before = os.getxattr(path, name) if name in os.listxattr(path) else None
    if value is None:
        os.removexattr(path, name)
    else:
        os.setxattr(path, name, value if value != before else value + b"!")

    def undo():
        if before is None:
            os.removexattr(path, name)
        else:
            os.setxattr(path, name, before)

    return [path], undo


def time_of(among):
    path = choose(among)
    before = os.lstat(path).st_mtime_ns
    set_time(path, before + 1)
    return [path], lambda: set_time(path, before)


def split():
    names = choose(grouped)
    path = pick.choice(names)
    other = next(name for name in names if name != path)
    with Keep(path):
        os.unlink(path)
        twin(other, path)

    def undo():
        with Keep(path):
            os.unlink(path)
            os.link(other, path)

    return names, undo


def merged():
    one = choose(alike, lambda path: path.endswith(b"-1"))
    two = one[:-1] + b"2"
    with Keep(two):
        os.unlink(two)
        os.link(one, two)

    def undo():
        with Keep(two):
            os.unlink(two)
            twin(one, two)

    return [one, two], undo


def swapped():
    one = choose(filled)
    two = choose(filled)

    def swap():
        with Keep(one, two):
            os.rename(one, one + b".t")
            os.rename(two, one)
            os.rename(one + b".t", two)

    swap()
    return [one, two], swap


def extra():
    path = os.path.join(choose(folders), b"extra")
    with Keep(path), open(path, "wb"):
        pass

    def undo():
        with Keep(path):
            os.unlink(path)

    return [path], undo


def missing():
    path = choose(files)
    away = os.path.join(ROOT, RESERVED, b"away-%d" % pick.randrange(1 << 60))
    with Keep(path):
        os.rename(path, away)

    def undo():
        with Keep(path):
            os.rename(away, path)

    return [path], undo


def replaced(among, make):
    """Another kind of entry, or the same with another target or number, all else equal."""
    path = choose(among)
    st = os.lstat(path)
    away = os.path.join(ROOT, RESERVED, b"away-%d" % pick.randrange(1 << 60))
    with Keep(path):
        os.rename(path, away)
        make(path, st, away)
        os.lchown(path, st.st_uid, st.st_gid)
        set_time(path, st.st_mtime_ns)

    def undo():
        with Keep(path):
            os.unlink(path)
            os.rename(away, path)

    return [path], undo


def shorter():
    path = choose(filled)
    st = os.lstat(path)
    with open(path, "rb") as file:
        file.seek(st.st_size - 1)
        last = file.read(1)
    os.truncate(path, st.st_size - 1)
    set_time(path, st.st_mtime_ns)

    def undo():
        with open(path, "ab") as file:
            file.write(last)
        set_time(path, st.st_mtime_ns)

    return [path], undo


KINDS = {
    "one bit of one byte": lambda: byte(filled),
    "one bit in a sparse file": lambda: byte(sparse),
    "one byte less": shorter,
    "a mode bit": lambda: mode([1 << bit for bit in range(9)], files),
    "set-user, set-group or sticky bit": lambda: mode([0o4000, 0o2000, 0o1000], files),
    "a folder's mode bit": lambda: mode([1 << bit for bit in range(9)], folders),
    "owner": lambda: owner(4242, -1),
    "group": lambda: owner(-1, 4242),
    "one nanosecond, file": lambda: time_of(files),
    "one nanosecond, folder": lambda: time_of(folders),
    "one nanosecond, symbolic link": lambda: time_of(symlinks),
    "attribute with another value": lambda: attribute(commented, "user.comment", b"another"),
    "attribute lost": lambda: attribute(commented, "user.comment", None),
    "attribute too many": lambda: attribute(files, "user.extra", b"value"),
    "ACL lost": lambda: attribute(acls, "system.posix_acl_access", None),
    "default ACL lost": lambda: attribute(defaults, "system.posix_acl_default", None),
    "hard link missing": split,
    "hard link too many": merged,
    "two files exchanged": swapped,
    "extra file": extra,
    "missing file": missing,
    "another link target": lambda: replaced(symlinks, lambda path, st, away: os.symlink(os.readlink(away) + b"x", path)),
    "another device number": lambda: replaced(devices, lambda path, st, away: os.mknod(path, st.st_mode, st.st_rdev + 1)),
    "FIFO become a file": lambda: replaced(fifos, lambda path, st, away: os.mknod(path, stat.S_IFREG | stat.S_IMODE(st.st_mode))),
}


def verify(mode):
    done = subprocess.run(
        [sys.executable, "-I", "-S", script],
        env={**os.environ, "PATH": "", "SOURCE": old, "TARGET": new, "HASH": mode, "RESULT": os.devnull},
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"verify.py: exit {done.returncode}")
    return [line for line in done.stdout.decode().splitlines()[:-1] if not line.startswith("progress: ")]


tried, caught, unexpected, missed = collections.Counter(), collections.Counter(), [], []
for mode_of_round in [mode for _ in range(int(rounds)) for mode in modes or ["changed", "all"]]:
    used.clear()
    done = [(kind, *damage()) for kind, damage in KINDS.items()]
    lines = verify(mode_of_round)
    for kind, paths, undo in reversed(done):
        tried[kind] += 1
        mine = [line for line in lines if any(line.startswith(f"{shown(path)}: ") for path in paths)]
        if mine:
            caught[kind] += 1
        else:
            missed.append(f"{kind}: {', '.join(shown(path) for path in paths)}")
        lines = [line for line in lines if line not in mine]
        undo()
    unexpected += lines
unexpected += verify("all")
print(json.dumps({"tried": tried, "caught": caught, "unexpected": unexpected, "missed": missed}))
