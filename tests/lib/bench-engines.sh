# Part of tests/bench.sh: the NBD server, the engines that are mounted on it, and their end.
# Uses: work, size, tcp, latency, rate, ours_args, compare, engine_list. Sets: server_pid, uri, peer_bin, pid_of[], file_of[].
# shellcheck shell=bash disable=SC2154,SC2034

declare -A pid_of=() file_of=()
server_pid=''
peer_loop=''
peer_bin=${NBDFUSE_PEER:-/usr/bin/nbdfuse}
ours_bin=${NBDFUSE_BIN:-$PUBLISH_DIR/nbdfuse}

need_tools() {
    local engine entry programs=("nbdkit nbdkit" "fio fio" "fusermount3 fuse3") missing=''
    for engine in "${engine_list[@]}"; do
        case $engine in
            nbdfuse|peerloop) [ "$peer_bin" != /usr/bin/nbdfuse ] || programs+=("$peer_bin libnbd-bin") ;;
            loop) ;;
            qsd) programs+=("qemu-storage-daemon qemu-system-common") ;;
            ours|ceiling) ;;
            a|b) [ ${#compare[@]} -gt 0 ] || fail "engine $engine needs --compare" ;;
            *) fail "unknown engine $engine" ;;
        esac
    done
    install_missing "${programs[@]}" >&2 || warn 'apt-get failed'
    for entry in "${programs[@]}"; do
        command -v "${entry% *}" >/dev/null || missing+=" ${entry#* }"
    done
    [ -z "$missing" ] || fail "missing packages:$missing"
    if [[ " ${engine_list[*]} " == *loop\ * ]]; then
        [ "$(id -u)" -eq 0 ] || fail 'loop devices need root'
        programs=("losetup mount")
        install_missing "${programs[@]}" >&2 || fail 'missing package: mount'
    fi
    prepare_fuse_device
    if [ ! -r /dev/fuse ] || [ ! -w /dev/fuse ]; then fail '/dev/fuse is missing or not accessible: run as root'; fi
    if [[ " ${engine_list[*]} " == *' ours '* || " ${engine_list[*]} " == *' loop '* ]] && [ ! -x "$ours_bin" ]; then
        [ -z "${NBDFUSE_BIN:-}" ] || fail "NBDFUSE_BIN is not executable: $NBDFUSE_BIN"
        say "bench: building $ours_bin"
        if ! (publish_program) >"$work/publish.log" 2>&1; then
            tail -n 20 "$work/publish.log" >&2
            warn 'our nbdfuse could not be built: measuring the others only'
        fi
    fi
}

# $1: pid, $2: what it is, $3: its log.
died() {
    kill -0 "$1" 2>/dev/null && return 1
    warn "$2 ended: $(tail -n 3 "$3" | tr '\n' ' ')"
}

start_server() {
    local log=$work/nbdkit.log tries try filters=() delays=()
    if [ "$latency" ]; then
        filters+=(--filter=delay)
        delays+=("rdelay=${latency}ms" "wdelay=${latency}ms")
    fi
    if [ "$rate" ]; then
        # Without a burst to speak of: what a link delivers in the first seconds is what it delivers later.
        filters+=(--filter=rate)
        delays+=("rate=${rate}M" burstiness=0.1)
    fi
    for ((tries = 0; tries < 20; tries++)); do
        if [ "$tcp" ]; then
            # nbdkit of Debian 12 cannot report a port that the kernel chose: try random ones.
            port=$((20000 + RANDOM % 12000))
            uri=nbd://127.0.0.1:$port
            nbdkit -f -P "$work/nbdkit.pid" -i 127.0.0.1 -p "$port" ${filters[@]+"${filters[@]}"} memory size="$size" \
                ${delays[@]+"${delays[@]}"} >"$log" 2>&1 &
        else
            uri="nbd+unix:///?socket=$work/nbd.sock"
            nbdkit -f -P "$work/nbdkit.pid" -U "$work/nbd.sock" ${filters[@]+"${filters[@]}"} memory size="$size" \
                ${delays[@]+"${delays[@]}"} >"$log" 2>&1 &
        fi
        server_pid=$!
        for ((try = 0; try < 100; try++)); do
            [ -s "$work/nbdkit.pid" ] && break 2
            kill -0 "$server_pid" 2>/dev/null || break
            sleep 0.05
        done
        wait_gone "$server_pid"
        server_pid=''
        [ "$tcp" ] || break
    done
    [ "$server_pid" ] || fail "nbdkit did not start: $(tail -n 3 "$log" | tr '\n' ' ')"
    bytes=$(numfmt --from=iec "$size") || fail "--size: not a size: $size"
}

# Starts one engine and waits until its file has the size of the export. Returns 1, with a warning, if it does not come up.
start_engine() {
    local engine=$1 file=$work/$1.img log=$work/$1.log command=() extra=() try server
    case $engine in
        ceiling)
            if ! fio --enghelp 2>/dev/null | grep -qw nbd; then
                warn "this fio has no nbd engine: no ceiling"
                return 1
            fi
            return 0 ;;
        ours)
            [ -x "$ours_bin" ] || { warn "no binary at $ours_bin: ours is not measured"; return 1; }
            read -ra extra <<<"$ours_args"
            command=("$ours_bin" ${extra[@]+"${extra[@]}"} "$file" "$uri") ;;
        a|b)
            local build=${compare[0]}
            [ "$engine" = a ] || build=${compare[1]}
            if [ -x "$build" ]; then command=("$build"); else read -ra command <<<"$build"; fi
            command -v "${command[0]}" >/dev/null || fail "--compare: not executable: ${command[0]}"
            read -ra extra <<<"$ours_args"
            command+=(${extra[@]+"${extra[@]}"} "$file" "$uri") ;;
        nbdfuse|peerloop) command=("$peer_bin" "$file" "$uri") ;;
        loop)
            [ -x "$ours_bin" ] || { warn "no binary at $ours_bin: loop is not measured"; return 1; }
            start_attach "$file" "$log"
            return ;;
        qsd)
            server=server.type=unix,server.path=$work/nbd.sock
            [ -z "$tcp" ] || server=server.type=inet,server.host=127.0.0.1,server.port=$port
            command=(qemu-storage-daemon --blockdev "driver=nbd,node-name=n,$server,export="
                --export "type=fuse,id=e,node-name=n,mountpoint=$file,writable=on") ;;
    esac
    : >"$file"
    file_of[$engine]=$file
    "${command[@]}" </dev/null >"$log" 2>&1 &
    pid_of[$engine]=$!
    for ((try = 0; try < 300; try++)); do
        if [ "$(stat -c %s "$file" 2>/dev/null)" = "$bytes" ]; then
            [ "$engine" != peerloop ] || put_loop_over "$file"
            return
        fi
        died "${pid_of[$engine]}" "$engine" "$log" && return 1
        sleep 0.05
    done
    warn "$engine did not mount within 15 s: $(tail -n 3 "$log" | tr '\n' ' ')"
    return 1
}

# $1: the engine's name in the work directory, $2: its log. In the foreground, so that it is our child like the others.
start_attach() {
    local try
    NBDFUSE_RUNTIME_DIR=$work/run "$ours_bin" attach --driver fuse --foreground "$uri" </dev/null >"$1.device" 2>"$2" &
    pid_of[loop]=$!
    for ((try = 0; try < 300; try++)); do
        file_of[loop]=$(cat "$1.device")
        [ -z "${file_of[loop]}" ] || return 0
        died "${pid_of[loop]}" loop "$2" && break
        sleep 0.05
    done
    unset 'file_of[loop]'
    warn 'attach had no device within 15 s'
    return 1
}

# $1: the file of libnbd's nbdfuse. With direct I/O if it takes it, as our own has.
put_loop_over() {
    peer_loop=$(losetup --find --show --direct-io=on "$1" 2>/dev/null) || peer_loop=$(losetup --find --show "$1") || {
        warn 'no loop device for the peer'
        return 1
    }
    file_of[peerloop]=$peer_loop
}

# The first write to a page of nbdkit's memory costs a page fault, and a read of an unwritten one costs none:
# fill all of it, so that neither is measured.
prefill() {
    local target=() engine
    if [[ " ${mounted[*]} " == *' ceiling '* ]]; then
        target=(--ioengine=nbd "--uri=$uri")
    else
        engine=${mounted[0]}
        target=(--ioengine=libaio --direct=1 "--filename=${file_of[$engine]}")
    fi
    fio --name=prefill "${target[@]}" --rw=write --bs=1m --iodepth=4 --size="$bytes" --output="$work/prefill.log" \
        >/dev/null 2>"$work/prefill.err" || fail "prefill failed: $(tail -n 3 "$work/prefill.err" | tr '\n' ' ')"
}

# Ends a child of ours, by force if it does not listen within 3 s. Lets it finish first if it already does.
wait_gone() {
    local try
    for ((try = 0; try < 60; try++)); do
        kill -0 "$1" 2>/dev/null || break
        [ "$try" -ne 5 ] || kill -TERM "$1" 2>/dev/null
        sleep 0.05
    done
    kill -KILL "$1" 2>/dev/null
    wait "$1" 2>/dev/null
    return 0
}

clean_up() {
    local engine file
    trap - EXIT
    trap '' INT TERM HUP
    [ -z "${fio_pid:-}" ] || kill -TERM "$fio_pid" 2>/dev/null
    # Its file is free only without the loop device.
    [ -z "$peer_loop" ] || losetup --detach "$peer_loop"
    for engine in "${!file_of[@]}"; do
        file=${file_of[$engine]}
        [ "$engine" != peerloop ] || file=$work/peerloop.img
        grep -qF " $file " /proc/self/mountinfo || continue
        if [ "$(id -u)" -eq 0 ]; then umount -l "$file"; else fusermount3 -uz "$file"; fi
    done
    # An unmounted engine ends by itself; the server goes last, so that they can say goodbye to it.
    for engine in "${!pid_of[@]}"; do wait_gone "${pid_of[$engine]}"; done
    [ -z "$server_pid" ] || wait_gone "$server_pid"
    if grep -qF " $work/" /proc/self/mountinfo; then
        say "bench: something is still mounted under $work: left there"
    else
        rm -rf --one-file-system "$work"
    fi
}
