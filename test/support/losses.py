#!/usr/bin/env python3
"""Counts what a copy has lost, by kind, as one line of JSON: losses.py VERIFY OLD NEW. The comparison is verify.py's own; holes are counted here."""

import collections
import importlib.util
import json
import os
import stat
import sys

script, old, new = sys.argv[1:]
os.environ.update(SOURCE=old, TARGET=new, RESULT=os.devnull)
spec = importlib.util.spec_from_file_location("verify", script)
verify = sys.modules["verify"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)
verify.PRINTED = sys.maxsize

total = verify.walk(4)
if total.unreadable:
    sys.exit(total.unreadable[0])
verify.settle_links(total)
found = collections.Counter()
for path, line in total.texts:
    what = line[len(f"{verify.shown(path or b'.')}: ") :]
    kind, _, rest = what.partition(":")
    if kind.startswith("xattr"):
        kind = "ACL" if "posix_acl" in kind else "xattr"
    elif kind == "entry":
        kind = "missing" if what.endswith("→ missing") else "extra" if "missing →" in what else "changed"
    elif kind == "mode":
        before, after = (int(value, 8) for value in rest.split("→"))
        kind = "set-id or sticky" if (before ^ after) & 0o7000 else "mode"
    found[kind] += 1

root = os.fsencode(old)
for folder, _, names in os.walk(root):
    for name in names:
        path = os.path.join(folder, name)
        st = os.lstat(path)
        if stat.S_ISREG(st.st_mode) and st.st_blocks * 512 + 65536 <= st.st_size:
            copy = os.path.join(os.fsencode(new), os.path.relpath(path, root))
            if os.path.lexists(copy) and os.lstat(copy).st_blocks > st.st_blocks + 64:
                found["holes filled"] += 1
print(json.dumps({"entries": total.entries, "found": found}))
