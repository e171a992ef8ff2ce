#!/bin/sh
# Of dracut's module for nbdfuse: the unit that mounts the root, where systemd runs in the initramfs. In the early directory: what
# root= says there is nothing that systemd could find.
/etc/nbdfuse/wanted.sh || exit 0
[ -n "$2" ] || exit 1
options=
type=
device=
access=ro
set -f
# shellcheck disable=SC2013 # words are what is wanted
for word in $(cat /proc/cmdline); do
    case $word in
        ro | rw) access=$word ;;
        rootflags=*) options=,${word#rootflags=} ;;
        rootfstype=*) type=${word#rootfstype=} ;;
        root=/dev/*) device=${word#root=/dev/} ;;
    esac
done
mkdir -p "$2"
{
    echo "[Unit]"
    echo "Before=initrd-root-fs.target"
    echo "[Mount]"
    echo "Where=/sysroot"
    echo "What=/dev/nbdfuse-root"
    [ -z "$type" ] || echo "Type=$type"
    echo "Options=$access$options"
} >"$2/sysroot.mount"

# Dracut's generator has the initramfs wait without end for the device of root=, such as /dev/nbd0, which may never be there.
case $device in
    '' | *[!a-z0-9]*) ;;
    *)
        mkdir -p "$2/dev-$device.device.d"
        printf '[Unit]\nJobTimeoutSec=1\nJobRunningTimeoutSec=1\n' >"$2/dev-$device.device.d/zz-nbdfuse.conf"
        ;;
esac
