#!/usr/bin/env bash
# Measures nbdfuse beside its peers: one NBD server, every engine mounted on it at the same time, fio runs
# interleaved over the engines, medians, ratios, CPU per operation, memory. docs/PERFORMANCE.md explains the numbers.
set -u -o pipefail
export LC_ALL=C
# shellcheck source=lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/packages.sh
. "$REPO/tests/lib/packages.sh"
lib=$REPO/tests/lib

usage() {
    cat <<'USAGE'
usage: tests/bench.sh [options]
  --quick              3 repetitions of 1 s, depths 1 and 32 at 4 KiB only (about 4 minutes)
  --full               every block size at depths 1 2 4 8 16 32 (about 45 minutes)
  --engines LIST       of ours,nbdfuse,qsd,ceiling (default: these; with --compare: a,b), loop,peerloop
  --loop               loop devices instead (as root): ours,loop,peerloop at 4 KiB and depth 32, which are a file, 'attach', and
                       a loop device on the file of libnbd's nbdfuse
  --cells LIST         e.g. rr4k32,rw4k32,r128k8,w1m4: (rr|rw|r|w) = random read, random write, sequential read,
                       sequential write; then block size; then depth. Also br = sequential read through the page cache,
                       hr = random read of a hot set of 4 MiB, zr = random read of 256 MiB with zipf's distribution,
                       sr = hr while another reader goes through the whole export
  --latency MS         a server that answers each request after so many milliseconds; cells br128k1,hr4k32,zr4k32,sr4k32
  --rate MBIT          a server that answers at so many Mbit/s; cells br128k1,r128k8. Both: an export of 8G that is not filled
  --reps N             repetitions per cell and engine (default 5)
  --seconds S          measured seconds of each run, after 0.5 s of ramp (default 2)
  --retries N          repeat up to N rounds per cell that other processes disturbed (default 0)
  --size SIZE          size of the export (default 1G), kept in memory by nbdkit
  --tcp                TCP on 127.0.0.1 instead of a unix socket
  --ours-args "ARGS"   extra arguments for our nbdfuse
  --compare "A" "B"    two builds of nbdfuse (each a path, arguments may follow) as engines a and b; ratios are B/A
  --markdown FILE      write the tables into FILE, between <!-- bench:start --> and <!-- bench:end -->, with --loop, --latency,
                       --rate between <!-- bench-loop:start --> and <!-- bench-loop:end --> and so on
  --raw FILE           keep every sample as tab-separated values
  --from FILE          measure nothing, report from such a file
  --strict             exit 1 when a bar is missed or could not be judged
  -h, --help
Our binary: $NBDFUSE_BIN, or artifacts/publish/nbdfuse (built when missing). libnbd's: $NBDFUSE_PEER, or /usr/bin/nbdfuse.
Runs as any user who may open /dev/fuse. Installs missing peers by apt.
USAGE
}

fail() { printf 'bench: %s\n' "$*" >&2; exit 2; }
warn() { printf '\n*** WARNING: %s ***\n\n' "$*" >&2; }
say() { printf '%s\n' "$*" >&2; }

quick='' full='' loop='' engines='' cells='' reps='' seconds='' retries=0 size='' tcp='' latency='' rate='' ours_args='' markdown='' raw='' from='' strict=''
compare=()
while [ $# -gt 0 ]; do
    case $1 in
        --engines|--cells|--reps|--seconds|--retries|--size|--latency|--rate|--ours-args|--markdown|--raw|--from)
            [ $# -ge 2 ] || fail "$1 needs a value"
            name=${1#--}
            printf -v "${name//-/_}" %s "$2"
            shift 2 ;;
        --quick|--full|--loop|--tcp|--strict) printf -v "${1#--}" 1; shift ;;
        --compare)
            [ $# -ge 3 ] || fail "--compare needs two builds"
            compare=("$2" "$3")
            shift 3 ;;
        -h|--help) usage; exit 0 ;;
        *) usage >&2; fail "unknown option $1" ;;
    esac
done

reps=${reps:-$([ "$quick" ] && echo 3 || echo 5)}
seconds=${seconds:-$([ "$quick" ] && echo 1 || echo 2)}
[[ $reps =~ ^[1-9][0-9]*$ ]] || fail "--reps: not a positive number: $reps"
[[ $retries =~ ^[0-9]+$ ]] || fail "--retries: not a number: $retries"
[[ $seconds =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "--seconds: not a number: $seconds"
[[ -z $latency || $latency =~ ^[1-9][0-9]{0,3}$ ]] || fail "--latency: not a number of milliseconds: $latency"
[[ -z $rate || $rate =~ ^[1-9][0-9]{0,5}$ ]] || fail "--rate: not a number of Mbit/s: $rate"
# A slow server: larger than what a run reads, so that nothing is read twice, and never written.
size=${size:-$([ "$latency$rate" ] && echo 8G || echo 1G)}

if [ -z "$cells" ]; then
    if [ "$full" ]; then
        for block in rr4k rw4k r128k w128k r1m w1m; do
            for depth in 1 2 4 8 16 32; do cells+=${cells:+,}$block$depth; done
        done
    elif [ "$latency" ]; then
        cells=br128k1,hr4k32,zr4k32,sr4k32
    elif [ "$rate" ]; then
        cells=br128k1,r128k8
    elif [ "$loop" ]; then
        cells=rr4k1,rr4k32,rw4k32,r128k8
    elif [ "$quick" ]; then
        cells=rr4k1,rr4k32,rw4k1,rw4k32,r128k8,w128k8,r1m4,w1m4
    else
        cells=rr4k1,rr4k8,rr4k32,rw4k1,rw4k8,rw4k32,r128k8,w128k8,r1m4,w1m4
    fi
fi
IFS=, read -ra cell_list <<<"$cells"
for cell in "${cell_list[@]}"; do
    [[ $cell =~ ^(rr|rw|r|w|br|hr|zr|sr)[0-9]+[km][0-9]+$ ]] || fail "--cells: not a cell: $cell (e.g. rr4k32)"
done

if [ ${#compare[@]} -gt 0 ]; then
    engines=${engines:-a,b}
    subject=b
elif [ "$loop" ]; then
    engines=${engines:-ours,loop,peerloop}
    subject=loop
else
    engines=${engines:-ours,nbdfuse,qsd,ceiling}
    subject=ours
fi
IFS=, read -ra engine_list <<<"$engines"

# shellcheck source=lib/bench-engines.sh
. "$lib/bench-engines.sh"
# shellcheck source=lib/bench-measure.sh
. "$lib/bench-measure.sh"

report() { awk -F '\t' -v subject="$subject" -v section="$1" -v latency="$latency" -v mbit="$rate" -f "$lib/bench-report.awk" "$samples"; }

# What the numbers depend on, for whoever reads them elsewhere.
environment() {
    local model
    model=$(awk -F ': *' '/^model name/ { print $2; exit }' /proc/cpuinfo)
    printf 'Machine: %s x %s, %s GiB, Linux %s. ' "$(nproc)" "${model:-$(uname -m)}" \
        "$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo)" "$(uname -r)"
    printf 'nbdkit %s, libnbd %s, QEMU %s, %s. ' "$(nbdkit --version | awk '{ print $2; exit }')" \
        "$("$peer_bin" --version 2>/dev/null | awk '/^libnbd/ { print $2; exit }')" \
        "$(qemu-storage-daemon --version 2>/dev/null | awk '{ print $3; exit }')" "$(fio --version)"
    printf '%s, export of %s in memory%s%s, %s repetitions of %s s. ' "$([ "$tcp" ] && echo 'TCP 127.0.0.1' || echo 'Unix socket')" \
        "$size" "${latency:+, answers after $latency ms}" "${rate:+, answers at $rate Mbit/s}" "$reps" "$seconds"
    printf 'Commit %s, %s.\n' "$(git -C "$REPO" describe --always --dirty 2>/dev/null || echo unknown)" "$(date -u +%Y-%m-%d)"
}

# Replaces what stands between the markers, and nothing else. Loop devices have markers of their own.
write_markdown() {
    local file=$1 text=$2 marker=bench${loop:+-loop}${latency:+-latency}${rate:+-rate}
    if [ ! -e "$file" ]; then
        printf '<!-- %s:start -->\n<!-- %s:end -->\n' "$marker" "$marker" >"$file" || return 1
    fi
    if ! grep -q "^<!-- $marker:start -->" "$file" || ! grep -q "^<!-- $marker:end -->" "$file"; then
        say "bench: $file has no <!-- $marker:start --> and <!-- $marker:end --> lines: left as it is"
        return 1
    fi
    awk -v text="$text" -v marker="$marker" '
        index($0, "<!-- " marker ":end -->") == 1 { skip = 0 }
        !skip { print }
        index($0, "<!-- " marker ":start -->") == 1 {
            print ""; while ((getline line < text) > 0) print line; print ""
            skip = 1
        }' "$file" >"$text.new" && cat "$text.new" >"$file"
}

finish() {
    local text=$work/report bars
    bars=$(report bars)
    { cat "$work/environment"; echo; report tables; [ -z "$bars" ] || printf "%s\n\n" "$bars"; report noise; } >"$text"
    cat "$text"
    if [ "$markdown" ]; then
        write_markdown "$markdown" "$text" || exit 2
    fi
    if [ "$strict" ]; then
        case $bars in
            *'- MISS'*|*'- N/A'*) exit 1 ;;
            *'- PASS'*) ;;
            *) say 'bench: --strict, but no bar applies to these cells'; exit 1 ;;
        esac
    fi
    exit 0
}

work=$(mktemp -d "${TMPDIR:-/tmp}/nbdfuse-bench.XXXXXX") && work=$(realpath "$work") || exit 2 # as mountinfo spells it
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
samples=$work/samples.tsv

if [ "$from" ]; then
    [ -r "$from" ] || fail "cannot read $from"
    grep -v '^#' "$from" >"$samples"
    sed -n 's/^# //p' "$from" >"$work/environment"
    finish
fi

need_tools
idle_check
start_server
mounted=()
for engine in "${engine_list[@]}"; do
    if start_engine "$engine"; then mounted+=("$engine"); fi
done
[ ${#mounted[@]} -gt 0 ] || fail 'no engine could be started'
environment >"$work/environment"
[ "$latency$rate" ] || prefill
for engine in "${mounted[@]}"; do warm_up "$engine"; done

per_round=$(awk -v s="$seconds" -v n=${#mounted[@]} 'BEGIN { printf "%.0f", (s + 1.2) * n }')
say "bench: ${#cell_list[@]} cells x $reps rounds x ${#mounted[@]} engines (${mounted[*]}): about $((${#cell_list[@]} * reps * per_round / 60 + 1)) minutes"
for cell in "${cell_list[@]}"; do
    kept=0
    for ((round = 1; kept < reps; round++)); do
        rows=() disturbed=''
        # Each round starts with another engine, so that none always follows the same neighbour.
        for ((i = 0; i < ${#mounted[@]}; i++)); do
            sample "$cell" "$round" "${mounted[(i + round - 1) % ${#mounted[@]}]}"
        done
        if [ "$disturbed" ] && [ $((round - kept)) -le "$retries" ]; then
            say "bench: $cell round $round disturbed by other processes: repeated"
            continue
        fi
        kept=$((kept + 1))
        printf '%s\n' "${rows[@]}" >>"$samples"
    done
    say "bench: $cell $(awk -F '\t' -v cell="$cell" -v subject="$subject" -v section=line -f "$lib/bench-report.awk" "$samples")"
done
if [ "$raw" ]; then
    { sed 's/^/# /' "$work/environment"; cat "$samples"; } >"$raw" || say "bench: could not write $raw"
fi
echo
finish
