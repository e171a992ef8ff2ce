#!/usr/bin/env bash
# Measures files over TLS: this nbdfuse beside libnbd's, on one nbdkit with certificates.
# Usage: tests/bench-tls.sh [--program NBDFUSE] [--rounds N] [--seconds N]
# Rounds are interleaved, and the ratio is the median of the rounds' ratios: noise of the machine hits both alike.
# As root it runs as nobody: libnbd's nbdfuse takes certificates from the user's home only.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${NBDFUSE:-artifacts/publish/nbdfuse}
rounds=3
seconds=2
while (($# > 0)); do
    case $1 in
        --program) program=$2 ;;
        --rounds) rounds=$2 ;;
        --seconds) seconds=$2 ;;
        *) sed -n '2,5s/^# //p' "$0"; exit 1 ;;
    esac
    shift 2
done
program=$(realpath "$program")
peer=${PEER_NBDFUSE:-/usr/bin/nbdfuse}
for tool in nbdkit openssl fio fusermount3 "$peer" "$program"; do
    command -v "$tool" >/dev/null || { echo "bench-tls: there is no $tool" >&2; exit 1; }
done

work=$(mktemp -d)
chmod 755 "$work"
pids=()
user=()

# Root may not look at a user's file.
is_mounted() { grep -q " $1 " /proc/self/mountinfo; }

cleanup() {
    local pid file
    for file in "$work"/*.disk; do
        is_mounted "$file" && { "${user[@]}" fusermount3 -u "$file" || fusermount3 -u -z "$file"; } || true
    done
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$work"
}
trap cleanup EXIT

if ((EUID == 0)); then
    user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
pki=$work/home/.pki/libnbd
mkdir -p "$pki"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=bench" \
    -keyout "$pki/server-key.pem" -out "$pki/server-cert.pem" -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
cp "$pki/server-cert.pem" "$pki/ca-cert.pem"
nbdkit -f -U "$work/sock" -P "$work/pid" --tls=require --tls-certificates="$pki" memory 512M &
pids+=($!)
for _ in $(seq 100); do [[ -s $work/pid ]] && break; sleep 0.05; done
((EUID == 0)) && chown -R 65534:65534 "$work"

mount_one() { # NAME PROGRAM URI
    : >"$work/$1.disk"
    ((EUID == 0)) && chown 65534 "$work/$1.disk"
    "${user[@]}" env HOME="$work/home" "$2" "$work/$1.disk" "$3" &
    pids+=($!)
    for _ in $(seq 200); do is_mounted "$work/$1.disk" && [[ $("${user[@]}" stat -c %s "$work/$1.disk") -gt 0 ]] && return; sleep 0.05; done
    echo "bench-tls: $1 does not mount" >&2
    exit 1
}
mount_one ours "$program" "nbds+unix:///?socket=$work/sock&tls-hostname=localhost"
mount_one peer "$peer" "nbds+unix:///?socket=$work/sock"

run() { # NAME RW BS DEPTH
    "${user[@]}" fio --name=x --filename="$work/$1.disk" --rw="$2" --bs="$3" --iodepth="$4" --ioengine=libaio --direct=1 \
        --size=512M --time_based --runtime="$seconds" --ramp_time=0.5 --output-format=terse --terse-version=3 2>/dev/null \
        | awk -F';' '{print ($7 > 0 ? $7 : $48)}'
}

echo "load average: $(cut -d' ' -f1-3 /proc/loadavg); $(nproc) processors; $(nbdkit --version); $("$peer" --version)"
for cell in "read 1M 4 1.0" "write 1M 4 1.0" "read 128k 8 1.0" "randread 4k 32 1.5" "randwrite 4k 32 1.5"; do
    read -r rw bs depth bar <<<"$cell"
    for ((round = 1; round <= rounds; round++)); do
        echo "$(run ours "$rw" "$bs" "$depth") $(run peer "$rw" "$bs" "$depth")"
    done | awk -v cell="$rw $bs depth $depth" -v bar="$bar" '
        { ours[NR] = $1; peer[NR] = $2; ratio[NR] = $1 / ($2 > 0 ? $2 : 1) }
        function median(a, n,   i, j, t) {
            for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j] < a[j-1]; j--) { t = a[j]; a[j] = a[j-1]; a[j-1] = t }
            return a[int((n + 1) / 2)]
        }
        END { r = median(ratio, NR); printf "%s %-24s ours %8.1f MiB/s  libnbd %8.1f MiB/s  ratio %.2f, bar %.1f\n",
              (r >= bar ? "PASS" : "FAIL"), cell, median(ours, NR) / 1024, median(peer, NR) / 1024, r, bar }'
done
