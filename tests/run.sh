#!/usr/bin/env bash
# Builds everything and runs all tests, on a machine that has the .NET 10 SDK and apt; installs what is missing.
#
#   tests/run.sh [--format] [SUITE...]
#
# SUITE: unit, fuzz, real-servers, mount, vm, examples; all of them by default. --format (or CI=true) also checks the source's format.
# NBDFUSE_REQUIRE: names of things (as the tests name them, separated by commas, or "all") that this machine must have: a
# test that lacks one fails instead of being skipped. Ends with the line "N passed, N failed, N skipped".
set -euo pipefail
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=tests/lib/packages.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/packages.sh"

readonly ALL_SUITES=(unit fuzz real-servers mount vm examples)
# What hostile bytes get in this run; tests/fuzz.sh takes longer.
readonly FUZZ_SECONDS=${FUZZ_SECONDS:-20}
readonly RESULTS=$REPO/artifacts/test-results
# A suite that hangs must not take the whole run with it.
readonly SUITE_SECONDS=${SUITE_SECONDS:-3000}

passed=0
failed=0
skipped=0
timings=()

usage() {
    sed -n '2,/^set -/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" | sed '$d'
}

project_of() {
    case $1 in
        unit) echo NbdFuse.UnitTests ;;
        real-servers) echo NbdFuse.RealServerTests ;;
        mount) echo NbdFuse.MountTests ;;
        vm) echo NbdFuse.VmTests ;;
    esac
}

# count NAME FILE: a number of the runner's last line, "Total: 5, Errors: 0, Failed: 1, Skipped: 2, Not Run: 0, Time: 1.0s".
count() {
    sed -n "s/.*Total: .*\<$1: \([0-9][0-9]*\).*/\1/p; s/.*\<$1: \([0-9][0-9]*\), Errors: .*/\1/p" "$2" | tail -n 1
}

# stage NAME COMMAND...: runs it, notes the seconds, passes its exit code on.
stage() {
    local name=$1 start=$SECONDS result=0
    shift
    say "$name"
    "$@" </dev/null || result=$?
    timings+=("$(printf '%-14s %4d s' "$name" $((SECONDS - start)))")
    return $result
}

run_suite() {
    local suite=$1 project log code=0 total failures skips
    project=$(project_of "$suite")
    log=$RESULTS/$suite.log
    timeout --kill-after=20 "$SUITE_SECONDS" "$REPO/tests/$project/bin/Release/net10.0/$project" -noColor >"$log" 2>&1 || code=$?
    cat "$log"
    total=$(count Total "$log")
    if [[ -z $total ]]; then
        echo "error: $suite ended with exit code $code and without a summary"
        failed=$((failed + 1))
        return 0
    fi
    failures=$(($(count Failed "$log") + $(count Errors "$log")))
    skips=$(count Skipped "$log")
    if ((code != 0 && failures == 0)); then
        echo "error: $suite ended with exit code $code although no test failed"
        failures=1
        total=$((total + 1))
    fi
    failed=$((failed + failures))
    skipped=$((skipped + skips))
    passed=$((passed + total - failures - skips))
}

run_fuzz() {
    local code=0
    # The same inputs each time: a failure belongs to the change, and new inputs are looked for by hand.
    NBDFUSE_FUZZ_SEED=${NBDFUSE_FUZZ_SEED:-1} \
        timeout --kill-after=20 "$SUITE_SECONDS" "$REPO/tests/fuzz.sh" "$FUZZ_SECONDS" >"$RESULTS/fuzz.log" 2>&1 || code=$?
    cat "$RESULTS/fuzz.log"
    if ((code == 0)); then
        passed=$((passed + 1))
    else
        echo "error: tests/fuzz.sh ended with exit code $code"
        failed=$((failed + 1))
    fi
}

run_examples() {
    local example code name
    for example in quickstart.sh non-root.sh boot.sh read-export; do
        name=example-$example
        code=0
        if [[ $example == *.sh ]]; then
            timeout --kill-after=20 300 "$REPO/examples/$example" >"$RESULTS/$name.log" 2>&1 || code=$?
        else
            read_export >"$RESULTS/$name.log" 2>&1 || code=$?
        fi
        sed 's/^/   /' "$RESULTS/$name.log"
        # 77: the example cannot show anything on this machine, and said why.
        case $code in
            0) passed=$((passed + 1)) ;;
            77)
                if [[ -n ${NBDFUSE_REQUIRE:-} ]]; then
                    echo "error: example $example was skipped, although this machine must run it"
                    failed=$((failed + 1))
                else
                    skipped=$((skipped + 1))
                fi
                ;;
            *)
                echo "error: example $example ended with exit code $code"
                failed=$((failed + 1))
                ;;
        esac
    done
}

# The library example against the embedded server: what it prints must be what the server's file holds.
read_export() (
    directory=$(mktemp -d)
    server=
    # shellcheck disable=SC2317,SC2329
    end() {
        [[ -z $server ]] || { kill "$server" && wait "$server" || true; } 2>/dev/null
        rm -rf "$directory"
    }
    trap end EXIT
    printf 'first sector of the export' >"$directory/disk"
    truncate -s 1M "$directory/disk"
    "$PUBLISH_DIR/nbdfuse" serve --unix "$directory/s" --read-only "$directory/disk" >"$directory/uri" &
    server=$!
    wait_for 30 test -s "$directory/uri"
    "$REPO/examples/read-export/bin/Release/net10.0/read-export" "$(cat "$directory/uri")" 0 26 >"$directory/out"
    cat "$directory/out"
    grep -q 'first sector of the export' "$directory/out"
)

check_format() {
    dotnet format "$REPO/NbdFuse.sln" --verify-no-changes --no-restore
}

main() {
    local suites=() suite check=${CI:+1}
    for suite in "$@"; do
        case $suite in
            --format) check=1 ;;
            --help | -h)
                usage
                return 0
                ;;
            *)
                [[ " ${ALL_SUITES[*]} " == *" $suite "* ]] || die "unknown suite '$suite': there are ${ALL_SUITES[*]}"
                suites+=("$suite")
                ;;
        esac
    done
    ((${#suites[@]} > 0)) || suites=("${ALL_SUITES[@]}")

    require_dotnet
    mkdir -p "$RESULTS"
    stage packages install_missing "${PEER_PROGRAMS[@]}" "${PEER_FILES[@]}"
    prepare_fuse_device
    stage restore restore "$REPO/NbdFuse.sln"
    stage build dotnet build "$REPO/NbdFuse.sln" -c Release --no-restore --disable-build-servers -v quiet
    if [[ -n $check ]]; then
        if stage format check_format; then
            passed=$((passed + 1))
        else
            echo "error: the format of the source is not that of .editorconfig: run 'dotnet format'"
            failed=$((failed + 1))
        fi
    fi
    stage publish publish_program
    # Tests that run the command run the published one.
    export NBDFUSE=$PUBLISH_DIR/nbdfuse
    for suite in "${suites[@]}"; do
        case $suite in
            examples) stage examples run_examples ;;
            fuzz) stage fuzz run_fuzz ;;
            *) stage "$suite" run_suite "$suite" ;;
        esac
    done

    say "seconds"
    printf '%s\n' "${timings[@]}"
    printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    ((failed == 0 && passed > 0))
}

main "$@"
