#!/bin/bash
# Builds what the machine of the tests boots: a disk as Debian's genericcloud image is (its packages, cloud kernel, cloud-init, netplan, systemd-resolved), made by
# debootstrap from whatever mirror this machine's own apt uses. Differences: no boot loader and no new initrd (QEMU gets kernel and initrd), no documentation, and apt reads
# an archive inside of the image, /srv/archive, which holds the packages named here with their dependencies. So nothing in the guest needs a network.
#
# Usage: image.sh <folder> <work folder> <release> <package>...   as root, on a leash (leash.sh) that removes the work folder
# <folder> appears with disk.raw, kernel, initrd, arguments (the kernel's) and release (the one that was built: where the mirror does not have <release>, the
# machine's own) when all of it is done, and not before. One line per step on standard error; what the programs print, only when one fails.
set -euo pipefail
export LC_ALL=C

readonly folder=$1 work=$2 root=$2/root wanted=$3
shift 3
readonly archived=("$@")

# Debian's own list for the image (its debian-cloud-images, release 13), without the boot loader. apt ignores what an older release does not have.
readonly packages=(
  linux-image-cloud-amd64 openssh-server ssh-import-id cloud-initramfs-growroot cloud-init cloud-guest-utils
  sudo e2fsprogs libpam-systemd systemd-resolved libnss-resolve libnss-myhostname netplan.io polkitd unattended-upgrades apparmor zstd
  apt-utils init iptables iputils-ping linux-sysctl-defaults less nano netbase vim-tiny whiptail systemd-timesyncd
)

exec </dev/null
started=$SECONDS
step() {
  printf 'machine image: %s (after %s s)\n' "$*" "$((SECONDS - started))" >&2
}

quietly() {
  if ! "$@" >"$work/log" 2>&1; then
    tail -n 30 "$work/log" >&2
    printf 'machine image: failed: %s\n' "$*" >&2
    exit 1
  fi
}

inside() {
  chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# Sets `mirror` and `release`. A state of its own: the machine's package lists may be old or absent, and are not ours to change.
find_mirror() {
  local state=(-o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache") uris uri
  mkdir -p "$work/lists/partial" "$work/cache"
  # A source of something else that does not answer is no matter.
  apt-get "${state[@]}" -qq update >"$work/log" 2>&1 </dev/null || true
  # shellcheck disable=SC2016 # the format is apt's own
  uris=$(apt-get "${state[@]}" indextargets --format '$(REPO_URI)' "Created-By: Packages" "Origin: Debian" "Label: Debian" | sort -u)
  # shellcheck disable=SC1091 # every Debian has it
  for release in "$wanted" "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")"; do
    for uri in $uris; do
      mirror=${uri%/}
      if /usr/lib/apt/apt-helper download-file "$mirror/dists/$release/InRelease" "$work/InRelease" >>"$work/log" 2>&1; then return 0; fi
    done
  done
  cat "$work/log" >&2
  printf 'machine image: no Debian archive among the sources of apt here has %s\n' "$wanted" >&2
  exit 1
}

# A proxy and certificates that apt uses here are as good for the apt inside.
use_apt_settings() {
  local proxy
  proxy=$(apt-config dump --format '%v%n' Acquire::http::Proxy)
  if [[ -n "$proxy" ]]; then export http_proxy=$proxy; fi
  proxy=$(apt-config dump --format '%v%n' Acquire::https::Proxy)
  if [[ -n "$proxy" ]]; then export https_proxy=$proxy; fi
}

debootstrap_root() {
  quietly debootstrap --variant=minbase "$release" "$root" "$mirror"
  mount -t proc proc "$root/proc"
  mkdir -p "$root/etc/dpkg/dpkg.cfg.d" "$root/run/systemd/resolve"
  # While building; apt on this machine has the same, by another way.
  apt-config dump --format '%F "%v";%n' Acquire | grep -iE '^Acquire::https?::Proxy ' >"$root/etc/apt/apt.conf.d/99build" || true
  if [[ -e /etc/ssl/certs/ca-certificates.crt ]]; then
    cp /etc/ssl/certs/ca-certificates.crt "$root/build.crt"
    echo 'Acquire::https::CAInfo "/build.crt";' >>"$root/etc/apt/apt.conf.d/99build"
  fi
  # systemd-resolved, once installed, makes resolv.conf a link to this one.
  cp /etc/resolv.conf "$root/run/systemd/resolve/stub-resolv.conf"
  cp --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
  # Here and in the guest: nothing has to reach a disk before the next thing is done, and nobody reads documentation.
  printf '%s\n' force-unsafe-io path-exclude=/usr/share/{doc,man,locale}/* >"$root/etc/dpkg/dpkg.cfg.d/image"
}

install_packages() {
  local known
  known=$(inside apt-cache --quiet pkgnames | sort)
  mapfile -t present < <(comm -12 <(printf '%s\n' "${packages[@]}" | sort) - <<<"$known")
  quietly inside apt-get -q -y install --no-install-recommends "${present[@]}"
}

# What provisioning will install, as files that apt finds without a network.
make_archive() {
  local known
  known=$(inside apt-cache --quiet pkgnames | sort)
  mapfile -t present < <(comm -12 <(printf '%s\n' "${archived[@]}" | sort) - <<<"$known")
  mkdir -p "$root/srv/archive/partial"
  quietly inside apt-get -q -y -o Dir::Cache::archives=/srv/archive install --no-install-recommends --download-only "${present[@]}"
  (
    cd "$root/srv/archive"
    rm -rf partial lock
    for package in *.deb; do
      # Uncompressed: expanding them takes this machine a second and the one in QEMU half a minute.
      dpkg-deb --raw-extract "$package" unpacked
      dpkg-deb -Znone --build unpacked "$package" >/dev/null
      rm -rf unpacked
      dpkg-deb --field "$package"
      printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$package" "$(stat --format %s "$package")" "$(sha256sum "$package" | cut -d ' ' -f 1)"
    done >Packages
  )
  rm -f "$root"/etc/apt/sources.list.d/*
  echo 'deb [trusted=yes] file:/srv/archive ./' >"$root/etc/apt/sources.list"
}

# As Debian's image is set up: who the user is, how the disk is mounted, and nothing that two machines must not share.
finish_root() {
  cat >"$root/etc/cloud/cloud.cfg.d/01_debian_cloud.cfg" <<'FILE'
system_info:
  default_user:
    name: debian
    lock_passwd: True
    gecos: Debian
    groups: [adm, audio, cdrom, dialout, dip, floppy, plugdev, sudo, video]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
FILE
  printf 'PARTUUID=%s / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1\n' "$partition" >"$root/etc/fstab"
  # QEMU is given the initrd that was made just now; making it again for each package with a part in it would cost a minute and nobody would boot it.
  echo update_initramfs=no >"$root/etc/initramfs-tools/update-initramfs.conf"
  # A hundred profiles of desktop programs; the first boot would compile them for half a minute. Docker brings its own.
  find "$root/etc/apparmor.d" -maxdepth 1 -type f -delete
  sed -i -e 's/^#PasswordAuthentication yes/PasswordAuthentication no/' "$root/etc/ssh/sshd_config"
  for service in systemd-networkd systemd-resolved; do quietly inside systemctl enable "$service"; done
  ln -sfn ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
  umount "$root/proc"
  rm -rf "$root"/{build.crt,etc/apt/apt.conf.d/99build,etc/mailname,var/lib/dbus/machine-id} \
    "$root"/etc/ssh/ssh_host_* "$root"/{run,tmp,var/tmp,var/cache/apt,var/lib/apt/lists}/*
  find "$root/var/log" -type f -delete
  : >"$root/etc/hostname"
  : >"$root/etc/machine-id"
}

# One partition of 3 GiB; growing it to the machine's disk is the first boot's work, as with the real image.
make_disk() {
  local first=$((1024 * 1024)) size=$((3 * 1024 * 1024))
  truncate --size 3074M "$work/disk.raw"
  printf 'label: gpt\nstart=2048, size=%s, type=L, uuid=%s\n' "$((size * 2))" "$partition" >"$work/table"
  quietly sfdisk --quiet "$work/disk.raw" <"$work/table"
  quietly mkfs.ext4 -q -d "$root" -E "offset=$first" "$work/disk.raw" "${size}k"
  cp "$root"/boot/vmlinuz-* "$work/kernel"
  cp "$root"/boot/initrd.img-* "$work/initrd"
  # Debian's own for its cloud images; the last two spare a processor that is a program a sixth of its work.
  echo "root=PARTUUID=$partition ro console=tty0 console=ttyS0,115200 earlyprintk=ttyS0,115200 consoleblank=0" \
    "mitigations=off init_on_alloc=0" >"$work/arguments"
  echo "$release" >"$work/release"
}

partition=$(cat /proc/sys/kernel/random/uuid)
# Somebody else built it while we waited for the lock; or was stopped so hard that the leash could not clean up.
if [[ -e $folder ]]; then exit 0; fi
rm -rf --one-file-system "${folder%/*}"/*.part
mkdir -p "$work"
step "looking for Debian ($wanted) in the sources of apt here"
find_mirror
use_apt_settings
step "debootstrap $release from $mirror"
debootstrap_root
step "packages of Debian's cloud image"
install_packages
step "archive of ${archived[*]}"
make_archive
finish_root
step "disk"
make_disk
rm -rf "$root" "$work"/{lists,cache,log,table,InRelease}
mv "$work" "$folder"
step "done: $folder"
