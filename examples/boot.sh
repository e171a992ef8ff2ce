#!/usr/bin/env bash
# The whole way to a machine whose root is an NBD export: an image, a server, an initramfs, a machine (QEMU), its login prompt.
# Needs QEMU, busybox-static and mke2fs, installed by apt if they are missing; the kernel is Debian's, downloaded once.
# Leaves nothing behind. NBDFUSE=PROGRAM uses a program that was built before; with -i the console is yours (root, no password;
# 'poweroff -f' ends it).
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/common.sh
. "$HERE/../tests/lib/common.sh"
# shellcheck source=tests/lib/packages.sh
. "$HERE/../tests/lib/packages.sh"
# shellcheck source=tests/lib/example.sh
. "$HERE/../tests/lib/example.sh"

step "Looking for the programs that this needs"
install_missing "qemu-system-x86_64 qemu-system-x86" "mkfs.ext4 e2fsprogs" "busybox busybox-static" "xz xz-utils" "zstd zstd"
command -v qemu-system-x86_64 >/dev/null || cannot "there is no qemu-system-x86_64"
find_nbdfuse
GUEST=$("$HERE/../tests/lib/vm.sh") || cannot "there is no kernel for the machine"
RELEASE=$(cat "$GUEST/release")
KERNEL=$GUEST/vmlinux
[[ -e $KERNEL ]] || KERNEL=$GUEST/vmlinuz

SCRATCH=$(mktemp -d)
on_exit rm -rf "$SCRATCH"

step "Making an image: a small system on ext4"
mkdir -p "$SCRATCH/root"/{bin,sbin,dev,proc,sys,run,tmp,etc,root}
cp "$GUEST/busybox" "$SCRATCH/root/bin/busybox"
for applet in sh mount getty login poweroff ls cat ip ps df; do
    ln -s busybox "$SCRATCH/root/bin/$applet"
done
ln -s ../bin/busybox "$SCRATCH/root/sbin/init"
echo 'root::0:0:root:/root:/bin/sh' >"$SCRATCH/root/etc/passwd"
echo 'root:x:0:' >"$SCRATCH/root/etc/group"
echo 'ttyS0::respawn:/bin/getty -L 115200 ttyS0 vt100' >"$SCRATCH/root/etc/inittab"
truncate -s 64M "$SCRATCH/disk.img"
mke2fs -q -t ext4 -L system -d "$SCRATCH/root" "$SCRATCH/disk.img"
ls -l "$SCRATCH/disk.img"

step "Serving it: nbdfuse serve"
"$NBDFUSE" serve --port 0 --name system "$SCRATCH/disk.img" >"$SCRATCH/uri" &
on_exit stop $!
wait_for 30 test -s "$SCRATCH/uri" || die "the server did not start"
PORT=$(sed -n 's|.*:\([0-9]*\)/.*|\1|p' "$SCRATCH/uri")
echo "   it listens at $(cat "$SCRATCH/uri"); the machine sees this one as 10.0.2.2"

step "Making the initramfs: nbdfuse initramfs"
"$NBDFUSE" initramfs -o "$SCRATCH/initramfs" --modules "$GUEST/modules/lib/modules/$RELEASE" --busybox "$GUEST/busybox"
proved "one command gives an initramfs for kernel $RELEASE"

step "Switching the machine on, with nbdroot=10.0.2.2:$PORT/system"
# shellcheck disable=SC2054 # commas of QEMU's
MACHINE=(qemu-system-x86_64 -nodefaults -display none -no-reboot -cpu max,-cx16 -m 512
    -kernel "$KERNEL" -initrd "$SCRATCH/initramfs" -append "console=ttyS0 loglevel=4 panic=-1 nbdroot=10.0.2.2:$PORT/system rw"
    -netdev user,id=network -device virtio-net-pci,netdev=network,romfile=)
if [[ ${1:-} == -i ]]; then
    "${MACHINE[@]}" -serial mon:stdio
    exit
fi
: >"$SCRATCH/console"
"${MACHINE[@]}" -serial "file:$SCRATCH/console" </dev/null 2>"$SCRATCH/qemu" &
on_exit stop $!
wait_for 180 grep -q 'login: ' "$SCRATCH/console" || {
    cat "$SCRATCH/console"
    die "there is no login prompt"
}
sed 's/^/   /' "$SCRATCH/console" | tr -d '\r' | grep -a 'nbdfuse\|login:'
proved "the machine runs from the export: this is its login prompt"
