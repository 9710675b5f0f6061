#!/bin/bash
# Brings a Debian node to what the cluster needs, and changes only what differs. Run as root, over SSH, with this text and its settings on standard input.
# Prints one line `changed <what>` per thing it changed; what it refuses goes to standard error, exit 1. Nothing secret comes in here.
#
# Settings:
#   NODE_NAME     host name
#   DISTRIBUTION  rke1, rke2 or k3s
#   DATA_DISK     device of the disk for Longhorn; empty: this node has none
#   DATA_DISK_GIB its size in the environment file, for messages
#   CARDS         the cards beyond the first: "mac,network,gateway mac,network,gateway"
#   ROOT          where the file system is; empty except in tests
set -euo pipefail
ROOT="${ROOT:-}"

readonly longhorn=/var/lib/longhorn
readonly label=longhorn

changed() {
  printf 'changed %s\n' "$*"
}

refuse() {
  printf 'refused: %s\n' "$*" >&2
  exit 1
}

# install_file <path> <mode>: puts standard input there; true when something changed.
# `|| refuse` after each command: bash ignores `set -e` inside of a function that is called in a condition.
install_file() {
  local wanted
  wanted=$(mktemp) || refuse "no temporary file"
  cat >"$wanted" || refuse "cannot write $wanted"
  if cmp --silent "$wanted" "$ROOT$1"; then
    rm -f "$wanted"
    return 1
  fi
  install -D -m "$2" "$wanted" "$ROOT$1" || refuse "cannot write $1"
  rm -f "$wanted"
  changed "$1"
}

# The first boot installs the user, the addresses and upgrades; apt and the network belong to cloud-init until then.
wait_for_cloud_init() {
  command -v cloud-init >/dev/null || return 0
  local code=0
  timeout 600 cloud-init status --wait >/dev/null 2>&1 || code=$?
  # 2 is "done, with warnings".
  [[ $code == 0 || $code == 2 ]] || refuse "cloud-init did not end well (exit $code): cloud-init status --long"
}

set_hostname() {
  [[ "$(hostnamectl --static)" == "$NODE_NAME" ]] && return 0
  hostnamectl set-hostname "$NODE_NAME"
  changed "host name $NODE_NAME"
}

# Proxmox makes cloud-init's instance id of user, key, addresses and DNS. To a new instance cloud-init gives new host keys: whoever pinned the old one would
# be locked out of a node whose name server changed.
keep_host_keys() {
  install_file /etc/cloud/cloud.cfg.d/99-home-cluster.cfg 644 <<'FILE' || true
# Written by home-cluster (operations/guest/provision.sh); changes are overwritten.
ssh_deletekeys: false
FILE
}

# --- The disk for Longhorn ---------------------------------------------------------------------------------------------------------------

prepare_data_disk() {
  [[ -n "$DATA_DISK" ]] || return 0
  wait_for_device
  local device mounted
  device=$(readlink -f "$DATA_DISK")
  refuse_second_disk "$device"
  mounted=$(findmnt --noheadings --output LABEL --mountpoint "$longhorn" || true)
  if [[ -n "$mounted" && "$mounted" != "$label" ]]; then
    refuse "$longhorn is already mounted from a file system labelled '$mounted'"
  fi
  format_if_empty "$device"
  if [[ -z "$mounted" ]]; then protect_mount_point; fi
  declare_mount
  if [[ -z "$mounted" ]]; then
    mount "$longhorn"
    changed "$longhorn mounted"
  fi
  grow_file_system "$device"
}

# A disk that was added to the running machine takes a moment.
wait_for_device() {
  local second
  for ((second = 0; second < 30; second++)); do
    if [[ -e "$DATA_DISK" ]]; then return 0; fi
    udevadm settle --timeout 1 || true
    sleep 1
  done
  refuse "the data disk of $DATA_DISK_GIB GiB is not there: no $DATA_DISK"
}

# Mounting by label is only safe while one disk has it.
refuse_second_disk() {
  local other
  while read -r other; do
    if [[ -n "$other" && "$(readlink -f "$other")" != "$1" ]]; then
      refuse "a second disk, $other, carries the label $label; rename it: e2label $other <another label>"
    fi
  done < <(blkid -c /dev/null -t "LABEL=$label" -o device || true)
}

# Formats a disk on which nothing at all is found. Anything else that is not ours is refused with what it is: there is no way back from mkfs.
format_if_empty() {
  local device=$1 found partitions code=0
  partitions=$(lsblk --noheadings --raw --output NAME "$device" | tail -n +2)
  [[ -z "$partitions" ]] || refuse "the data disk $device has partitions: ${partitions//$'\n'/ }"
  found=$(wipefs --no-act --noheadings --output TYPE,LABEL "$device" | awk '{ $1 = $1; print }')
  if [[ "$found" == "ext4 $label" ]]; then return 0; fi
  [[ -z "$found" ]] || refuse "the data disk $device is not empty, it holds: ${found//$'\n'/, }"
  # A second opinion from another prober; 2 means that it found nothing.
  blkid --probe "$device" >/dev/null 2>&1 || code=$?
  [[ $code == 2 ]] || refuse "the data disk $device may not be empty: blkid --probe ends with $code"
  # No blocks reserved for root: Longhorn alone writes here, and keeps its own reserve.
  mkfs.ext4 -q -L "$label" -m 0 "$device" >&2
  changed "file system on $DATA_DISK"
}

# Without the disk, Longhorn would fill the root file system: so nobody, root included, can write into the directory below the mount.
protect_mount_point() {
  local below="$ROOT$longhorn"
  mkdir -p "$below"
  if [[ -n "$(ls -A "$below")" ]]; then
    refuse "$longhorn holds files on the root file system; look what they are and move them away: ls -la $longhorn"
  fi
  if [[ "$(lsattr -d "$below" | awk '{ print $1 }')" == *i* ]]; then return 0; fi
  chattr +i "$below"
  changed "$longhorn immutable below the mount"
}

# nofail: a missing disk must not end in an emergency shell without SSH. The price, that nothing waits for it, is paid back by x-systemd.before.
declare_mount() {
  local before="" unit wanted table="$ROOT/etc/fstab" new
  for unit in containerd docker rancher-system-agent rke2-server rke2-agent k3s k3s-agent; do
    before+=",x-systemd.before=$unit.service"
  done
  wanted="LABEL=$label $longhorn ext4 defaults,nofail,x-systemd.device-timeout=60s$before 0 2"
  if grep --quiet --fixed-strings --line-regexp "$wanted" "$table"; then return 0; fi
  new=$(mktemp)
  awk -v target="$longhorn" '$2 != target' "$table" >"$new"
  printf '%s\n' "$wanted" >>"$new"
  install -m 644 "$new" "$table"
  rm -f "$new"
  systemctl daemon-reload
  changed /etc/fstab
}

# The disk was made larger in the environment file. Smaller than a block group (128 MiB) is rounding.
grow_file_system() {
  local device=$1 size blocks block
  size=$(blockdev --getsize64 "$device")
  blocks=$(dumpe2fs -h "$device" 2>/dev/null | awk '/^Block count:/ { print $3 }')
  block=$(dumpe2fs -h "$device" 2>/dev/null | awk '/^Block size:/ { print $3 }')
  if ((size - blocks * block < 128 * 1024 * 1024)); then return 0; fi
  resize2fs "$device" >&2
  changed "file system grown to $DATA_DISK_GIB GiB"
}

# --- Packages, modules, services ---------------------------------------------------------------------------------------------------------

install_packages() {
  # Longhorn checks for the first four by name; the rest is what the agent, joining and routing use.
  local packages=(open-iscsi nfs-common cryptsetup dmsetup qemu-guest-agent curl ca-certificates sudo nftables) missing=()
  if [[ $DISTRIBUTION == rke1 ]]; then packages+=(docker.io); fi
  list_missing
  if [[ ${#missing[@]} == 0 ]]; then return 0; fi
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
  apt-get -q -o DPkg::Lock::Timeout=600 update >&2
  # Debian 13 has the command in a package of its own, which docker.io only recommends.
  if [[ $DISTRIBUTION == rke1 ]] && apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi
  list_missing
  apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends "${missing[@]}" >&2
  changed "packages ${missing[*]}"
}

# Fills `missing` from `packages` of the caller.
list_missing() {
  local package
  missing=()
  for package in "${packages[@]}"; do
    if [[ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)" != installed ]]; then
      missing+=("$package")
    fi
  done
}

load_modules() {
  local module
  # Longhorn needs all three on each node; its own attempt to load them fails in silence.
  printf '%s\n' iscsi_tcp dm_crypt nfs | install_file /etc/modules-load.d/home-cluster.conf 644 || true
  for module in iscsi_tcp dm_crypt nfs; do
    if [[ -d "$ROOT/sys/module/$module" ]]; then continue; fi
    modprobe "$module" || refuse "the kernel has no module $module: is this Debian's cloud kernel? uname -r"
    changed "module $module"
  done
}

start_services() {
  ensure_running iscsid
  # Started by its device, so it cannot be enabled.
  if ! systemctl is-active --quiet qemu-guest-agent; then
    systemctl start qemu-guest-agent
    changed "service qemu-guest-agent"
  fi
  if [[ $DISTRIBUTION == rke1 ]]; then ensure_running docker; fi
}

ensure_running() {
  if systemctl is-enabled --quiet "$1" && systemctl is-active --quiet "$1"; then return 0; fi
  systemctl enable --now "$1"
  changed "service $1"
}

# rke1 hands the host's resolv.conf to pods. systemd-resolved's own names 127.0.0.53, which inside a pod is the pod: no name would resolve.
use_real_name_servers() {
  [[ $DISTRIBUTION == rke1 ]] || return 0
  local file="$ROOT/etc/resolv.conf" real="$ROOT/run/systemd/resolve/resolv.conf"
  if ! grep --quiet --extended-regexp '^nameserver (127\.|::1)' "$file"; then return 0; fi
  if ! grep --quiet '^nameserver' "$real" || grep --quiet --extended-regexp '^nameserver (127\.|::1)' "$real"; then
    refuse "no name server but the loopback one: give the first network dns servers in the environment file"
  fi
  ln -sfn ../run/systemd/resolve/resolv.conf "$file"
  changed /etc/resolv.conf
}

# --- Routing of nodes with several cards -------------------------------------------------------------------------------------------------
# Who comes in through an additional card is answered through it. By connection and not by source address: behind a load balancer address, kube-proxy
# rewrites the packets, and the answer of a pod carries the pod's address when it is routed.

readonly routing_script=/usr/local/sbin/home-cluster-routing
readonly routing_table=/etc/home-cluster/routing
readonly routing_unit=/etc/systemd/system/home-cluster-routing

prepare_routing() {
  if [[ -z "$CARDS" ]]; then
    remove_routing
    return 0
  fi
  local anything=""
  if keep_networkd_off; then systemctl try-restart systemd-networkd; fi
  if routing_program | install_file "$routing_script" 755; then anything=yes; fi
  if tr ' ,' '\n ' <<<"$CARDS" | install_file "$routing_table" 644; then anything=yes; fi
  if routing_service | install_file "$routing_unit.service" 644; then anything=yes; fi
  if routing_timer | install_file "$routing_unit.timer" 644; then anything=yes; fi
  if [[ -z "$anything" ]] && systemctl is-enabled --quiet home-cluster-routing.timer &&
    systemctl is-active --quiet home-cluster-routing.timer; then
    return 0
  fi
  systemctl daemon-reload
  systemctl enable --now home-cluster-routing.timer
  systemctl start home-cluster-routing.service || refuse "routing: $(journalctl -n 5 -o cat -u home-cluster-routing.service)"
  changed "routing of $(wc -w <<<"$CARDS") more cards"
}

# systemd-networkd removes rules and routes that it did not make, whenever it restarts.
keep_networkd_off() {
  install_file /etc/systemd/networkd.conf.d/home-cluster.conf 644 <<'FILE'
[Network]
ManageForeignRoutingPolicyRules=no
ManageForeignRoutes=no
FILE
}

routing_service() {
  cat <<FILE
[Unit]
Description=Answer clients of additional networks through their own card
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart=$routing_script
FILE
}

# Each minute, because a card that went down and up again has lost its routes, and nothing else would say so.
routing_timer() {
  cat <<'FILE'
[Unit]
Description=Keep the routing of additional networks in place

[Timer]
OnBootSec=5s
OnUnitInactiveSec=60s
AccuracySec=5s

[Install]
WantedBy=timers.target
FILE
}

# Its own program, so that it can be run by hand and after each boot. Marks use four bits that neither kube-proxy (0xc000), Calico (0xffff0000), the
# portmap plugin (0x2000) nor kube-router (0x30000) uses.
routing_program() {
  cat <<'FILE'
#!/bin/bash
# Written by home-cluster (operations/guest/provision.sh); changes are overwritten. Idempotent.
# /etc/home-cluster/routing has one line per card: mac network gateway.
set -euo pipefail
table_file="${1:-/etc/home-cluster/routing}"

interface_of() {
  local path
  for path in /sys/class/net/*; do
    if [[ "$(cat "$path/address")" == "$1" && ! -e "$path/master" && ! "${path##*/}" =~ [@.:] ]]; then
      echo "${path##*/}"
      return 0
    fi
  done
  echo "no card with the address $1" >&2
  return 1
}

index=0
arriving=""
leaving=""
wanted=""
while read -r mac network gateway; do
  index=$((index + 1))
  interface=$(interface_of "$mac")
  mark=$(printf '0x%02x' $((index << 4)))
  table=$((10100 + index))
  # The answer's way is not the way to the client by the main table: strict filtering would drop the question.
  sysctl -q -w "net/ipv4/conf/$interface/rp_filter=2"
  ip route replace "$network" dev "$interface" scope link table "$table"
  ip route replace default via "$gateway" dev "$interface" table "$table"
  if ! ip rule show pref "$table" | grep --quiet "fwmark $mark/0xf0 lookup $table\b"; then
    while ip rule delete pref "$table" 2>/dev/null; do :; done
    ip rule add pref "$table" fwmark "$mark/0xf0" table "$table"
  fi
  arriving+="    iifname \"$interface\" ct state new ct mark set ct mark & 0xffffff0f | $mark
    iifname != \"$interface\" ct mark & 0x000000f0 == $mark meta mark set meta mark & 0xffffff0f | $mark
"
  leaving+="    ct mark & 0x000000f0 == $mark meta mark set meta mark & 0xffffff0f | $mark
"
  wanted+=" $table"
done <"$table_file"

# Cards that are gone.
for ((table = 10101; table <= 10115; table++)); do
  if [[ " $wanted " != *" $table "* ]]; then
    while ip rule delete pref "$table" 2>/dev/null; do :; done
    ip route flush table "$table" 2>/dev/null || true
  fi
done

if [[ $index == 0 ]]; then
  nft 'add table ip home_cluster; delete table ip home_cluster'
  exit 0
fi

# One transaction: no packet meets half of it. Only our own table; `flush ruleset` would take kube-proxy's with it.
nft -f - <<RULES
table ip home_cluster
delete table ip home_cluster
table ip home_cluster {
  chain arriving {
    type filter hook prerouting priority mangle; policy accept;
$arriving  }
  chain leaving {
    type route hook output priority mangle; policy accept;
$leaving  }
}
RULES
FILE
}

remove_routing() {
  [[ -e "$ROOT$routing_script" ]] || return 0
  systemctl disable --now home-cluster-routing.timer
  : >"$ROOT$routing_table"
  "$ROOT$routing_script" "$ROOT$routing_table"
  rm -f "$ROOT$routing_script" "$ROOT$routing_table" "$ROOT$routing_unit.service" "$ROOT$routing_unit.timer"
  systemctl daemon-reload
  changed "routing removed"
}

main() {
  wait_for_cloud_init
  set_hostname
  keep_host_keys
  # Before everything that could write below it.
  prepare_data_disk
  install_packages
  load_modules
  start_services
  use_real_name_servers
  prepare_routing
}

# The text arrives on standard input: without this, the first program that reads its own would eat the rest of it.
main </dev/null
