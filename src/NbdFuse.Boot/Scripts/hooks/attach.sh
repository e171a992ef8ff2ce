#!/bin/sh
# Makes the block device that the kernel's command line names, and leaves its root filesystem's device and type in
# /run/nbdfuse-boot/root. For initramfs frameworks, whose scripts call it. Ends with 1 when there is none.
umask 022
busybox=/etc/nbdfuse/bin/busybox
run=/run/nbdfuse-boot
[ ! -s $run/root ] || exit 0
mkdir -p $run

# The program's own file system: it survives the change to the real root.
if [ ! -d /nbdfuse/proc/self ]; then
    $busybox mount -t tmpfs -o mode=0755,nodev nbdfuse /nbdfuse
    $busybox mv /nbdfuse.tree/* /nbdfuse/
    $busybox mount -t proc -o nosuid,nodev,noexec proc /nbdfuse/proc
    $busybox mount -t sysfs -o nosuid,nodev,noexec sysfs /nbdfuse/sys
    $busybox mount -t devtmpfs -o mode=0755,nosuid devtmpfs /nbdfuse/dev
    $busybox mount -o bind /run /nbdfuse/run
fi

# The hook for the end lies there, and must be executable.
if grep -q '^[^ ]* /run [^ ]* [^ ]*noexec' /proc/mounts && ! grep -q ' /run/initramfs ' /proc/mounts; then
    mkdir -p /run/initramfs
    $busybox mount -t tmpfs -o mode=0755,nosuid,nodev nbdfuse-end /run/initramfs
    mkdir -p /nbdfuse/run/initramfs
    $busybox mount -o bind /run/initramfs /nbdfuse/run/initramfs
fi

modules='af_packet fuse loop ublk_drv'
! grep -q 'nbdfuse.driver=nbd' /proc/cmdline || modules="$modules nbd"
for module in $modules; do
    modprobe -q "$module" 2>/dev/null
done

# Set once, for all processes of the program: see /init of nbdfuse's own initramfs.
export DOTNET_EnableDiagnostics=0 DOTNET_TieredCompilation=0 DOTNET_Thread_DefaultStackSize=80000
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
read -r LD_LIBRARY_PATH </etc/nbdfuse/libraries
export LD_LIBRARY_PATH
read -r start </etc/nbdfuse/start
rm -f $run/answer
$busybox mkfifo $run/answer
# By its bare name, so that the first argument begins with @: systemd leaves such processes alone.
# shellcheck disable=SC2086,SC2123 # words of a command; the path is for this subshell
(cd /nbdfuse && PATH=/nbdfuse && exec $busybox setsid $start root --attach >$run/answer) &
answer=
read -r answer device type <$run/answer
[ "$answer" = ready ] || exit 1
echo "$device $type" >$run/root
