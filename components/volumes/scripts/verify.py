#!/usr/bin/env python3
"""Compares a volume's old and new tree, attribute by attribute and byte by byte; the body of the verification Job.

Independent of rsync on purpose: asked again, rsync repeats its own blind spots (it never sees two files merged into one inode, and
not all of it sees nanoseconds). Python's standard library alone, so that an official image will do.

In phase warm it keeps what it hashed, so that in phase final, while the workload is down, only what changed since has to be read.
What is kept, where, and when it is believed: docs/decisions/copy-and-verify.md.

Exit 0 when the comparison was carried out, whatever it found: only the operation that reads RESULT knows whether a pod was writing
to the source meanwhile, and so what a difference means. Exit 2 when it could not be carried out.
"""

import array
import collections
import concurrent.futures
import errno
import hashlib
import json
import mmap
import multiprocessing
import os
import stat
import struct
import sys
import threading
import time

SOURCE = os.fsencode(os.environ.get("SOURCE", "/old"))
TARGET = os.fsencode(os.environ.get("TARGET", "/new"))
RESULT = os.environ.get("RESULT", "/dev/termination-log")
PHASE = os.environ.get("PHASE", "warm")
FENCE = os.environ.get("FENCE", "")
VOLUME = os.environ.get("VOLUME", "")
SOURCE_UID = os.environ.get("SOURCE_UID", "")
STATE = os.environ.get("STATE", "")
EXPECTED = os.environ.get("HASHES", "")
HASH = os.environ.get("HASH", "changed")
ROOTS = (SOURCE, TARGET)
SIDES = ("old", "new")
OLD, NEW = 1, 2

# In the roots alone, and by exact name: files of these names deeper down are the workload's. The marker is the target's only: in a
# source it is somebody's file, which the copy refuses and a comparison must show.
RESERVED = b".home-cluster-migration"
LEFT_OUT = (frozenset([b"lost+found"]), frozenset([b"lost+found", RESERVED]))

PRINTED = 100
NAMED = 10
RESULT_LIMIT = 4096  # what the kubelet keeps of a termination message; it cuts in the middle of a word

# How much one task does before it gives the rest back: small enough that no worker sits on the last large folder while others idle.
TASK_ENTRIES = 512
TASK_BYTES = 64 << 20
TASK_SECONDS = 0.1
TWO_READERS = 1 << 20
BLOCK = 1 << 20

# A file whose change time is closer than this to the moment of hashing may be written once more without a trace: clocks of file
# systems advance in steps, of a second on the coarsest. Its hash is not kept.
RACY = 2

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}

# A file that went away: ESTALE is how an NFS server says it.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
# What open answers when another kind of file took the name: a link, a socket.
REPLACED = (errno.ELOOP, errno.ENXIO)

Entry = collections.namedtuple("Entry", "type mode owner group size mtime target rdev xattrs")


class Moved(Exception):
    """The file changed or went away under the comparison."""

    def __init__(self, side, what, gone):
        super().__init__(what)
        self.side, self.what, self.gone = side, what, gone


class Unreadable(Exception):
    pass


def shown(path):
    """Names are bytes from a stranger: no newline, escape sequence or invalid UTF-8 reaches a log as it is."""
    return repr(path.decode("utf-8", "surrogateescape"))


def failed(error, side, path):
    """What an OSError means: a race with a writer is a finding, anything else ends the comparison."""
    if error.errno in GONE:
        return Moved(side, "vanished while it was compared", True)
    if error.errno in REPLACED:
        return Moved(side, "replaced while it was compared", False)
    return Unreadable(f"{shown(path)} ({SIDES[side]}): {error.strerror or error}")


def where(side, path):
    return os.path.join(ROOTS[side], path) if path else ROOTS[side]


def xattrs(full):
    try:
        names = os.listxattr(full, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise
    kept = []
    for name in sorted(os.fsencode(name) for name in names):
        # Of system.* only POSIX ACLs are files' own. The others are a server's view of its files (NFSv4 lists system.nfs4_acl for
        # each), which no other file system can store: counted, every NFS volume would differ in every entry.
        if name.startswith(b"system.") and not name.startswith(b"system.posix_acl_"):
            continue
        try:
            kept.append((name, os.getxattr(full, name, follow_symlinks=False)))
        except OSError as error:
            if error.errno == errno.ENODATA:
                raise FileNotFoundError(errno.ENOENT, "attribute went away") from error
            raise
    return tuple(kept)


def look(side, path):
    """Everything but the content, and the raw stat."""
    full = where(side, path)
    try:
        st = os.lstat(full)
        kind = stat.S_IFMT(st.st_mode)
        entry = Entry(
            type=TYPES.get(kind, oct(kind)),
            mode=stat.S_IMODE(st.st_mode),
            owner=st.st_uid,
            group=st.st_gid,
            # A directory's size is its file system's business.
            size=st.st_size if kind in (stat.S_IFREG, stat.S_IFLNK) else None,
            mtime=st.st_mtime_ns,
            target=os.readlink(full) if kind == stat.S_IFLNK else None,
            rdev=(os.major(st.st_rdev), os.minor(st.st_rdev)) if kind in (stat.S_IFBLK, stat.S_IFCHR) else None,
            xattrs=xattrs(full),
        )
    except OSError as error:
        raise failed(error, side, path) from error
    return entry, st


def same_file(a, b):
    return (a.st_dev, a.st_ino, a.st_size, a.st_mtime_ns, a.st_ctime_ns) == (b.st_dev, b.st_ino, b.st_size, b.st_mtime_ns, b.st_ctime_ns)


# Backups made of hard links name one inode in every snapshot; a worker reads it once.
read_already = {}


def content(side, path, st):
    key = (side, st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
    if st.st_nlink > 1 and key in read_already:
        return read_already[key]
    try:
        # O_NONBLOCK: a FIFO that took the name would hold open until somebody writes to it.
        fd = os.open(where(side, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not same_file(st, os.fstat(fd)):
                raise Moved(side, "changed while it was compared", False)
            if side == 1:
                # What the copy left in memory is not what it left on the disk. Best effort: pages still in use stay.
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            digest = hashlib.sha256()
            while True:
                block = os.read(fd, BLOCK)
                if not block:
                    break
                digest.update(block)
            if not same_file(st, os.fstat(fd)):
                raise Moved(side, "changed while it was compared", False)
        finally:
            os.close(fd)
    except OSError as error:
        raise failed(error, side, path) from error
    if st.st_nlink > 1:
        read_already[key] = digest.digest()
    return digest.digest()


def contents(path, stats):
    """Both sides' hashes, of large files at once: they lie on different disks, and hashing lets go of Python's lock."""
    if stats[0].st_size < TWO_READERS:
        return content(0, path, stats[0]), content(1, path, stats[1])
    other = []

    def read():
        try:
            other.append(content(1, path, stats[1]))
        except Exception as error:  # handed to the caller's thread below
            other.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        mine = content(0, path, stats[0])
    finally:
        thread.join()
    if isinstance(other[0], Exception):
        raise other[0]
    return mine, other[0]


def fingerprint(value):
    """Values may be secrets, and logs are read by many."""
    return "none" if value is None else f"{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:12]}"


def text(attribute, value):
    if attribute == "mode":
        return f"{value:04o}"
    if attribute == "mtime":
        return f"{value // 10**9}.{value % 10**9:09d}"
    if attribute == "target" and value is not None:
        return shown(value)
    return str(value)


def unlike(old, new):
    """The attributes in which two entries differ, as texts."""
    if old.type != new.type:
        return [f"type: {old.type} → {new.type}"]
    found = []
    for attribute in Entry._fields:
        before, after = getattr(old, attribute), getattr(new, attribute)
        if before == after:
            continue
        if attribute != "xattrs":
            found.append(f"{attribute}: {text(attribute, before)} → {text(attribute, after)}")
            continue
        before, after = dict(before), dict(after)
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                found.append(f"xattr {shown(name)}: {fingerprint(before.get(name))} → {fingerprint(after.get(name))}")
    return found


STANDING = struct.Struct(">QQqq")  # inode, size, time, change time
KEY = 16
RECORD = KEY + 2 * STANDING.size + 32


def key_of(path):
    return hashlib.blake2b(path, digest_size=KEY).digest()


def standing(st):
    return STANDING.pack(st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)


class Kept:
    """The hashes that the warm verification left in the target, looked up where they lie: a million of them in memory would be copied
    into every worker. A line of JSON, then where the keys of each first two bytes begin, then the records by key."""

    HEAD = 512
    STARTS = 1 + (1 << 16)

    def __init__(self, path, expected):
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        head = json.loads(data[: self.HEAD])
        self.id = hashlib.sha256(memoryview(data)[self.HEAD :]).hexdigest()
        self.first = self.HEAD + 4 * self.STARTS
        wrong = [
            name
            for name, found, wanted in (
                ("version", head["version"], 1),
                ("volume", head["volume"], VOLUME),
                ("source", head["sourceUid"], SOURCE_UID),
                ("checksum", self.id, head["id"]),
                ("length", len(data), self.first + RECORD * head["count"]),
                ("id", self.id, expected or self.id),
            )
            if found != wanted
        ]
        if wrong:
            raise ValueError(f"another {', '.join(wrong)}")
        self.data = data
        self.starts = memoryview(data)[self.HEAD : self.first].cast("I")

    def hash_of(self, path, old, new):
        """The hash that both sides had, if neither file was touched since."""
        key = key_of(path)
        bucket = key[0] << 8 | key[1]
        wanted = key + standing(old) + standing(new)
        for number in range(self.starts[bucket], self.starts[bucket + 1]):
            at = self.first + number * RECORD
            if self.data[at : at + len(wanted)] == wanted:
                return self.data[at + len(wanted) : at + RECORD]
        return None

    @classmethod
    def write(cls, folder, records):
        records.sort()
        starts = array.array("I", bytes(4 * cls.STARTS))
        for record in records:
            starts[(record[0] << 8 | record[1]) + 1] += 1
        for bucket in range(1, cls.STARTS):
            starts[bucket] += starts[bucket - 1]
        body = starts.tobytes()
        digest = hashlib.sha256(body)
        for record in records:
            digest.update(record)
        head = {"version": 1, "volume": VOLUME, "sourceUid": SOURCE_UID, "count": len(records), "id": digest.hexdigest()}
        path = os.path.join(folder, "hashes.new")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(json.dumps(head).encode().ljust(cls.HEAD - 1) + b"\n")
            file.write(body)
            file.writelines(records)
            file.flush()
            os.fsync(file.fileno())
        os.rename(path, os.path.join(folder, "hashes"))
        return digest.hexdigest()


# Set by main, before any worker is forked.
kept = None
settled = None


class Task:
    """What one worker found in its share; plain lists, since it travels between processes."""

    def __init__(self):
        self.entries = self.bytes = self.differences = self.vanished = self.hashed = self.trusted = 0
        self.texts = []
        self.unreadable = []
        self.records = []  # path, NUL, hash of the source entry: one bytes object each, a million fit in 150 MB
        self.hashes = []  # what may be kept, as it goes into the file
        self.links = ([], [])  # (path, device, inode, size) of names whose inode has others
        self.rest = []

    def differ(self, path, what):
        self.differences += 1
        if len(self.texts) < PRINTED:
            self.texts.append((path, f"{shown(path or b'.')}: {what}"))

    def moved(self, path, moved):
        self.differ(path, f"entry: {moved.what} ({SIDES[moved.side]})")
        self.vanished += moved.gone


def children(task, path, side):
    try:
        names = os.listdir(where(side, path))
    except OSError as error:
        problem = failed(error, side, path)
        if isinstance(problem, Unreadable):
            raise problem from error
        task.moved(path, problem)
        return set()
    return {name for name in names if path or name not in LEFT_OUT[side]}


def both(task, path, old, new):
    """Both sides' hashes: kept ones where they still stand, or else read."""
    known = kept and kept.hash_of(path, old, new)
    if known:
        task.trusted += 1
        return known, known
    digest, other = contents(path, (old, new))
    task.hashed += 1
    if settled is not None and digest == other and old.st_ctime_ns < settled:
        task.hashes.append(key_of(path) + standing(old) + standing(new) + digest)
    return digest, other


def compare(task, path, sides):
    """One entry, known to stand (or to have stood a moment ago) on the given sides. Returns its children."""
    found = [None, None]
    for side in (0, 1):
        if sides & (1 << side):
            try:
                found[side] = look(side, path)
            except Moved as moved:
                # Counted here, once; what the other side holds below it is still walked.
                task.moved(path, moved)
                sides = 0
    old, new = found
    if old:
        task.entries += 1
    for side in (0, 1):
        if found[side]:
            entry, st = found[side]
            if st.st_nlink > 1 and entry.type != "directory":
                task.links[side].append((path, st.st_dev, st.st_ino, st.st_size if entry.type == "file" else 0))
            elif side == 0 and entry.type == "file":
                task.bytes += st.st_size

    digest = None
    try:
        if old and new:
            differences = unlike(old[0], new[0]) if old[0] != new[0] else []
            if old[0].type == new[0].type == "file":
                if old[1].st_size == new[1].st_size:
                    digest, other = both(task, path, old[1], new[1])
                    if digest != other:
                        differences.append(f"content: sha256 {digest.hex()[:12]} → {other.hex()[:12]}")
                else:
                    # Sizes differ, so contents do; the source's hash is for the manifest.
                    digest = content(0, path, old[1])
            elif old[0].type == "file":
                digest = content(0, path, old[1])
            for difference in differences:
                task.differ(path, difference)
        elif old:
            if sides:
                task.differ(path, f"entry: {old[0].type} → missing")
            if old[0].type == "file":
                digest = content(0, path, old[1])
        elif new and sides:
            task.differ(path, f"entry: missing → {new[0].type}")
    except Moved as moved:
        task.moved(path, moved)
    if old:
        task.records.append((path or b".") + b"\0" + hashlib.sha256(repr((tuple(old[0]), digest)).encode()).digest())

    below = {}
    for side in (0, 1):
        if found[side] and found[side][0].type == "directory":
            for name in children(task, path, side):
                below[name] = below.get(name, 0) | (1 << side)
    # Sorted the other way round, since the list is worked off from its end.
    return [(os.path.join(path, name), below[name]) for name in sorted(below, reverse=True)]


def work(items):
    task = Task()
    begun = 0
    until = time.monotonic() + TASK_SECONDS
    items.reverse()
    while items:
        if begun >= TASK_ENTRIES or task.bytes >= TASK_BYTES or time.monotonic() > until:
            task.rest = items
            break
        path, sides = items.pop()
        begun += 1
        try:
            items.extend(compare(task, path, sides))
        except Unreadable as problem:
            task.unreadable.append(str(problem))
    return task


def groups(links):
    """For each name of an inode with several names: the smallest of them."""
    smallest = {}
    for path, device, inode, _ in links:
        smallest[device, inode] = min(path, smallest.get((device, inode), path))
    return {path: smallest[device, inode] for path, device, inode, _ in links}


def walk(workers):
    """Both trees, by processes: hashing and system calls run side by side in threads too, but the work around them does not."""
    total = Task()
    waiting = collections.deque([(b"", OLD | NEW)])
    running = set()
    begun = said = time.monotonic()
    # fork: workers share this module as it stands; the others would need a file to import.
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("fork")) as pool:
        while waiting or running:
            while waiting and len(running) < workers * 2:
                share = max(1, min(TASK_ENTRIES // 2, len(waiting) // (workers * 2)))
                running.add(pool.submit(work, [waiting.pop() for _ in range(min(share, len(waiting)))]))
            done, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                task = future.result()
                for count in ("entries", "bytes", "differences", "vanished", "hashed", "trusted"):
                    setattr(total, count, getattr(total, count) + getattr(task, count))
                total.hashes += task.hashes
                total.unreadable += task.unreadable
                total.records += task.records
                total.texts = sorted(total.texts + task.texts)[:PRINTED]
                for side in (0, 1):
                    total.links[side].extend(task.links[side])
                waiting.extend(task.rest)
            if time.monotonic() - said >= 10:
                said = time.monotonic()
                progress(total, said - begun)
    return total


def progress(total, seconds):
    """A line for whoever follows the log; the target's own count of what it holds is as good a total as a walk, and costs nothing."""
    used = os.statvfs(TARGET)
    files, size = used.f_files - used.f_ffree, (used.f_blocks - used.f_bfree) * used.f_frsize
    rate = int(total.bytes / seconds) if seconds > 0 else 0
    # By the count of files where their bytes are not read.
    share = total.entries / files if total.trusted or not size else total.bytes / size
    left = max(0, int(seconds / share - seconds)) if 0 < share <= 1 else "unknown"
    print(
        f"progress: phase={PHASE} step=verify bytes={total.bytes}/{size} files={total.entries}/{files} rate={rate} left={left}", flush=True
    )


def settle_links(total):
    """Hard links show only when all names are known; a merged pair has the right content and attributes, and is still wrong."""
    old, new = groups(total.links[0]), groups(total.links[1])
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path, path), new.get(path, path)
        if before != after:
            total.differ(path, f"hard link: same file as {shown(before)} → same file as {shown(after)}")
    total.texts = sorted(total.texts)[:PRINTED]
    counted = set()
    for _, device, inode, size in total.links[0]:
        if (device, inode) not in counted:
            counted.add((device, inode))
            total.bytes += size
    return old


def manifest(total, old_groups):
    digest = hashlib.sha256()
    total.records.sort()
    for record in total.records:
        digest.update(len(record).to_bytes(4, "big") + record)
    for path in sorted(old_groups):
        digest.update(path + b"\0" + old_groups[path] + b"\0")
    return digest.hexdigest()


def short(line):
    return line if len(line) <= 240 else f"{line[:110]}…{line[-110:]}"


def report(result):
    while True:
        data = json.dumps(result)
        if len(data) <= RESULT_LIMIT or not result.get("first"):
            break
        result["first"].pop()
    with open(RESULT, "w", encoding="ascii") as file:
        file.write(data)


def cannot(reasons):
    for reason in reasons[:PRINTED]:
        print(f"cannot compare: {reason}", file=sys.stderr)
    try:
        report({"version": 1, "error": f"{len(reasons)} could not be read", "first": [short(reason) for reason in reasons[:NAMED]]})
    except OSError as error:
        print(f"cannot write {RESULT}: {error.strerror}", file=sys.stderr)
    return 2


def read_marker():
    """What the copy says of itself; None where there is no whole marker."""
    try:
        with open(os.path.join(TARGET, RESERVED, b"marker"), "rb") as file:
            marker = json.loads(file.read(4096))
    except (OSError, ValueError):
        return None
    return marker if isinstance(marker, dict) and marker.get("version") == 1 else None


def prepare():
    """What is known before the comparison: hashes that may be believed, and from when on none may be kept. Returns what forbids it."""
    global kept, settled
    marker = read_marker()
    ours = marker and marker.get("volume") == VOLUME and marker.get("sourceUid") == SOURCE_UID
    if PHASE == "final":
        if not FENCE:
            return "phase final without FENCE"
        if not ours or marker.get("phase") != "final" or marker.get("state") != "finished" or marker.get("fence") != FENCE:
            return f"the marker in the target does not say that the final copy under fence {FENCE} is finished"
        if HASH == "changed":
            try:
                kept = Kept(os.path.join(TARGET, RESERVED, b"hashes"), EXPECTED)
            except (OSError, ValueError, KeyError) as error:
                print(f"no kept hashes, so every file is read: {error}")
    elif FENCE:
        return f"phase {PHASE} with FENCE"
    elif ours and STATE:
        # The source's clock by now, at the least: what it was when the copy listed the source, and the time that passed since.
        settled = (marker["newest"] + int(time.time()) - marker["listed"] - RACY) * 10**9
    return None


def main():
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    begun = time.monotonic()
    for side in (0, 1):
        try:
            os.listdir(ROOTS[side])
        except OSError as error:
            return cannot([f"{shown(ROOTS[side])} ({SIDES[side]}): {error.strerror}"])
    if os.path.samefile(SOURCE, TARGET):
        return cannot([f"{shown(SOURCE)} and {shown(TARGET)} are the same folder, which would always agree"])
    workers = os.environ.get("WORKERS", "4")
    if not workers.isdecimal() or not 1 <= int(workers) <= 99:
        return cannot([f"WORKERS is {workers!r}, not a number from 1 to 99"])
    if PHASE not in ("warm", "final") or HASH not in ("changed", "all"):
        return cannot([f"PHASE is {PHASE!r}, HASH is {HASH!r}"])
    forbidden = prepare()
    if forbidden:
        return cannot([forbidden])
    try:
        total = walk(int(workers))
    except concurrent.futures.process.BrokenProcessPool:
        return cannot(["a worker process was killed, most likely for want of memory"])
    if total.unreadable:
        return cannot(sorted(total.unreadable))
    old_groups = settle_links(total)

    for _, line in total.texts:
        print(line)
    if total.differences > len(total.texts):
        print(f"… and {total.differences - len(total.texts)} more")
    result = {
        "version": 1,
        "entries": total.entries,
        "bytes": total.bytes,
        "differences": total.differences,
        "first": [short(line) for _, line in total.texts[:NAMED]],
        "manifest": manifest(total, old_groups),
        "vanished": total.vanished,
        "phase": PHASE,
        "hashed": total.hashed,
        "trusted": total.trusted,
    }
    if PHASE == "final":
        result["fence"] = FENCE
    if kept:
        result["hashes"] = kept.id
    elif settled is not None:
        try:
            result["hashes"] = Kept.write(STATE, total.hashes)
        except OSError as error:
            # Not worth failing for: the final verification then reads everything.
            print(f"hashes are not kept: {error.strerror}")
    progress(total, time.monotonic() - begun)
    print(
        f"{total.entries} entries, {total.bytes} bytes: {total.differences} differences, {total.vanished} vanished; "
        f"{total.hashed} files read, {total.trusted} hashes kept from before; {time.monotonic() - begun:.1f} s"
    )
    try:
        report(result)
    except OSError as error:
        print(f"cannot write {RESULT}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except Exception as error:  # a bug here must not read as "compared": 1 is what an uncaught error would exit with
        code = cannot([f"{type(error).__name__}: {error}"])
    sys.exit(code)
