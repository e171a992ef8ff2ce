#!/usr/bin/env bash
# Feeds every door through which hostile bytes come in with changed inputs, and looks for exceptions, hangs, greed and wrong data.
#
#   tests/fuzz.sh [SECONDS] [TARGET...]
#
# SECONDS are shared by the targets (default 60). NBDFUSE_FUZZ_SEED repeats a run. Inputs that do harm are saved under
# artifacts/fuzz; "NbdFuse.Fuzz --replay FILE TARGET" runs one again. Make each of them a test.
set -euo pipefail
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

case ${1:-} in
    --help | -h)
        sed -n '2,/^set -/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" | sed '$d'
        exit 0
        ;;
esac
seconds=${1:-60}
shift $(($# > 0 ? 1 : 0))
fuzz=$REPO/tests/NbdFuse.Fuzz/bin/Release/net10.0/NbdFuse.Fuzz
if [[ ! -x $fuzz ]]; then
    require_dotnet
    dotnet build "$REPO/tests/NbdFuse.Fuzz" -c Release --disable-build-servers -v quiet
fi
seed=${NBDFUSE_FUZZ_SEED:-$((RANDOM * 32768 + RANDOM))}
exec "$fuzz" --seconds "$seconds" --seed "$seed" --findings "$REPO/artifacts/fuzz" "$@"
