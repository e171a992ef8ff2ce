#!/bin/sh
# Of dracut's module for nbdfuse: the unit that mounts the root, where systemd runs in the initramfs. In the early directory: what
# root= says there is nothing that systemd could find.
/etc/nbdfuse/wanted.sh || exit 0
[ -n "$2" ] || exit 1
options=
type=
access=ro
set -f
# shellcheck disable=SC2013 # words are what is wanted
for word in $(cat /proc/cmdline); do
    case $word in
        ro | rw) access=$word ;;
        rootflags=*) options=,${word#rootflags=} ;;
        rootfstype=*) type=${word#rootfstype=} ;;
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
