#!/bb/busybox sh
# The start of a guest. busybox prefers its own applets, so that PATH does not matter here.
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

# Process 1 must reap what commands leave behind.
echo '::once:/harness' >/etc/inittab
exec busybox init
