#!/bin/sh
# Of dracut's module for nbdfuse; dracut reads it into its own shell, again and again until there is a root.
if [ ! -e /dev/nbdfuse-root ] && /etc/nbdfuse/wanted.sh && /etc/nbdfuse/attach.sh; then
    read -r nbdfuse_device nbdfuse_type </run/nbdfuse-boot/root
    mkdir -p /run/udev/rules.d
    # By udev, so that systemd knows the name, too.
    echo "KERNEL==\"${nbdfuse_device##*/}\", SYMLINK+=\"nbdfuse-root\"" >/run/udev/rules.d/99-nbdfuse-root.rules
    udevadm control --reload
    udevadm trigger --settle --action=change "/sys/class/block/${nbdfuse_device##*/}"
    info "nbdfuse: the root is on $nbdfuse_device ($nbdfuse_type)"
fi
