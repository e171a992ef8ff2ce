#!/bb/busybox sh
# Process 1 of a guest. busybox prefers its own applets, so that PATH does not matter here; commands of tests are run by
# another shell, which finds real programs first.
/bb/busybox mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
busybox --install -s /bb

modprobe virtio_net
while read -r line; do
    # shellcheck disable=SC2086 # a module and its parameters
    modprobe $line || echo "guest: modprobe $line failed" >/dev/kmsg
done </etc/modules-to-load
ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
[ ! -e /etc/programs ] || mount -t ext4 -o ro,noatime /dev/vda /usr || echo "guest: the disk of programs can't be mounted" >/dev/kmsg

for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name")" != org.nbdfuse.command ] || exec 3<>"/dev/${port##*/}"
done

jobs=/run/harness
mkdir $jobs
mkfifo $jobs/ended
cd /root || exit
export HOME=/root TMPDIR=/tmp LC_ALL=C.UTF-8 DOTNET_EnableDiagnostics=0
export PATH=/bin:/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/bb

# One writer: answers are not mixed. Opened for both directions, the queue does not end with its first user.
(
    while read -r verb id code; do
        out=$(stat -c %s $jobs/"$id".out)
        err=$(stat -c %s $jobs/"$id".err)
        [ "$out" -le 4194304 ] || out=4194304
        [ "$err" -le 4194304 ] || err=4194304
        {
            echo "$verb $id $code $out $err"
            head -c "$out" $jobs/"$id".out
            head -c "$err" $jobs/"$id".err
        } >&3
        [ "$verb" != END ] || rm -f $jobs/"$id".*
    done
) <>$jobs/ended &

echo "READY $(cat /proc/uptime)" >&3
while read -r verb id text <&3; do
    case $verb in
        RUN)
            printf %s "$text" | base64 -d >$jobs/"$id".sh
            : >$jobs/"$id".out
            : >$jobs/"$id".err
            (
                setsid /bin/sh -e $jobs/"$id".sh </dev/null >$jobs/"$id".out 2>$jobs/"$id".err 3>&-
                echo "END $id $?" >$jobs/ended
            ) &
            ;;
        DUMP)
            # What is blocked, and where, to the console.
            dmesg -n 8
            echo w >/proc/sysrq-trigger
            echo "PART $id 0" >$jobs/ended
            ;;
        OFF) break ;;
    esac
done
sync
poweroff -f
