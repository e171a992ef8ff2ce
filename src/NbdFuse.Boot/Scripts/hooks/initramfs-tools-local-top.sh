#!/bin/sh
# Script of initramfs-tools: makes the block device of the root. Written by "nbdfuse install-hooks".
PREREQ=udev
case $1 in
    prereqs)
        echo "$PREREQ"
        exit 0
        ;;
esac
/etc/nbdfuse/wanted.sh || exit 0
# shellcheck source=/dev/null
. /scripts/functions
wait_for_udev 10
if /etc/nbdfuse/attach.sh; then
    read -r device type </run/nbdfuse-boot/root
    # Read by the framework after each script.
    echo "ROOT=$device" >>/conf/param.conf
    log_success_msg "nbdfuse: the root is on $device ($type)"
else
    panic "nbdfuse: there is no root filesystem: see above"
fi
