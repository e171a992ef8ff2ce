# shellcheck shell=bash
# What tests/run.sh and the examples share. Sourced.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly REPO
# Where the finished program is put, and its name: two words so that a script can test another build.
PUBLISH_DIR=${PUBLISH_DIR:-$REPO/artifacts/publish}
readonly PUBLISH_DIR
# Peers for tests live in sbin, too, which the PATH of an ordinary user leaves out.
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
# No process of a build may outlive it: a CI machine waits for all of them.
export MSBUILDDISABLENODEREUSE=1 DOTNET_CLI_USE_MSBUILD_SERVER=0 UseSharedCompilation=false
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1 DOTNET_GENERATE_ASPNET_CERTIFICATE=false

say() { printf '== %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

find_program() { command -v "$1"; }

# as_root COMMAND...: by sudo when needed.
as_root() {
    if ((EUID == 0)); then
        "$@"
    else
        sudo "$@"
    fi
}

# Without udev /dev/fuse is missing or mode 0600; with udev it is 0666, which is what everybody expects.
prepare_fuse_device() {
    if [[ -r /dev/fuse && -w /dev/fuse && $(stat -c %a /dev/fuse) == 666 ]]; then
        return 0
    fi
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        warn "/dev/fuse is not usable for this user, and there is no sudo to change that"
        return 0
    fi
    if [[ ! -e /dev/fuse ]]; then
        as_root modprobe fuse 2>/dev/null || true
        [[ -e /dev/fuse ]] || as_root mknod /dev/fuse c 10 229 || warn "cannot make /dev/fuse"
    fi
    as_root chmod 0666 /dev/fuse || warn "cannot make /dev/fuse accessible"
}

require_dotnet() {
    command -v dotnet >/dev/null || die "the .NET 10 SDK is missing: install it (package dotnet-sdk-10.0), then run this again"
    (cd "$REPO" && dotnet --version >/dev/null) || die "the .NET SDK here is not the one that global.json asks for: install the .NET 10 SDK"
}

# restore PROJECT: by the lock files when they were made by this SDK (which adds packages of its own version to them), plainly,
# and without touching them, otherwise.
restore() {
    local sdk locked
    sdk=$(cd "$REPO" && dotnet msbuild src/NbdFuse.Cli/NbdFuse.Cli.csproj -getProperty:BundledNETCoreAppPackageVersion)
    locked=$(grep -A3 '"Microsoft.NET.ILLink.Tasks"' "$REPO/src/NbdFuse.Cli/packages.lock.json" | sed -n 's/.*"resolved": "\(.*\)".*/\1/p')
    if [[ -n $sdk && $sdk == "$locked" ]]; then
        dotnet restore "$1" --locked-mode --disable-build-servers -v quiet
    else
        warn "the lock files belong to SDK packages ${locked:-?}, this SDK brings ${sdk:-?}: restoring without them"
        dotnet restore "$1" --disable-build-servers -v quiet -p:NuGetLockFilePath=obj/local.packages.lock.json
    fi
}

# publish_program: yields $PUBLISH_DIR/nbdfuse.
publish_program() {
    dotnet publish "$REPO/src/NbdFuse.Cli" -c Release -o "$PUBLISH_DIR" --disable-build-servers -v quiet
    [[ -x $PUBLISH_DIR/nbdfuse ]] || die "publishing gave no $PUBLISH_DIR/nbdfuse"
}

# wait_for SECONDS COMMAND...: until the command succeeds; fails when the time is over.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}
