#!/bin/busybox sh
# First process of a machine whose root is an NBD export. What is decided, is decided by "nbdfuse root"; here is what a shell does
# better: mounts before there is a runtime, modules, the last step. Not for "set -e": process 1 must not end.
export PATH=/bin:/sbin
umask 022

say() { echo "nbdfuse: $*" >/dev/console; }

rescue() {
    say "$1"
    if [ "$2" = reboot ] || grep -q 'nbdfuse.rescue=\(0\|no\|off\)' /proc/cmdline; then
        say "the machine is rebooted in 10 seconds (nbdfuse.rescue=0)"
        sleep 10
        sync
        reboot -f
    fi
    /bin/busybox --install -s /bin 2>/dev/null
    say "a shell to look around; its end tries again"
    setsid sh -c 'exec sh -i </dev/console >/dev/console 2>&1'
}

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o mode=0755,nosuid devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts -o mode=0620,gid=5,nosuid,noexec devpts /dev/pts 2>/dev/null
# Not noexec: the hook for shutdowns lies there.
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run
exec </dev/console >/dev/console 2>&1

# The program's own file system: it survives the change to the real root, which deletes everything here.
mount -t tmpfs -o mode=0755,nodev nbdfuse /nbdfuse
mv /nbdfuse.tree/* /nbdfuse/
mount -t proc -o nosuid,nodev,noexec proc /nbdfuse/proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /nbdfuse/sys
mount -t devtmpfs -o mode=0755,nosuid devtmpfs /nbdfuse/dev
mount -o bind /run /nbdfuse/run

# Buses bring devices, and those bring buses.
before=
for pass in 1 2 3 4; do
    aliases=$(find /sys/devices -name modalias -exec cat {} + 2>/dev/null | sort -u)
    [ "$aliases" != "$before" ] || break
    before=$aliases
    echo "$aliases" | xargs modprobe -qab 2>/dev/null
done

# Set once, for all processes of the program: no listening diagnostics, no recompilation while the root depends on it.
export DOTNET_EnableDiagnostics=0 DOTNET_TieredCompilation=0 DOTNET_Thread_DefaultStackSize=80000
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
read -r libraries </etc/nbdfuse/libraries
[ -z "$libraries" ] || export LD_LIBRARY_PATH="$libraries"
read -r start </etc/nbdfuse/start
mkdir -p /run/nbdfuse-boot

while :; do
    rm -f /run/nbdfuse-boot/answer
    mkfifo /run/nbdfuse-boot/answer
    # By its bare name, so that the first argument begins with @: systemd leaves such processes alone.
    # shellcheck disable=SC2086,SC2123 # words of a command; the path is for this subshell
    (cd /nbdfuse && PATH=/nbdfuse && exec /bin/busybox setsid $start root >/run/nbdfuse-boot/answer) &
    answer=
    read -r answer init </run/nbdfuse-boot/answer
    case $answer in
        ready) ;;
        *)
            wait $!
            rescue "there is no root filesystem${answer:+: see above}" "$init"
            continue
            ;;
    esac

    # The program to start, by its links inside of the new root.
    for candidate in $init /sbin/init /etc/init /bin/init /bin/sh; do
        path=$candidate
        for link in 1 2 3 4 5 6 7 8; do
            target=$(readlink "/sysroot$path") || break
            case $target in
                /*) path=$target ;;
                *) path=${path%/*}/$target ;;
            esac
        done
        [ ! -x "/sysroot$path" ] || break
        path=
    done
    if [ -n "$path" ]; then
        unset DOTNET_EnableDiagnostics DOTNET_TieredCompilation DOTNET_Thread_DefaultStackSize DOTNET_SYSTEM_GLOBALIZATION_INVARIANT LD_LIBRARY_PATH
        for directory in dev proc sys run; do
            [ -d "/sysroot/$directory" ] || mkdir "/sysroot/$directory" || say "the root has no directory /$directory"
            [ $directory != dev ] || umount /dev/pts 2>/dev/null
            mount -o move "/$directory" "/sysroot/$directory"
        done
        echo "nbdfuse: starting $candidate" >/sysroot/dev/console
        cd /sysroot || say "/sysroot cannot be entered"
        exec switch_root /sysroot "$candidate" "$@" </sysroot/dev/console >/sysroot/dev/console 2>&1
    fi
    # Let go of by the process that serves it, so that another one can try.
    umount /sysroot
    kill -TERM $!
    wait $!
    rescue "the root filesystem has no init program${init:+ $init}" ''
done
