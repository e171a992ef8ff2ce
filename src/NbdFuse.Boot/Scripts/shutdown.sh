#!/bin/busybox sh
# The last process of systemd, when the root is the tree of /run/initramfs and the old one lies in /oldroot: lets go of the root
# filesystem, so that our program flushes and says goodbye to the server, and does what was asked for.
export PATH=/bin
cd /
say() { echo "nbdfuse: $*" >/dev/console 2>/dev/null; }
for try in 1 2 3 4 5 6 7 8 9 10; do
    mounts=$(sed -n 's|^[^ ]* \(/oldroot[^ ]*\) .*|\1|p' /proc/mounts | sort -r)
    [ -n "$mounts" ] || break
    for mount in $mounts; do
        umount "$mount" 2>/dev/null || [ "$mount" = /oldroot ] || umount -l "$mount" 2>/dev/null
    done
    [ "$try" -lt 3 ] || sleep 0.2
done
read -r pid device driver 2>/dev/null </etc/nbdfuse-root
if [ -n "$mounts" ]; then
    say "something still uses the root filesystem; it is only read, and flushed"
elif [ -n "$pid" ] && [ -d "/proc/$pid" ]; then
    if [ "$driver" = fuse ]; then
        losetup -d "$device"
    else
        kill -TERM "$pid"
    fi
    for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do
        [ -d "/proc/$pid" ] || break
        sleep 0.2
    done
    if [ -d "/proc/$pid" ]; then
        say "$device was not let go"
    else
        say "$device is detached"
    fi
fi
sync
case $1 in
    reboot | kexec) reboot -f ;;
    halt) halt -f ;;
    *) poweroff -f ;;
esac
