#!/bin/sh
# Copies one volume's files into its new claim; the body of the Jobs volume-migration-<name> (phase warm, the workload running) and
# of the final pass (phase final, the workload stopped and fenced). The contract is docs/decisions/copy-and-verify.md.
#
# A Job can come back at any time (deleted by hand, a refresh, a retry of a lost pod), also when the new claim has long been
# in use. What may happen then is decided by one file in the target, the marker, and by nothing outside the target.
#
# Written for rsync and busybox as Alpine builds it: its find has neither -quit nor -cmin nor -printf, its sed and grep no -z.
#
# Exit codes: 0 finished now or earlier; 64 environment; 65 broken marker; 66 a folder is not there or cannot be listed; 67 marker
# of another volume or source; 68 target holds foreign data; 69 source has an entry of the reserved name; 70 a later phase was
# begun; 71 no finished warm copy; 72 another fence; 73 not to be finalized; 74 marker or data could not be made durable; anything
# else is rsync's own code.
set -eu
# Workers never read what xargs reads: a byte taken, or the pipe left in another mode, would tear a name.
case ${1:-} in --*) exec </dev/null ;; esac
# Names are bytes: under a UTF-8 locale sed and tr give up on those that are not valid.
export LC_ALL=C

RESERVED=.home-cluster-migration
SIZE=512
# Blocks of 512 bytes from which on a file is a share of its own: otherwise one worker would copy it and all its neighbours.
LARGE=65536
# Files with several names are copied by so many workers, all names of a file by one of them.
GROUPS_OF_LINKS=4

say() { printf '%s\n' "$*"; }

# refuse CODE WHAT WHY NEXT
refuse() {
  printf 'Volume %s: %s\nWhy: %s\nNext: %s\n' "${VOLUME:-(no name)}" "$2" "$3" "$4" >&2
  exit "$1"
}

find_claim() {
  printf 'kubectl get pvc --all-namespaces -o custom-columns=SPACE:.metadata.namespace,NAME:.metadata.name,UID:.metadata.uid | grep %s' "$1"
}

# The first failure of any worker, as its exit code. xargs turns every failure into 123, which cannot tell 24 from 23.
fail() {
  echo "$1" >>"$SCRATCH/failed"
  exit 1
}

# copy NAMES FLAGS…: what the file NAMES (or standard input, -) names, NUL between names, and nothing below it. Sets `code`.
#
# -@-1: times are otherwise compared in whole seconds, and a change within the second of the last pass is lost.
# -O: times of folders are set last of all, by `times` below. --force: a folder gives way to a file that took its name.
# No --inplace (writes through a hard link that the source has since broken), -u (skips what changed under a newer target),
# --preallocate (fills holes), -z (only costs time on one host).
copy() {
  names=$1
  shift
  # A name that went away since the listing is no error while the workload runs. Later nothing may go away.
  [ "$PHASE" != warm ] || set -- --ignore-missing-args "$@"
  code=0
  rsync -ptgolDS --numeric-ids -@-1 --force --exclude=/lost+found --exclude="/$RESERVED" --from0 --files-from="$names" "$@" \
    "$SOURCE/" "$TARGET/" || code=$?
}

# Everything that is more than a look at each file: hard links, ACLs and attributes. Twice -X: with one, rsync leaves out
# attributes named user.rsync.%… (what another rsync stored with --fake-super), silently.
whole() {
  from=$1
  shift
  copy "$from" -O -HAX -X "$@"
}

# batches NAMES ARGUMENTS…: xargs. Through a pipe: where standard input is a file, a child that ends may put the common reading
# position back (C libraries do so at exit, and some builds of busybox run programs without exec), and names come torn.
batches() {
  names=$1
  shift
  # shellcheck disable=SC2002
  cat "$names" | xargs -0 "$@"
}

with_slashes() { for name; do printf '%s/\0' "$name"; done; }

# Of these names those that are still there; with a slash at the end, those that are still folders.
if [ "${1:-}" = --left ]; then
  shift
  cd "$SOURCE"
  for name; do
    case $name in
      */) if [ -d "$name" ] && [ ! -L "${name%/}" ]; then printf '%s\0' "$name"; fi ;;
      *) if [ -e "$name" ] || [ -L "$name" ]; then printf '%s\0' "$name"; fi ;;
    esac
  done
  exit 0
fi

# One worker's share, called by `share_out` below with the names as arguments.
if [ "${1:-}" = --share ]; then
  how=$2
  shift 2
  # The run has failed already; on a full disk or a dead server the rest would only fail for hours.
  [ ! -e "$SCRATCH/failed" ] || exit 0
  mine=$SCRATCH/share.$$
  case $how in
    # A trailing slash sends what is in the folder, and deletes what is not, but nothing below.
    folders | look | moved | compared) with_slashes "$@" >"$mine" ;;
    linked) cat "$SCRATCH/linked$1" >"$mine" ;;
    *) printf '%s\0' "$@" >"$mine" ;;
  esac
  once() {
    case $how in
      files | linked) whole "$mine" ;;
      again) whole "$mine" -I ;;
      folders) whole "$mine" --delete ;;
      moved) whole "$mine" -I --delete ;;
      compared) whole "$mine" -c --delete ;;
      look)
        # Without reading attributes, which on a network source are most of the requests: what changed since the warm copy was
        # copied with them before. Should this pass find more than deletions all the same, its share is done in full.
        copy "$mine" -O --delete --out-format=%i >"$mine.found"
        if [ "$code" = 0 ] && grep -qv '^\*deleting' "$mine.found"; then
          : >"$SCRATCH/unexpected"
          whole "$mine" --delete
        fi
        rm -f "$mine.found"
        ;;
      times) copy "$mine" ;;
    esac
  }
  once "$@"
  # A name may have become another kind of entry since it was listed (a link where a file was, a file where a folder was), or another
  # worker's share stood in the way of one that did: rsync's 23, as for a disk that does not give a file. The workload runs, so this is
  # done again with the names that are left; what the disk does not give fails again.
  tries=0
  while [ "$code" = 23 ] && [ "$PHASE" = warm ] && [ "$tries" -lt 3 ]; do
    tries=$((tries + 1))
    batches "$mine" -r sh "$SELF" --left >"$mine.left" || fail 66
    mv "$mine.left" "$mine"
    once "$@"
    [ "$code" != 0 ] || : >"$SCRATCH/vanished"
  done
  rm -f "$mine"
  case $code in
    0) ;;
    24) : >"$SCRATCH/vanished" ;;
    *) fail "$code" ;;
  esac
  # For the progress: a byte a name.
  printf '%*s' $# '' >>"$SCRATCH/done"
  exit 0
fi

# vanished FILE: whether these messages of find or stat tell of nothing but entries that went away (ESTALE: as NFS says it). A message
# has several lines where a name has.
vanished() {
  [ "$PHASE" = warm ] && awk '
    /^(find|stat): / { if (NR > 1 && !gone) other = 1 }
    { gone = /(No such file or directory|Stale (NFS )?file handle)$/ }
    END { exit other || !gone }' "$1"
}

# Sorts names by what has to be done with them. One stat a batch answers in the order of the names, so that no name has to be read
# out of a line (names may hold newlines), and awk tells which of them are to be noted, by number.
if [ "${1:-}" = --sort ]; then
  shift
  cd "$SOURCE"
  mine=$SCRATCH/list.$$
  format='%Z %h %b %f %i'
  if ! stat -c "$format" -- "$@" >"$mine.stat" 2>"$mine.errors"; then
    if ! vanished "$mine.errors"; then
      cat "$mine.errors" >&2
      fail 66
    fi
    # Names and lines no longer pair: once more, with those that are still there.
    for name; do
      if [ -e "$name" ] || [ -L "$name" ]; then printf '%s\0' "$name"; fi
    done >"$mine.again"
    batches "$mine.again" -r -n 5000 -s 1000000 sh "$SELF" --sort
    exit 0
  fi
  # Folders' inodes in the order in which their names are noted.
  notes=$(awk -v since="$SINCE" -v phase="$PHASE" -v large="$LARGE" -v groups="$GROUPS_OF_LINKS" -v sums="$mine.sums" -v inodes="$mine.inodes" \
    -v only_linked="$ONLY_LINKED" '
    {
      again = since != "" && $1 >= since
      folder = $4 ~ /^4...$/
      if (folder) { $2 = 1; print $5 >inodes }
      if (NR == 1 || $1 > newest) newest = $1
      blocks += $3 / $2
      files += 1 / $2
      kind = ""
      if (only_linked) kind = $2 > 1 ? "relinked" : ""
      else if (folder) kind = again ? "dirs,changed" : "dirs"
      else if ($2 > 1) kind = phase == "warm" ? "linked" $5 % groups (again ? ",relinked" : "") : (again ? "relinked" : "")
      else if ($3 > large) kind = again ? "resized" : (phase == "warm" ? "large" : "")
      else if (again) kind = "changed"
      if (kind != "") print NR ":" kind
    }
    END { printf "%.0f %.0f %.3f\n", newest, blocks, files >sums }' "$mine.stat")
  # Whose own times change here when something in them is written: folders of what is copied again, and those that changed themselves.
  touched=
  for note in $notes; do
    eval "name=\${${note%%:*}}"
    kinds=${note#*:}
    # shellcheck disable=SC2154 # set by eval
    printf '%s\0' "$name" >>"$mine.${kinds%,*}"
    [ "$kinds" = "${kinds%,*}" ] || printf '%s\0' "$name" >>"$mine.${kinds#*,}"
    case $PHASE.$kinds in
      final.dirs) ;;
      final.dirs,*)
        touched=$name
        printf '%s\0' "$name" >>"$mine.look"
        printf '%s\0' "$name" >>"$mine.touched"
        ;;
      final.*)
        if [ "$touched" != "${name%/*}" ]; then
          touched=${name%/*}
          printf '%s\0' "$touched" >>"$mine.touched"
        fi
        ;;
    esac
  done
  exit 0
fi

# Lists what is in folders (DEPTH one) or all that is below them (DEPTH all), for one worker.
if [ "${1:-}" = --list ]; then
  depth=$2
  shift 2
  [ ! -e "$SCRATCH/failed" ] || exit 0
  cd "$SOURCE"
  mine=$SCRATCH/list.$$
  # To a file first: of a pipe into xargs only the last code would be seen, and an unreadable folder would look like an empty one.
  # lost+found is of the source's own file system, and not copied.
  case $depth in
    root) find . -mindepth 1 -maxdepth 1 ! -name lost+found -print0 >"$mine.names" 2>"$mine.errors" ;;
    one) find "$@" -mindepth 1 -maxdepth 1 -print0 >"$mine.names" 2>"$mine.errors" ;;
    all) find "$@" -mindepth 1 -print0 >"$mine.names" 2>"$mine.errors" ;;
  esac || vanished "$mine.errors" || {
    cat "$mine.errors" >&2
    fail 66
  }
  # Asked again, and not of what was found: names may hold newlines, and this find can write to one place only.
  case $depth in
    root) find . -mindepth 1 -maxdepth 1 -type d ! -name lost+found -print0 >"$mine.frontier" 2>/dev/null || [ "$PHASE" = warm ] ;;
    one) find "$@" -mindepth 1 -maxdepth 1 -type d -print0 >"$mine.frontier" 2>/dev/null || [ "$PHASE" = warm ] ;;
  esac || fail 66
  exit 0
fi

# Names of folders by their numbers, which are in $SCRATCH/KIND.numbers.
if [ "${1:-}" = --pick ]; then
  kind=$2
  shift 2
  offset=0
  [ ! -e "$SCRATCH/offset" ] || read -r offset <"$SCRATCH/offset"
  numbers=$(awk -v from="$offset" -v count=$# '$1 > from && $1 <= from + count { print $1 - from }' "$SCRATCH/$kind.numbers")
  for number in $numbers; do
    eval "printf '%s\\0' \"\${$number}\""
  done
  echo $((offset + $#)) >"$SCRATCH/offset"
  exit 0
fi

case $0 in /*) SELF=$0 ;; *) SELF=$PWD/$0 ;; esac
export SELF SOURCE="${SOURCE:-/old}" TARGET="${TARGET:-/new}" PHASE="${PHASE:-warm}" HASH="${HASH:-changed}" SINCE='' ONLY_LINKED=''
WORKERS=${WORKERS:-4} FENCE=${FENCE:-} SUPERSEDES=${SUPERSEDES:-} PROGRESS_SECONDS=${PROGRESS_SECONDS:-10} FLUSH_SECONDS=${FLUSH_SECONDS:-1}

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
# number NAME VALUE
number() {
  case $2 in
    '' | 0* | *[!0-9]* | ????*) refuse 64 "$1 is not a number from 1 to 999" "the copy is paced by it" "kubectl get job $JOB -o yaml" ;;
  esac
}
number WORKERS "$WORKERS"
number PROGRESS_SECONDS "$PROGRESS_SECONDS"
number FLUSH_SECONDS "$FLUSH_SECONDS"
case $PHASE in
  warm | finalize)
    [ -z "$FENCE$SUPERSEDES" ] || refuse 64 "phase $PHASE has no fence, and was given '$FENCE$SUPERSEDES'" \
      "a fence stands for a stopped workload, which this phase does not ask for" "kubectl get job $JOB -o yaml"
    ;;
  final)
    setting FENCE "$FENCE"
    for earlier in $SUPERSEDES; do setting SUPERSEDES "$earlier"; done
    ;;
  *) refuse 64 "this script knows the phases warm, final and finalize, and was given '$PHASE'" "what to do depends on it" "kubectl get job $JOB -o yaml" ;;
esac
case $HASH in changed | all) ;; *) refuse 64 "HASH is '$HASH', neither changed nor all" "it says what is believed" "kubectl get job $JOB -o yaml" ;; esac
[ "$SOURCE_UID" != "$TARGET_UID" ] || refuse 64 "source and target are the same claim" \
  "copying with deletions onto itself destroys data" "$(find_claim "$SOURCE_UID")"

# folder PATH
folder() {
  if [ ! -d "$1" ] || [ ! -r "$1" ] || [ ! -x "$1" ]; then
    refuse 66 "$1 is not a folder that can be read" \
      "both claims must be mounted, and the NFS export must not map root to nobody" "kubectl describe pods -l job-name=$JOB"
  fi
}
folder "$TARGET"
# Absolute, since workers change their folder, and free of links, so that nesting shows.
TARGET=$(cd "$TARGET" && pwd -P)
if [ "$PHASE" != finalize ]; then
  folder "$SOURCE"
  SOURCE=$(cd "$SOURCE" && pwd -P)
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
fi

STATE=$TARGET/$RESERVED
MARKER=$STATE/marker

# record STATE VOLUME SOURCE_UID PHASE FENCE JOB NEWEST LISTED FINISHED_AT: one line of JSON, filled up to a fixed size.
record() {
  finished=null
  [ -z "$9" ] || finished="\"$9\""
  json="{\"version\":1,\"state\":\"$1\",\"volume\":\"$2\",\"sourceUid\":\"$3\",\"phase\":\"$4\",\"fence\":\"$5\",\"job\":\"$6\""
  printf '%-511s\n' "$json,\"newest\":$7,\"listed\":$8,\"finishedAt\":$finished}"
}
[ "$(record finished "$VOLUME" "$SOURCE_UID" final "$FENCE" "$JOB" 1000000000 1000000000 2000-01-01T00:00:00Z | wc -c)" -eq "$SIZE" ] || refuse 64 \
  "the names of volume, Job and fence are too long together" "the marker is one disk sector" "kubectl get job $JOB -o yaml"

# The marker is written over in place: one write of one sector, always of the same size, which a kill cannot split and which needs
# no free block, that a full volume does not have.
write_marker() {
  if (umask 077 && record "$@" 1<>"$MARKER") && sync -f "$TARGET" && record "$@" | cmp -s - "$MARKER"; then
    return 0
  fi
  refuse 74 "the marker $MARKER could not be written" \
    "without it nobody knows what a later run may do (is the volume full or read-only?)" "kubectl describe pods -l job-name=$JOB"
}

field() { sed -n "s|^.*\"$1\":\"\([A-Za-z0-9._:/-]*\)\".*\$|\1|p" "$MARKER"; }
integer() { sed -n "s|^.*\"$1\":\(-\{0,1\}[0-9]\{1,\}\),.*\$|\1|p" "$MARKER"; }

# Sets `held` (none, copying, finished) and what the marker says. It is read by building it anew from its fields: whatever does not
# come out byte for byte the same (cut short, edited, from a later version) is broken, with no second reading of it.
read_marker() {
  held=none held_phase='' held_fence='' held_newest='' held_listed=''
  [ -e "$STATE" ] || [ -L "$STATE" ] || return 0
  size=
  if [ -d "$STATE" ] && [ ! -L "$STATE" ]; then
    [ -e "$MARKER" ] || [ -L "$MARKER" ] || return 0
    size=$(find "$MARKER" -maxdepth 0 -type f -exec stat -c %s {} +)
  fi
  # Killed between creating the marker and filling it, before anything was copied: there is nothing to lose.
  if [ "$size" = 0 ] && [ -z "$others" ]; then return 0; fi
  if [ "$size" = "$SIZE" ]; then
    held=$(field state) held_volume=$(field volume) held_source=$(field sourceUid) held_phase=$(field phase)
    held_fence=$(field fence) held_job=$(field job) held_newest=$(integer newest) held_listed=$(integer listed)
    held_time=$(field finishedAt)
    case $held.$held_phase.${held_fence:+fenced} in
      copying.warm. | finished.warm. | copying.final.fenced | finished.final.fenced)
        if record "$held" "$held_volume" "$held_source" "$held_phase" "$held_fence" "$held_job" "$held_newest" "$held_listed" "$held_time" |
          cmp -s - "$MARKER"; then
          return 0
        fi
        ;;
    esac
  fi
  refuse 65 "the marker $MARKER in the target (claim $TARGET_UID) is broken" \
    "it is not a whole record of this program, so nothing shows whose files these are; none were touched" \
    "look up the target claim, and if its files are not needed give the volume a new one: $(find_claim "$TARGET_UID")"
}

# What the target holds beside our folder and mkfs's own; one name is enough to show. Not -quit, see above.
others=$(find "$TARGET" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name "$RESERVED" | head -n 1 | tr -cd ' -~')

read_marker
if [ "$held" != none ] && { [ "$held_source" != "$SOURCE_UID" ] || [ "$held_volume" != "$VOLUME" ]; }; then
  refuse 67 "the target (claim $TARGET_UID) holds the copy of another source: volume $held_volume, claim $held_source, state $held, by Job $held_job" \
    "copying claim $SOURCE_UID of volume $VOLUME over it would delete those files" \
    "look up that source, then give this volume a claim of its own: $(find_claim "$held_source")"
fi
superseded() { case " $SUPERSEDES " in *" $held_fence "*) ;; *) return 1 ;; esac }
stands="the $held_phase copy is $held${held_fence:+ under fence $held_fence}"

case $PHASE.$held.$held_phase in
  finalize.none.)
    # Also when killed between removing the marker and the folder.
    [ ! -d "$STATE" ] || rmdir "$STATE" 2>/dev/null || refuse 73 "$STATE has no marker and is not empty" \
      "what is in it is not this program's to remove" "kubectl get job $JOB -o yaml"
    say "Volume $VOLUME: the target has no marker; nothing to remove"
    exit 0
    ;;
  finalize.finished.final)
    # The marker last: what is left by a kill must still say what it is.
    rm -f "$STATE/hashes" "$STATE/hashes.new" "$STATE/folders"
    rm -f "$MARKER"
    rmdir "$STATE" || refuse 73 "$STATE is not empty" "what is left in it is not this program's to remove" "kubectl get job $JOB -o yaml"
    sync -f "$TARGET" || refuse 74 "the removal could not be made durable" "the storage reported an error" "kubectl describe pods -l job-name=$JOB"
    say "Volume $VOLUME: the marker of fence $held_fence was removed"
    exit 0
    ;;
  finalize.*)
    refuse 73 "the marker is not removed: $stands" "only a finished final copy is ever switched to" "kubectl get job $held_job"
    ;;
  warm.none.)
    if [ -n "$others" ]; then
      refuse 68 "the target (claim $TARGET_UID) is not empty and has no marker: it holds ${others#"$TARGET/"}" \
        "files that this migration did not bring would be deleted by it" \
        "look up the target claim and give the volume an empty one: $(find_claim "$TARGET_UID")"
    fi
    ;;
  warm.finished.*)
    # warm is the first phase, so whatever is finished is this one or a later one.
    say "Volume $VOLUME: Job $held_job finished the $held_phase copy of claim $SOURCE_UID at $held_time; nothing was written"
    exit 0
    ;;
  warm.copying.final)
    refuse 70 "Job $held_job has begun the $held_phase copy" "a warm copy beside it would bring back what it has settled" \
      "kubectl get job $held_job"
    ;;
  warm.copying.warm) SINCE=$held_newest ;;
  final.none. | final.copying.warm)
    refuse 71 "there is no finished warm copy in the target (claim $TARGET_UID)" \
      "the final pass brings only what changed since, while the workload is down" "kubectl get job -l app.kubernetes.io/part-of=volume-migration"
    ;;
  final.finished.warm) SINCE=$held_newest ;;
  final.*.final)
    if [ "$held_fence" = "$FENCE" ]; then
      if [ "$held" = finished ]; then
        say "Volume $VOLUME: Job $held_job finished the final copy of claim $SOURCE_UID under fence $FENCE at $held_time; nothing was written"
        exit 0
      fi
    elif ! superseded; then
      refuse 72 "$stands, and this Job has fence $FENCE" \
        "a copy of an earlier fence would undo what a later one settled, on a volume that may be live by now" "kubectl get job $held_job"
    fi
    SINCE=$held_newest
    ;;
esac

begun=$(date +%s)
SCRATCH=$(mktemp -d)
export SCRATCH
trap 'kill ${reporter:-} ${flusher:-} 2>/dev/null || :; rm -rf "$SCRATCH"' EXIT
trap 'exit 143' TERM INT

count() { tr -cd '\000' <"$SCRATCH/$1" | wc -c; }

# What is used of the target: bytes and files. In a new volume that is the copy, whatever a retry found there already; also while a
# large file is under way, and with holes left out, which no sum over rsync's messages would give.
used() { stat -f -c '%b %f %S %c %d' "$TARGET" | (read -r all free block nodes left && echo "$(((all - free) * block)) $((nodes - left))"); }

report() {
  read -r step folders since <"$SCRATCH/step" || return 0
  read -r bytes files <<-END
	$(used)
	END
  bytes=$((bytes - empty_bytes)) files=$((files - empty_files))
  [ "$bytes" -ge 0 ] || bytes=0
  [ "$files" -ge 0 ] || files=0
  elapsed=$(($(date +%s) - since)) rate=0 left=unknown
  [ "$elapsed" -gt 0 ] && [ -n "${bytes_then:-}" ] && [ "$bytes" -gt "$bytes_then" ] && rate=$(((bytes - bytes_then) / elapsed))
  finished=$(wc -c <"$SCRATCH/done")
  if [ "$step" = compare ]; then
    [ "$finished" -eq 0 ] || [ "$finished" -gt "$folders" ] || left=$((elapsed * (folders - finished) / finished))
  elif [ "$rate" -gt 0 ] && [ "$total_bytes" -ge "$bytes" ]; then
    left=$(((total_bytes - bytes) / rate))
  fi
  say "progress: phase=$PHASE step=$step bytes=$bytes/$total_bytes files=$files/$total_files rate=$rate left=$left"
}

# step NAME FOLDERS
step() {
  : >"$SCRATCH/done"
  echo "$1 $2 $(date +%s)" >"$SCRATCH/step.new"
  mv "$SCRATCH/step.new" "$SCRATCH/step"
}

# settle WHAT: a live source may lose files under the copy (24); every other code means that something was not copied.
settle() {
  if [ -s "$SCRATCH/failed" ]; then
    read -r code <"$SCRATCH/failed"
  elif [ -n "${2:-}" ] && [ "$2" != 0 ]; then
    code=$2
  elif [ -e "$SCRATCH/vanished" ]; then
    code=24
    rm -f "$SCRATCH/vanished"
  else
    return 0
  fi
  if [ "$code" = 24 ] && [ "$PHASE" = warm ]; then
    say "$PHASE, $1: some files went away while they were copied, as they may while the workload runs"
    return 0
  fi
  if [ "$code" = 66 ]; then
    refuse 66 "the source cannot be listed" "its storage failed or refused root" "kubectl describe pods -l job-name=$JOB"
  fi
  printf 'Volume %s: %s failed with code %s; the copy is not finished, and a new run continues it\n' "$VOLUME" "$1" "$code" >&2
  exit "$code"
}

# share_out HOW LIST PARTS AT_LEAST: the names in LIST among the workers in so many parts, no fewer than AT_LEAST names to a part.
share_out() {
  [ -s "$SCRATCH/$2" ] || return 0
  at_once "$2" "$3" "$4" 999999
  status=0
  batches "$SCRATCH/$2" -n "$each" -P "$WORKERS" sh "$SELF" --share "$1" || status=$?
  settle "$2" "$status"
}

lists="names frontier dirs inodes linked0 linked1 linked2 linked3 large changed relinked resized moved unlisted look touched sums"

# at_once LIST PARTS LEAST MOST: how many names of it go to each of so many parts, between two bounds.
at_once() {
  each=$((($(count "$1") + $2 - 1) / $2))
  [ "$each" -ge "$3" ] || each=$3
  [ "$each" -le "$4" ] || each=$4
}

# All of the source: folder by folder from the top until there are some for every worker, so that one large folder does not keep one
# worker busy while the others wait; then each with everything below it; then what was found is looked at.
list() {
  began=$(ticks)
  for kind in $lists; do : >"$SCRATCH/$kind"; done
  printf '.\0' >"$SCRATCH/names"
  printf '.\0' >"$SCRATCH/frontier"
  depth=root
  for round in 0 1 2 3 4 5 6 7 8 9 10 11 12; do
    at_once frontier "$WORKERS" 1 500
    status=0
    batches "$SCRATCH/frontier" -n "$each" -P "$WORKERS" sh "$SELF" --list $depth || status=66
    settle "the listing" "$status"
    : >"$SCRATCH/frontier"
    gather
    if [ $depth = all ] || [ ! -s "$SCRATCH/frontier" ]; then break; fi
    depth=one
    [ "$round" -lt 11 ] || depth=all
  done
  # Where a look at a file takes a worker less than a third of a millisecond, waiting is not what takes time: then starting programs is.
  parts=$((WORKERS * 2)) pieces=$((WORKERS * 4)) atleast=5
  if [ $((($(ticks) - began) * 30 * WORKERS)) -lt "$(count names)" ]; then parts=$(nproc) pieces=$((parts * 4)) atleast=100; fi
  sort_out
  read -r newest total_bytes total_files <<-SUMS
	$(awk 'NR == 1 || $1 > newest { newest = $1 } { blocks += $2; files += $3 }
    END { printf "%.0f %.0f %.0f\n", newest, blocks * 512, files }' "$SCRATCH/sums")
	SUMS
  # One line a folder: inode and name, for the eyes of awk alone.
  tr '\000\n' '\n\001' <"$SCRATCH/dirs" | paste -d ' ' "$SCRATCH/inodes" - >"$SCRATCH/folders"
}

# Folders of which the warm copy's listing says nothing at their place: those that stood elsewhere (moved), and those that it did not have
# (unlisted: made since, or moved about while it was made). What is below them has not changed itself, and may meet another's copy there,
# of the same size and time. Fails where nothing tells.
list_moved() {
  [ "$HASH" = changed ] && [ -f "$STATE/folders" ] || return 1
  awk -v moved="$SCRATCH/moved.numbers" -v unlisted="$SCRATCH/unlisted.numbers" '
    NR == FNR { was[$0]; known[$1]; next }
    !($0 in was) { print FNR >($1 in known ? moved : unlisted) }' "$STATE/folders" "$SCRATCH/folders" || return 1
  for kind in moved unlisted; do
    [ -s "$SCRATCH/$kind.numbers" ] || continue
    rm -f "$SCRATCH/offset"
    batches "$SCRATCH/dirs" -n 5000 -s 1000000 sh "$SELF" --pick "$kind" >"$SCRATCH/$kind" || return 1
    cat "$SCRATCH/$kind" >>"$SCRATCH/touched"
  done
}

# All files with several names are copied again, together: their names cannot be told apart by where a folder stood.
relink_all() {
  : >"$SCRATCH/relinked"
  export ONLY_LINKED=1
  sort_out
}

# What was found is looked at and sorted by what has to be done with it.
sort_out() {
  at_once names "$parts" 100 5000
  status=0
  batches "$SCRATCH/names" -n "$each" -s 1000000 -P "$WORKERS" sh "$SELF" --sort || status=66
  settle "the listing" "$status"
  gather
}

# What the workers of one round wrote, each into files of its own: appended to one, names would be torn apart.
gather() {
  for kind in $lists; do
    set -- "$SCRATCH"/list.*."$kind"
    [ -e "$1" ] || continue
    cat "$@" >>"$SCRATCH/$kind"
  done
  rm -f "$SCRATCH"/list.*
}

# Hundredths of a second since the node was started; busybox' date knows no less than a second.
ticks() {
  read -r up _ </proc/uptime
  echo "${up%.*}${up#*.}"
}

# Before the first byte. By the clock of the source's own server it is at least the newest change time when the listing ends; it was that
# much less when the listing began as the listing took, and whatever changed since has a change time at or after that. What changed while
# the listing was made counts as changed later: it may have been missed. The marker keeps the earliest, that of the first run.
list
now=$(date +%s)
newest=$((newest - (now - begun) - 1))
read -r empty_bytes empty_files <<-END
	$(used)
	END
about="$PHASE copy of claim $SOURCE_UID into claim $TARGET_UID begins${FENCE:+, under fence $FENCE}"
if [ "$held" = none ]; then
  [ -d "$STATE" ] || mkdir -m 700 "$STATE" || refuse 74 "the folder $STATE could not be made" \
    "the marker goes into it" "kubectl describe pods -l job-name=$JOB"
  held_newest=$newest held_listed=$now
else
  # In a volume of its own: what is there is the copy.
  empty_bytes=0 empty_files=0
  [ "$held" != copying ] || [ "$held_phase" != "$PHASE" ] || [ "$held_fence" != "$FENCE" ] ||
    about="continuing the $PHASE copy that Job $held_job began; what is there already is kept"
fi
write_marker copying "$VOLUME" "$SOURCE_UID" "$PHASE" "$FENCE" "$JOB" "$held_newest" "$held_listed" ''
say "Volume $VOLUME: $about"
if [ "$PHASE" = warm ]; then
  # Of this listing and no earlier one: what a continued copy has settled it has settled by this one.
  (umask 077 && cp "$SCRATCH/folders" "$STATE/folders") || refuse 74 "$STATE/folders could not be written" \
    "without it a folder that was moved would not be seen (is the volume full or read-only?)" "kubectl describe pods -l job-name=$JOB"
fi
if [ -n "$(find "$SOURCE/lost+found" -mindepth 1 -maxdepth 1 2>/dev/null | head -n 1)" ]; then
  say "Note: the source's lost+found is not empty; it belongs to its file system and is not copied"
fi
folders=$(count dirs)
folders=$((folders))
say "$PHASE: $total_files files and folders, $total_bytes bytes; listed in $((now - begun)) s"

step copy "$folders"
read -r bytes_then _ <<-END
	$(used)
	END
bytes_then=$((bytes_then - empty_bytes))
# While the copy lives: killed outright, it cannot end this one.
while sleep "$PROGRESS_SECONDS" >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do report; done &
reporter=$!
# The disk is given to write what there is while more is being copied; otherwise it begins when all is copied, or memory is full.
while [ "$PHASE" = warm ] && sleep "$FLUSH_SECONDS" >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do sync -f "$TARGET" || :; done &
flusher=$!

# -I: the same size and time with another change time is another content until proven otherwise.
relink() {
  [ -s "$SCRATCH/relinked" ] || return 0
  whole "$SCRATCH/relinked" -I
  settle "files with several names" "$code"
}

if [ "$PHASE" = warm ]; then
  # Files with several names first, all names of a file by one worker: rsync knows links only among the files of one run.
  linked=
  for group in 0 1 2 3; do [ ! -s "$SCRATCH/linked$group" ] || linked="$linked $group"; done
  if [ -n "$linked" ]; then
    status=0
    # shellcheck disable=SC2086
    printf '%s\0' $linked | xargs -0 -n 1 -P "$WORKERS" sh "$SELF" --share linked || status=$?
    settle "files with several names" "$status"
  fi
  relink
  # Large ones, one to a worker.
  share_out files large 999999 1
  share_out again resized 999999 1
  share_out again changed "$WORKERS" "$atleast"
  # Folder by folder: a single rsync waits for each file in turn, which on a network source is most of its time.
  step compare "$folders"
  share_out folders dirs "$pieces" 1
  times=dirs
else
  share_out again resized 999999 1
  share_out again changed "$WORKERS" "$atleast"
  if list_moved; then
    # Whatever came, went or was moved has changed a folder. Anything else that differs the verification finds, and nothing is switched.
    step compare "$(($(count look) + $(count moved) + $(count unlisted)))"
    share_out moved moved "$pieces" 1
    share_out compared unlisted "$pieces" 1
    if [ -s "$SCRATCH/moved" ] || [ -s "$SCRATCH/unlisted" ]; then relink_all; fi
    times=touched
  else
    step compare "$folders"
    share_out compared dirs "$pieces" 1
    : >"$SCRATCH/look"
    relink_all
    times=dirs
  fi
  # After all that may have torn names of one file apart.
  relink
  share_out look look "$parts" 4
  [ ! -e "$SCRATCH/unexpected" ] || times=dirs
fi
# Last of all, so that nothing after it changes a folder's time.
share_out times "$times" "$parts" "$atleast"
report

# The data first: a marker that outlives a power cut while files do not would vouch for holes.
sync -f "$TARGET" || refuse 74 "the target's storage reported an error while writing" "some files may not be on disk" "kubectl describe pods -l job-name=$JOB"
write_marker finished "$VOLUME" "$SOURCE_UID" "$PHASE" "$FENCE" "$JOB" "$held_newest" "$held_listed" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
say "Volume $VOLUME: $PHASE copy finished in $(($(date +%s) - begun)) s"
