#!/bin/sh
# Hook of initramfs-tools: puts nbdfuse into the initramfs. Written by "nbdfuse install-hooks", which also takes it away.
PREREQ=
case $1 in
    prereqs)
        echo "$PREREQ"
        exit 0
        ;;
esac
# shellcheck source=/dev/null
. /usr/share/initramfs-tools/hook-functions
'@PROGRAM@' hook-tree "$DESTDIR" || exit 1
manual_add_modules loop fuse ublk_drv nbd af_packet virtio_net virtio_pci
# shellcheck disable=SC2154 # set by mkinitramfs
[ "${MODULES:-most}" = most ] || auto_add_modules net
