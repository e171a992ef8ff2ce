# shellcheck shell=bash
# What the example scripts share: the program, a scratch directory, and leaving nothing behind. Sourced; needs common.sh.

# The clean-ups of an example, run in the opposite order, whatever ends it.
CLEANUPS=()

# on_exit COMMAND...
on_exit() {
    CLEANUPS+=("$(printf '%q ' "$@")")
}

clean_up() {
    local code=$? i
    trap - EXIT INT TERM HUP
    set +e
    for ((i = ${#CLEANUPS[@]} - 1; i >= 0; i--)); do
        eval "${CLEANUPS[i]}" 2>/dev/null
    done
    if ((code != 0 && code != 77)); then
        echo "FAILED with exit code $code; everything was cleaned up" >&2
    fi
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# step TEXT: a headline; proved TEXT: what was shown by it.
step() { printf '\n== %s\n' "$*"; }
proved() { printf '   proved: %s\n' "$*"; }
cannot() {
    printf 'cannot show this here: %s\n' "$*" >&2
    exit 77
}

# stop PID: asks a background process of this script to end, and waits for it.
stop() {
    kill "$1" && wait "$1"
    return 0
}

# detach_loop DEVICE FILE: only while the device still belongs to the file; a free device may be somebody else's by now.
detach_loop() {
    if [[ $(losetup --noheadings --output BACK-FILE "$1" 2>/dev/null) == "$2" ]]; then
        losetup --detach "$1"
    fi
}

# find_nbdfuse: sets NBDFUSE to the published program, which is made when NBDFUSE names none.
find_nbdfuse() {
    if [[ -n ${NBDFUSE:-} ]]; then
        return 0
    fi
    require_dotnet
    step "Building the program: one self-contained file (dotnet publish)"
    publish_program
    NBDFUSE=$PUBLISH_DIR/nbdfuse
    ls -l "$NBDFUSE"
}

# serve_memory SIZE: starts the embedded server on a unix socket in $SCRATCH; sets URI and SERVER.
serve_memory() {
    "$NBDFUSE" serve --unix "$SCRATCH/socket" --name disk --memory "$1" >"$SCRATCH/uri" &
    SERVER=$!
    on_exit stop "$SERVER"
    wait_for 30 test -s "$SCRATCH/uri" || die "the server did not start"
    URI=$(cat "$SCRATCH/uri")
}
