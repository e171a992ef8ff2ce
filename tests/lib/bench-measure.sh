# Part of tests/bench.sh: one fio run on one engine, with what the processes used meanwhile.
# Uses: work, uri, mounted, pid_of[], file_of[], server_pid, seconds. Sets: rows, disturbed.
# shellcheck shell=bash disable=SC2154,SC2034

ramp_ms=500
noise_limit=15 # percent of the machine used by processes that are not part of the run
ticks_per_second=$(getconf CLK_TCK)
cpus=$(nproc)
fio_pid=''

# CPU time of a process, its threads and its children, in ticks, into the variable named $1. A keeper's worker counts.
cpu_of() {
    local -n out=$1
    local stat fields children child below
    out=0
    { read -r stat <"/proc/$2/stat"; } 2>/dev/null || return 0
    read -ra fields <<<"${stat##*) }"
    out=$((fields[11] + fields[12] + fields[13] + fields[14]))
    for children in "/proc/$2/task/"*/children; do
        { read -ra children <"$children"; } 2>/dev/null
        for child in ${children[@]+"${children[@]}"}; do
            [[ $child =~ ^[0-9]+$ ]] || continue
            below=$(cpu_of total "$child"; echo "$total")
            out=$((out + below))
        done
    done
}

# CPU time of the children that this shell has waited for: fio's.
cpu_of_children() {
    local -n out=$1
    local stat fields
    read -r stat <"/proc/$$/stat"
    read -ra fields <<<"${stat##*) }"
    out=$((fields[13] + fields[14]))
}

# Busy and stolen time of all processors, in ticks.
cpu_of_machine() {
    local -n out=$1
    local f
    read -ra f </proc/stat
    out=$((f[1] + f[2] + f[3] + f[6] + f[7] + f[8]))
}

# Peak resident memory in KiB since the last reset. Shared mappings count: the request buffers live in one.
peak_memory() {
    local -n out=$1
    out=$(awk '/^VmHWM/ { print $2 }' "/proc/$2/status" 2>/dev/null)
    out=${out:-0}
}

reset_peak_memory() { { echo 5 >"/proc/$1/clear_refs"; } 2>/dev/null || true; }

# Says so when the machine is not ours alone: the numbers would be those of the neighbours.
idle_check() {
    local before after load busy
    cpu_of_machine before
    sleep 1
    cpu_of_machine after
    busy=$(((after - before) * 100 / (ticks_per_second * cpus)))
    read -r load _ </proc/loadavg
    if [ "$busy" -ge "$noise_limit" ]; then
        warn "this machine is $busy % busy before anything was started (load $load on $cpus CPUs): do not trust single numbers"
    elif awk -v load="$load" -v cpus="$cpus" 'BEGIN { exit !(load > cpus / 2) }'; then
        say "bench: load average $load on $cpus CPUs: something ran here a moment ago; watch the report's noise figures"
    fi
}

# $1: engine, the rest: fio options. Runs in this shell's child, so that its CPU time is ours to read.
run_fio() {
    local engine=$1 target also=()
    shift
    if [ "$engine" = ceiling ]; then
        target=(--ioengine=nbd "--uri=$uri")
    elif [ "${1:-}" = buffered ]; then
        target=(--ioengine=psync --direct=0 "--filename=${file_of[$engine]}" --allow_file_create=0)
    else
        target=(--ioengine=libaio --direct=1 "--filename=${file_of[$engine]}" --allow_file_create=0)
    fi
    case ${1:-} in
        buffered) shift ;;
        # Another reader goes through all of it; what is measured comes first.
        scanned) shift; also=(--name=scan "${target[@]}" --time_based --rw=read --bs=32k --iodepth=4 "${!#}") ;;
    esac
    fio --name=bench "${target[@]}" --norandommap --randrepeat=0 --time_based "$@" --output-format=terse --terse-version=3 \
        --output="$work/fio.out" ${also[@]+"${also[@]}"} </dev/null >"$work/fio.log" 2>&1 &
    fio_pid=$!
    wait "$fio_pid"
    local status=$?
    fio_pid=''
    return $status
}

# The first second of an engine's life (JIT, lazily touched buffers, first connections) is not measured.
warm_up() {
    run_fio "$1" --rw=randrw --bs=4k --iodepth=32 --runtime=1 ||
        fail "$1 fails: $(tail -n 3 "$work/fio.log" | tr '\n' ' ')"
}

# The workers of a loop device are the kernel's, and look like other processes: what is foreign is told by the other engines.
# One run of cell $1, round $2, on engine $3: appends a line to rows; columns in bench-report.awk.
sample() {
    local cell=$1 round=$2 engine=$3 mode block depth runtime_ms pid how=() where=()
    local engine0=0 engine1=0 server0 server1 fio0 fio1 machine0 machine1 memory=0 started ended row
    [[ $cell =~ ^(rr|rw|r|w|br|hr|zr|sr)([0-9]+[km])([0-9]+)$ ]]
    case ${BASH_REMATCH[1]} in rr) mode="randread" ;; rw) mode="randwrite" ;; r) mode="read" ;; w) mode="write" ;;
        br) mode="read" how=(buffered) ;;
        hr) mode="randread" where=(--size=4m) ;;
        zr) mode="randread" where=(--size=256m --random_distribution=zipf:1.1) ;;
        sr) mode="randread" how=(scanned) where=(--size=4m) ;;
    esac
    block=${BASH_REMATCH[2]} depth=${BASH_REMATCH[3]}
    runtime_ms=$(awk -v s="$seconds" 'BEGIN { printf "%d", s * 1000 }')
    pid=${pid_of[$engine]:-}
    if [ "$pid" ]; then
        ! died "$pid" "$engine" "$work/$engine.log" || fail 'an engine died: no result'
        reset_peak_memory "$pid"
        cpu_of engine0 "$pid"
    fi
    cpu_of server0 "$server_pid"
    cpu_of_children fio0
    cpu_of_machine machine0
    started=${EPOCHREALTIME/./}
    # The ceiling has no page cache: as many requests as hide the latency.
    [ "$engine:${how[*]}" != ceiling:buffered ] || depth=64
    run_fio "$engine" ${how[@]+"${how[@]}"} --rw="$mode" --bs="$block" --iodepth="$depth" ${where[@]+"${where[@]}"} \
        --ramp_time="${ramp_ms}ms" --runtime="${runtime_ms}ms" ||
        fail "fio on $engine, $cell: $(tail -n 3 "$work/fio.log" | tr '\n' ' ')"
    ended=${EPOCHREALTIME/./}
    cpu_of_machine machine1
    cpu_of_children fio1
    cpu_of server1 "$server_pid"
    if [ "$pid" ]; then
        cpu_of engine1 "$pid"
        peak_memory memory "$pid"
    fi
    # fio's terse line: 41 fields for reads from the 6th on, then the same for writes. Its counters leave the ramp out,
    # the CPU times do not: operations are scaled to both.
    row=$(awk -F ';' -v OFS='\t' -v write="$([[ $mode = *write ]] && echo 1 || echo 0)" -v cell="$cell" -v round="$round" \
        -v engine="$engine" -v tick_us=$((1000000 / ticks_per_second)) -v ramp="$ramp_ms" -v engine_ticks=$((engine1 - engine0)) \
        -v server_ticks=$((server1 - server0)) -v fio_ticks=$((fio1 - fio0)) -v machine_ticks=$((machine1 - machine0)) \
        -v wall_us=$((ended - started)) -v cpus="$cpus" -v memory="$memory" '
        function percentile(p,    i, part) {
            for (i = o + 12; i < o + 32; i++) { split($i, part, "%="); if (part[1] + 0 == p) return part[2] }
            return 0
        }
        $1 == 3 && $3 == "bench" && $5 == 0 {
            o = write ? 47 : 6
            iops = $(o + 2); ops = iops * ($(o + 3) + ramp) / 1000
            if (ops <= 0) next
            foreign = 100 * (machine_ticks - engine_ticks - server_ticks - fio_ticks) * tick_us / (wall_us * cpus)
            print cell, round, engine, iops, $(o + 1) / 1024, percentile(50), percentile(99), engine_ticks * tick_us / ops,
                server_ticks * tick_us / ops, fio_ticks * tick_us / ops, memory, foreign < 0 || engine ~ /loop/ ? 0 : foreign
        }' "$work/fio.out")
    [ "$row" ] || fail "no result from fio on $engine, $cell: $(tail -n 3 "$work/fio.log" "$work/fio.out" | tr '\n' ' ')"
    rows+=("$row")
    [ "$(awk -F '\t' -v limit="$noise_limit" '{ print ($12 > limit) }' <<<"$row")" = 0 ] || disturbed=1
}
