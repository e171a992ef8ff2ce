#!/usr/bin/env bash
# Makes an initramfs by Debian's own initramfs-tools, or by dracut, with our hook, in a copy of the root that debian-root.sh has made:
#
#   NBDFUSE=PROGRAM tests/lib/debian-initramfs.sh GUEST OUTPUT [dracut]
#
# GUEST is the directory of vm.sh: its kernel's modules are taken. The packages are downloaded by apt, in the copy.
set -euo pipefail
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly GUEST=$1 OUTPUT=$2 FRAMEWORK=${3:-initramfs-tools}
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
    local image release packages="$FRAMEWORK"
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
    [[ $FRAMEWORK != dracut ]] || packages="dracut dracut-network"
    # shellcheck disable=SC2016 # for the inner shell
    chroot "$WORK/root" env DEBIAN_FRONTEND=noninteractive PACKAGES="$packages" sh -ec 'apt-get -qq update
        apt-get -qq install --no-install-recommends $PACKAGES busybox-static zstd e2fsprogs' >&2
    cp -r "$GUEST/modules/lib/modules/$release" "$WORK/root/lib/modules/"
    chroot "$WORK/root" depmod "$release"
    cp "$NBDFUSE" "$WORK/root/usr/local/bin/nbdfuse"
    mkdir -p "$WORK/root/boot"
    printf 'CONFIG_RD_ZSTD=y\n' >"$WORK/root/boot/config-$release"
    chroot "$WORK/root" /usr/local/bin/nbdfuse install-hooks "--$FRAMEWORK" >&2
    case $FRAMEWORK in
        dracut) chroot "$WORK/root" dracut --force --no-hostonly --gzip --kver "$release" /initramfs >&2 ;;
        *) chroot "$WORK/root" mkinitramfs -o /initramfs "$release" >&2 ;;
    esac
    mv "$WORK/root/initramfs" "$OUTPUT"
}

main "$@"
