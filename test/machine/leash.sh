#!/bin/bash
# Process 1 of namespaces that its caller made (`unshare --pid --fork --mount ...`), and what ends them: runs the command, if one is given, until that ends or
# standard input closes, which happens when the caller is gone, however it went. Then nothing of it is left: every process in the namespace is killed,
# what was mounted in the folder is unmounted and the folder removed.
# First line of standard output: this process's id as the caller's side knows it (nsenter --target). Exit code: the command's, 130 when there was none or
# standard input closed first.
#
# Usage: leash.sh <folder> [command...]
set -uo pipefail

folder=$1
shift
exec 3<&0 </dev/null
# A shell's own variables know the process only by its number in here, 1.
read -r id _ </proc/self/stat
echo "$id"

cat <&3 >/dev/null &
caller=$!
code=130
if (($# > 0)); then
  "$@" &
  wait -n -p ended
  code=$?
  if [[ $ended == "$caller" ]]; then code=130; fi
else
  wait "$caller"
fi

# Without a word about each of them.
disown -a
# Everybody in this namespace but ourselves.
kill -KILL -1 2>/dev/null
while read -r _ place _; do
  if [[ $place == "$folder"/* ]]; then umount --lazy "$place"; fi
done < <(tac /proc/self/mounts)
rm -rf --one-file-system "$folder"
exit "$code"
