#!/usr/bin/env bash
# Makes an initramfs by Debian's own initramfs-tools with our hook, in a copy of the root that debian-root.sh has made:
#
#   NBDFUSE=PROGRAM tests/lib/debian-initramfs.sh GUEST OUTPUT
#
# GUEST is the directory of vm.sh: its kernel's modules are taken. The packages are downloaded by apt, in the copy.
set -euo pipefail
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly GUEST=$1 OUTPUT=$2
WORK=$(mktemp -d)
readonly WORK

clean_up() {
    local place
    for place in proc dev; do
        ! mountpoint -q "$WORK/root/$place" || umount "$WORK/root/$place"
    done
    rm -rf --one-file-system "$WORK"
}

main() {
    local image release
    ((EUID == 0)) || die "Debian's initramfs is made by root only"
    image=$("$REPO/tests/lib/debian-root.sh")
    release=$(cat "$GUEST/release")
    trap clean_up EXIT
    mkdir "$WORK/root"
    # Out of the image without mounting it.
    debugfs -R "rdump / $WORK/root" "$image" >&2 2>/dev/null
    mount -t proc proc "$WORK/root/proc"
    mount -o bind /dev "$WORK/root/dev"
    mkdir -p "$WORK/root/tmp" "$WORK/root/lib/modules"
    cp /etc/resolv.conf "$WORK/root/etc/resolv.conf"
    rm -f "$WORK/root/etc/apt/sources.list"
    for place in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d /etc/apt/keyrings; do
        [[ ! -e $place ]] || cp -r "$place" "$WORK/root${place%/*}/"
    done
    chroot "$WORK/root" sh -ec 'export DEBIAN_FRONTEND=noninteractive
        apt-get -qq update
        apt-get -qq install --no-install-recommends initramfs-tools busybox-static zstd e2fsprogs' >&2
    cp -r "$GUEST/modules/lib/modules/$release" "$WORK/root/lib/modules/"
    chroot "$WORK/root" depmod "$release"
    cp "$NBDFUSE" "$WORK/root/usr/local/bin/nbdfuse"
    mkdir -p "$WORK/root/boot"
    printf 'CONFIG_RD_ZSTD=y\n' >"$WORK/root/boot/config-$release"
    chroot "$WORK/root" /usr/local/bin/nbdfuse install-hooks --initramfs-tools >&2
    chroot "$WORK/root" mkinitramfs -o /initramfs "$release" >&2
    mv "$WORK/root/initramfs" "$OUTPUT"
}

main "$@"
