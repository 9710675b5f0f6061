#!/bin/sh
# Copies one volume's files into its new claim; the body of the Job volume-migration-<name>.
#
# The Job can come back at any time (deleted by hand, a refresh, a retry of a lost pod), also when the new claim has long been
# in use. What may happen then is decided by one file in the target's root, the marker, and by nothing outside the target.
#
# Written for rsync and busybox as Alpine builds it: its find has neither -quit nor -empty nor -samefile, others' tr no classes.
#
# Exit codes: 0 finished now or earlier; 64 environment; 65 broken marker; 66 a folder is not there or cannot be read;
# 67 marker of another source; 68 target holds foreign data; 69 source has an entry of the reserved name; 70 a later phase was
# begun; 74 the marker or the data could not be made durable; anything else is rsync's own code.
set -eu
# Names are bytes: under a UTF-8 locale sed and tr give up on those that are not valid.
export LC_ALL=C

RESERVED=.home-cluster-migration
SIZE=512

say() { printf '%s\n' "$*"; }

# refuse CODE WHAT WHY NEXT
refuse() {
  printf 'Volume %s: %s\nWhy: %s\nNext: %s\n' "${VOLUME:-(no name)}" "$2" "$3" "$4" >&2
  exit "$1"
}

find_claim() {
  printf 'kubectl get pvc --all-namespaces -o custom-columns=SPACE:.metadata.namespace,NAME:.metadata.name,UID:.metadata.uid | grep %s' "$1"
}

# A log is no terminal: rsync redraws its progress line for every file, the log gets one every ten seconds.
progress() {
  awk -v about="$1" 'BEGIN { RS = "\r"; last = systime() }
    /^ *[0-9.,KMGTP]+ +[0-9]+%[^\n]*$/ { now = systime(); if (now - last < 10) next; last = now }
    /[^ \n]/ { gsub(/^[ \n]+|[ \n]+$/, ""); print about ": " $0; fflush() }'
}

# run ABOUT ARGUMENTS… sets `code`. A pipe hands on the code of its last command, so rsync's own comes back on a third descriptor;
# it stays empty if the shell between them is killed, which callers count as a failure.
#
# Twice -X: with one, rsync leaves out attributes named user.rsync.%… (what another rsync stored with --fake-super), silently.
# -@-1: times are otherwise compared in whole seconds, and a change within the second of the last pass is lost.
# No --inplace (writes through a hard link that the source has since broken), -u (skips what changed under a newer target),
# --preallocate (fills holes), -z (only costs time on one host).
run() {
  about=$1
  shift
  exec 4>&1
  code=$({ {
    status=0
    rsync -aHAXS -X --numeric-ids -@-1 --exclude=/lost+found --exclude="/$RESERVED" --outbuf=L "$@" || status=$?
    echo "$status" >&3
  } | progress "$about" >&4; } 3>&1)
}

# One worker's share of the first pass, called by xargs below with the names as arguments. xargs turns every failure into 123,
# which cannot tell 24 from 23: the codes go to SCRATCH instead.
if [ "${1:-}" = --share ]; then
  shift
  # The run has failed already; on a full disk or a dead server the rest would only fail for hours.
  [ ! -e "$SCRATCH/failed" ] || exit 0
  cd "$SOURCE"
  # --ignore-missing-args: a name that went away since find saw it would be error 23, as if it could not be read.
  run "$PHASE, first pass" --info=progress2 --ignore-missing-args --relative -- "$@" "$TARGET/"
  case $code in
    0) ;;
    24) : >"$SCRATCH/vanished" ;;
    *)
      echo "${code:-1}" >"$SCRATCH/failed"
      exit 1
      ;;
  esac
  say "$PHASE, first pass: $# of $ENTRIES top-level entries done"
  exit 0
fi

export SOURCE="${SOURCE:-/old}" TARGET="${TARGET:-/new}" PHASE="${PHASE:-warm}"
WORKERS=${WORKERS:-4}

# setting NAME VALUE. These go into the marker's JSON as they are; Kubernetes allows nothing else in names and UIDs anyway.
setting() {
  case $2 in
    '' | *[!A-Za-z0-9._/-]*)
      refuse 64 "the setting $1 is empty or has characters other than letters, digits and . _ / -" \
        "the marker in the target records it" "kubectl get job ${JOB:-NAME} -o yaml"
      ;;
  esac
}
setting VOLUME "${VOLUME:-}"
setting JOB "${JOB:-}"
setting SOURCE_UID "${SOURCE_UID:-}"
setting TARGET_UID "${TARGET_UID:-}"
case $WORKERS in
  '' | 0* | *[!0-9]* | ????*) refuse 64 "WORKERS is not a number from 1 to 999" "it says how many copies run side by side" "kubectl get job $JOB -o yaml" ;;
esac
[ "$PHASE" = warm ] || refuse 64 "this script knows the phase warm only, and was given '$PHASE'" \
  "other phases need a workload that is stopped and fenced" "kubectl get job $JOB -o yaml"
[ "$SOURCE_UID" != "$TARGET_UID" ] || refuse 64 "source and target are the same claim" \
  "copying with deletions onto itself destroys data" "$(find_claim "$SOURCE_UID")"

for folder in "$SOURCE" "$TARGET"; do
  if [ ! -d "$folder" ] || [ ! -r "$folder" ] || [ ! -x "$folder" ]; then
    refuse 66 "$folder is not a folder that can be read" \
      "both claims must be mounted, and the NFS export must not map root to nobody" "kubectl describe pods -l job-name=$JOB"
  fi
done
# Absolute, since workers change their folder, and free of links, so that nesting shows.
SOURCE=$(cd "$SOURCE" && pwd -P)
TARGET=$(cd "$TARGET" && pwd -P)
case $TARGET/ in
  "$SOURCE"/*) refuse 64 "the target $TARGET lies in the source" "the copy would copy itself" "kubectl get job $JOB -o yaml" ;;
esac
case $SOURCE/ in
  "$TARGET"/*) refuse 64 "the source $SOURCE lies in the target" "deletions would reach it" "kubectl get job $JOB -o yaml" ;;
esac

if [ -e "$SOURCE/$RESERVED" ] || [ -L "$SOURCE/$RESERVED" ]; then
  refuse 69 "the source has an entry named $RESERVED in its root" \
    "that name is the migration's own in the target's root, so this entry would be left behind without a word" \
    "rename it inside the workload: mv $RESERVED $RESERVED.mine (find the claim: $(find_claim "$SOURCE_UID"))"
fi

MARKER=$TARGET/$RESERVED

# record STATE VOLUME SOURCE_UID PHASE JOB FINISHED_AT: one line of JSON, filled up to a fixed size.
record() {
  finished=null
  [ -z "$6" ] || finished="\"$6\""
  json="{\"version\":1,\"state\":\"$1\",\"volume\":\"$2\",\"sourceUid\":\"$3\",\"phase\":\"$4\",\"job\":\"$5\",\"finishedAt\":$finished}"
  printf '%-511s\n' "$json"
}
[ "$(record finished "$VOLUME" "$SOURCE_UID" "$PHASE" "$JOB" 2000-01-01T00:00:00Z | wc -c)" -eq "$SIZE" ] || refuse 64 \
  "the names of volume and Job are too long together" "the marker is one disk sector" "kubectl get job $JOB -o yaml"

# The marker is written over in place: one write of one sector, always of the same size, which a kill cannot split. A rename would
# change the root's time after the copy has set it (a kill in between leaves that difference for good), would need a second
# reserved name, and a free block that a full volume does not have.
write_marker() {
  if (umask 077 && record "$@" 1<>"$MARKER") && sync -f "$TARGET" && record "$@" | cmp -s - "$MARKER"; then
    return 0
  fi
  refuse 74 "the marker $MARKER could not be written" \
    "without it nobody knows what a later run may do (is the volume full or read-only?)" "kubectl describe pods -l job-name=$JOB"
}

field() { sed -n "s|^.*\"$1\":\"\([A-Za-z0-9._:/-]*\)\".*\$|\1|p" "$MARKER"; }

# Sets `held` (none, copying, finished) and what the marker says. It is read by building it anew from its fields: whatever does not
# come out byte for byte the same (cut short, edited, from a later version) is broken, with no second reading of it.
read_marker() {
  held=none
  [ -e "$MARKER" ] || [ -L "$MARKER" ] || return 0
  if [ -n "$(find "$MARKER" -maxdepth 0 -type f -size 0c)" ] && [ -z "$others" ]; then
    # Killed between creating the marker and filling it, before anything was copied: there is nothing to lose.
    return 0
  fi
  if [ -n "$(find "$MARKER" -maxdepth 0 -type f -size "${SIZE}c")" ]; then
    held=$(field state) held_volume=$(field volume) held_source=$(field sourceUid)
    held_phase=$(field phase) held_job=$(field job) held_time=$(field finishedAt)
    case $held.$held_phase in
      copying.warm | copying.final | finished.warm | finished.final)
        if record "$held" "$held_volume" "$held_source" "$held_phase" "$held_job" "$held_time" | cmp -s - "$MARKER"; then
          return 0
        fi
        ;;
    esac
  fi
  refuse 65 "the marker $MARKER in the target (claim $TARGET_UID) is broken" \
    "it is not a whole record of this program, so nothing shows whose files these are; none were touched" \
    "look up the target claim, and if its files are not needed give the volume a new one: $(find_claim "$TARGET_UID")"
}

# What the target holds beside the marker and mkfs's own folder; one name is enough to show. Not -quit, see above.
others=$(find "$TARGET" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name "$RESERVED" | head -n 1 | tr -cd ' -~')

read_marker
if [ "$held" = none ] && [ -n "$others" ]; then
  refuse 68 "the target (claim $TARGET_UID) is not empty and has no marker: it holds ${others#"$TARGET/"}" \
    "files that this migration did not bring would be deleted by it" \
    "look up the target claim and give the volume an empty one: $(find_claim "$TARGET_UID")"
fi
if [ "$held" != none ] && [ "$held_source" != "$SOURCE_UID" ]; then
  refuse 67 "the target (claim $TARGET_UID) holds the copy of another source: volume $held_volume, claim $held_source, state $held, by Job $held_job" \
    "copying claim $SOURCE_UID over it would delete those files" \
    "look up that source, then give this volume a claim of its own: $(find_claim "$held_source")"
fi
if [ "$held" = finished ]; then
  # warm is the first phase, so whatever is finished is this one or a later one.
  say "Volume $VOLUME: Job $held_job finished the $held_phase copy of claim $SOURCE_UID at $held_time; nothing was written"
  exit 0
fi
if [ "$held" = copying ] && [ "$held_phase" != warm ]; then
  refuse 70 "Job $held_job has begun the $held_phase copy" "a warm copy beside it would bring back what it has settled" \
    "kubectl get job $held_job"
fi

begun=$(date +%s)
if [ "$held" = copying ]; then
  say "Volume $VOLUME: continuing the $PHASE copy that Job $held_job began; what is there already is kept"
else
  write_marker copying "$VOLUME" "$SOURCE_UID" "$PHASE" "$JOB" ''
  say "Volume $VOLUME: $PHASE copy of claim $SOURCE_UID into claim $TARGET_UID begins"
fi
if [ -n "$(find "$SOURCE/lost+found" -mindepth 1 -maxdepth 1 2>/dev/null | head -n 1)" ]; then
  say "Note: the source's lost+found is not empty; it belongs to its file system and is not copied"
fi

SCRATCH=$(mktemp -d)
export SCRATCH
trap 'rm -rf "$SCRATCH"' EXIT
trap 'exit 143' TERM INT

# settle PASS CODE: a live source may lose files under the copy (24); every other code means that something was not copied.
settle() {
  case $2 in
    0) ;;
    24) say "$PHASE, $1: some files went away while they were copied, as they may while the workload runs" ;;
    *)
      printf 'Volume %s: %s failed with code %s; the copy is not finished, and a new run continues it\n' "$VOLUME" "$1" "$2" >&2
      exit "$2"
      ;;
  esac
}

# To a file first: of a pipe into xargs only the last code would be seen, and an unreadable root would look like an empty one.
(cd "$SOURCE" && find . -mindepth 1 -maxdepth 1 ! -path ./lost+found -print0) >"$SCRATCH/entries" || refuse 66 \
  "the source's root cannot be listed" "its storage failed or refused root" "kubectl describe pods -l job-name=$JOB"
ENTRIES=$(tr -cd '\000' <"$SCRATCH/entries" | wc -c)
ENTRIES=$((ENTRIES))
export ENTRIES

# First pass: a single rsync waits for each file in turn, which on a network source is most of its time. Several by top-level entry
# do not wait for each other, and lose only hard links between entries, which the second pass mends. One entry gains nothing.
if [ "$ENTRIES" -gt 1 ] && [ "$WORKERS" -gt 1 ]; then
  # Some eight shares a worker, so that one large share does not hold up the end; no more names than a command line takes.
  share=$(((ENTRIES + WORKERS * 8 - 1) / (WORKERS * 8)))
  [ "$share" -le 100 ] || share=100
  say "$PHASE, first pass: $ENTRIES top-level entries, $WORKERS workers"
  code=0
  xargs -0 -n "$share" -P "$WORKERS" sh "$0" --share <"$SCRATCH/entries" || code=1
  if [ -s "$SCRATCH/failed" ]; then
    code=$(cat "$SCRATCH/failed")
  elif [ "$code" = 0 ] && [ -e "$SCRATCH/vanished" ]; then
    code=24
  fi
  settle "first pass" "$code"
  say "$PHASE, first pass: $(($(date +%s) - begun)) s"
fi

# Second pass over the whole tree: hard links across entries, deletions, the root's own attributes. Last of all, so that nothing
# after it changes the root's time.
began=$(date +%s)
run "$PHASE, second pass" --info=progress2,stats1 --delete "$SOURCE/" "$TARGET/"
settle "second pass" "${code:-1}"
say "$PHASE, second pass: $(($(date +%s) - began)) s"

# The data first: a marker that outlives a power cut while files do not would vouch for holes.
sync -f "$TARGET" || refuse 74 "the target's storage reported an error while writing" "some files may not be on disk" "kubectl describe pods -l job-name=$JOB"
write_marker finished "$VOLUME" "$SOURCE_UID" "$PHASE" "$JOB" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
say "Volume $VOLUME: $PHASE copy finished in $(($(date +%s) - begun)) s"
