#!/usr/bin/env bash
# How long a Debian takes from power-on to multi-user when every read of its root takes 20 ms at the server: with nbdfuse and a trace
# (--prefetch), with nbdfuse without one, and with nbd-client and the kernel's driver. Same image, same machine (QEMU), in turns.
#
#   NBDFUSE=PROGRAM tests/bench-boot.sh [ROUNDS]
#
# Prints one line per boot and the ratios of the medians. Needs root, QEMU, nbdkit, nbd-client, and what debian-root.sh needs.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/common.sh
. "$HERE/lib/common.sh"

readonly ROUNDS=${1:-3}
readonly DELAY=${BENCH_DELAY:-20ms}
readonly MARK='BENCH multi-user'
GUEST=$("$HERE/lib/vm.sh")
IMAGE=$("$HERE/lib/debian-root.sh")
RELEASE=$(cat "$GUEST/release")
WORK=$(mktemp -d)
readonly GUEST IMAGE RELEASE WORK
SERVER=
MACHINE=

clean_up() {
    local pid
    for pid in $MACHINE $SERVER; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$WORK"
}

# Each boot writes to a layer of its own: the image stays as it is. The delay comes before it, as it cuts reads into blocks of 64 KiB.
start_server() {
    rm -f "$WORK/port"
    nbdkit -f -P "$WORK/pid" -i 127.0.0.1 -p "$PORT" --filter=delay --filter=cow file "$WORK/disk" rdelay="$1" &
    SERVER=$!
    until [[ -s $WORK/pid ]]; do sleep 0.1; done
}

stop_server() {
    kill "$SERVER"
    wait "$SERVER" || true
    SERVER=
    rm -f "$WORK/pid"
}

# Prints milliseconds from power-on to the mark, and pulls the plug.
boot() {
    local initramfs=$1 arguments=$2 kernel=$GUEST/vmlinux mark=${4:-$MARK} begin
    [[ -e $kernel ]] || kernel=$GUEST/vmlinuz
    start_server "$3"
    : >"$WORK/console"
    begin=$(date +%s%3N)
    qemu-system-x86_64 -nodefaults -display none -no-reboot -machine pc -accel tcg -cpu max,-cx16 -smp 1 -m 512 \
        -kernel "$kernel" -initrd "$initramfs" -serial "file:$WORK/console" \
        -append "console=ttyS0 loglevel=4 panic=-1 net.ifnames=0 mitigations=off rw ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off $arguments" \
        -netdev user,id=network -device virtio-net-pci,netdev=network,romfile= </dev/null 2>"$WORK/qemu" &
    MACHINE=$!
    until grep -aq "$mark" "$WORK/console"; do
        sleep 0.1
        if (($(date +%s%3N) - begin > 400000)) || ! kill -0 "$MACHINE" 2>/dev/null; then
            cat "$WORK/console" "$WORK/qemu" >&2
            die "the machine did not come up"
        fi
    done
    echo $(($(date +%s%3N) - begin))
    kill "$MACHINE"
    wait "$MACHINE" || true
    MACHINE=
    cp "$WORK/console" "$WORK/console.last"
    stop_server
}

# The smallest initramfs by which nbd-client can mount a root: nothing in it that only costs time.
make_nbd_client_initramfs() {
    local tree=$WORK/client module library
    mkdir -p "$tree"/{bin,dev,proc,sys,run,root,lib/modules}
    cp "$GUEST/busybox" "$tree/bin/busybox"
    cp "$(command -v nbd-client)" "$tree/bin/nbd-client"
    for library in $(ldd "$(command -v nbd-client)" | grep -o '/[^ ]*'); do
        mkdir -p "$tree${library%/*}"
        cp -L "$library" "$tree$library"
    done
    for module in virtio_net nbd ext4; do
        busybox_modules "$module"
    done >"$WORK/modules"
    awk '!seen[$0]++' "$WORK/modules" | while read -r module; do
        cp "$GUEST/modules/lib/modules/$RELEASE/$module" "$tree/lib/modules/"
        echo "${module##*/}"
    done >"$tree/lib/modules/order"
    cat >"$tree/init" <<'EOF'
#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=0755 tmpfs /run
while read -r module; do insmod "/lib/modules/$module"; done </lib/modules/order
port=$(sed 's/.*benchport=\([0-9]*\).*/\1/' /proc/cmdline)
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
mkdir -p /run/systemd/network
printf '[Match]\nName=e*\n\n[Link]\nUnmanaged=yes\n' >/run/systemd/network/00-root.network
until nbd-client 10.0.2.2 "$port" /dev/nbd0 -b 512 -systemd-mark; do sleep 0.1; done
until [ "$(cat /sys/block/nbd0/size)" -gt 0 ]; do sleep 0.1; done
mount -t ext4 /dev/nbd0 /root
for place in dev proc sys run; do mount -o move /$place /root/$place; done
exec switch_root /root /sbin/init </root/dev/console >/root/dev/console 2>&1
EOF
    chmod 755 "$tree/init"
    (cd "$tree" && find . | "$GUEST/busybox" cpio -o -H newc 2>/dev/null | gzip -6) >"$WORK/client.img"
}

# Files of a module and of those that it needs, in the order in which they are loaded.
busybox_modules() {
    local dep=$GUEST/modules/lib/modules/$RELEASE/modules.dep line
    line=$(grep "/$1\.ko:" "$dep") || return 0
    tr ' ' '\n' <<<"${line#*:}" | tac | grep . || true
    echo "${line%%:*}"
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

main() {
    local round kind trace=$WORK/trace
    find_program nbd-client >/dev/null || die "there is no nbd-client"
    [[ -x ${NBDFUSE:-} ]] || die "give the program by NBDFUSE=PATH"
    trap clean_up EXIT
    PORT=$((20000 + RANDOM % 20000))
    cp --sparse=always "$IMAGE" "$WORK/disk"
    # The trace goes to the console, as the disk of that boot is thrown away.
    debugfs -R "dump /etc/report.sh $WORK/report.sh" "$WORK/disk" 2>/dev/null
    {
        echo "echo '$MARK'"
        echo 'if grep -q nbdfuse.record /proc/cmdline; then sleep 7; echo "TRACE-BEGIN"; base64 /run/nbdfuse.trace; echo "TRACE-END"; fi'
        cat "$WORK/report.sh"
    } >"$WORK/report.new"
    debugfs -w -R 'rm /etc/report.sh' "$WORK/disk" 2>/dev/null
    debugfs -w -R "write $WORK/report.new /etc/report.sh" "$WORK/disk" 2>/dev/null
    make_nbd_client_initramfs
    "$NBDFUSE" initramfs -o "$WORK/plain.img" --modules "$GUEST/modules/lib/modules/$RELEASE" --busybox "$GUEST/busybox" >&2
    boot "$WORK/plain.img" "nbdfuse=nbd://10.0.2.2:$PORT nbdfuse.record" 0 TRACE-END >/dev/null
    tr -d '\r' <"$WORK/console.last" | sed -n '/TRACE-BEGIN/,/TRACE-END/p' | grep -v TRACE- | base64 -d >"$trace"
    "$NBDFUSE" initramfs -o "$WORK/prefetch.img" --modules "$GUEST/modules/lib/modules/$RELEASE" --busybox "$GUEST/busybox" --prefetch "$trace" >&2
    for ((round = 1; round <= ROUNDS; round++)); do
        for kind in ${BENCH_KINDS:-client prefetch plain}; do
            case $kind in
                client) boot "$WORK/client.img" "benchport=$PORT" "$DELAY" ;;
                *) boot "$WORK/$kind.img" "nbdfuse=nbd://10.0.2.2:$PORT" "$DELAY" ;;
            esac >"$WORK/ms"
            tee -a "$WORK/$kind.ms" <"$WORK/ms" | sed "s/^/$kind /"
        done
    done
    for kind in prefetch plain; do
        [[ -s $WORK/$kind.ms ]] || continue
        awk -v kind=$kind -v own="$(median <"$WORK/$kind.ms")" -v other="$(median <"$WORK/client.ms")" \
            'BEGIN { printf "%s/client %.2f (medians %d and %d ms)\n", kind, own / other, own, other }'
    done
}

main
