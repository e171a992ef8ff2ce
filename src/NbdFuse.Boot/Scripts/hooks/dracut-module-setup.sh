#!/bin/bash
# Module of dracut: puts nbdfuse into the initramfs. Written by "nbdfuse install-hooks", which also takes it away.

check() {
    require_binaries '@PROGRAM@' || return 1
    return 0
}

depends() {
    echo kernel-network-modules rootfs-block
}

installkernel() {
    instmods loop fuse ublk_drv nbd af_packet virtio_net virtio_pci
}

install() {
    # shellcheck disable=SC2154 # set by dracut
    '@PROGRAM@' hook-tree "$initdir" || dfatal "nbdfuse cannot be put into the initramfs"
    inst_multiple cat grep mkdir rm modprobe udevadm
    # shellcheck disable=SC2154
    inst_hook cmdline 90 "$moddir/parse-nbdfuse.sh"
    inst_hook initqueue/settled 50 "$moddir/attach-nbdfuse.sh"
    if dracut_module_included systemd-initrd; then
        # shellcheck disable=SC2154
        inst_script "$moddir/nbdfuse-generator.sh" "$systemdutildir/system-generators/nbdfuse-generator"
    fi
    dracut_need_initqueue
}
