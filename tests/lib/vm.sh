#!/usr/bin/env bash
# Prepares what the guests of tests/NbdFuse.VmTests are made of, and prints the directory that holds it:
#
#   vmlinux    Debian's cloud kernel, unpacked (or vmlinuz, where it can't be unpacked)
#   release    its version, as uname -r prints it
#   modules    its modules, decompressed, with modules.dep
#   busybox    a static busybox
#
#   tests/lib/vm.sh [--refresh]
#
# Nothing is installed: packages are downloaded by apt with lists and sources of its own, and unpacked. What is there is
# kept; --refresh looks for a newer kernel. NBDFUSE_VM_CACHE: where it is kept (default: artifacts/vm).
set -euo pipefail
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly CACHE=${NBDFUSE_VM_CACHE:-$REPO/artifacts/vm}
readonly GUEST=$CACHE/guest
readonly KERNEL_PACKAGE=linux-image-cloud-amd64

# apt with a state of its own: neither the machine's lists nor its sources change. Pass STATE as first argument.
private_apt() {
    local state=$1 command=$2
    shift 2
    "$command" -q -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$state/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$state/cache" \
        -o Acquire::Languages=none -o APT::Sandbox::User= -o Acquire::Retries=3 "$@"
}

# The suite that has a kernel with ublk_drv, as a line for a list of sources, made from the mirror that apt already uses.
kernel_source() {
    local codename suite mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [[ -n $codename ]] || die "/etc/os-release names no release: the kernel for guests is taken from Debian"
    # 6.1 of bookworm itself has no ublk_drv.
    suite=$codename
    [[ $codename != bookworm ]] || suite=bookworm-backports
    # shellcheck disable=SC2016 # apt expands it
    mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' |
        awk -v release="$codename" '$2 == release && $3 == "main" { print $1; exit }')
    [[ -n $mirror ]] || die "apt has no source for '$codename main': the kernel for guests is taken from there"
    if [[ -r $keyring ]]; then
        echo "deb [signed-by=$keyring] $mirror $suite main"
    else
        echo "deb $mirror $suite main"
    fi
}

# The uncompressed kernel inside of a bzImage (its place is in the setup header): a guest that starts it directly boots 2 s
# sooner in software emulation. Falls back to the image as it is.
unpack_kernel() {
    local image=$1 target=$2 sectors offset length
    read_u32() { od -An -tu4 -j "$2" -N4 "$1" | tr -d ' '; }
    sectors=$(od -An -tu1 -j $((0x1f1)) -N1 "$image" | tr -d ' ')
    offset=$(((sectors + 1) * 512 + $(read_u32 "$image" $((0x248)))))
    # The last four bytes are the size, which the decompressor does not know.
    length=$(($(read_u32 "$image" $((0x24c))) - 4))
    if find_program zstd >/dev/null &&
        dd if="$image" iflag=skip_bytes,count_bytes skip="$offset" count="$length" bs=1M status=none | zstd -dqc >"$target/vmlinux" &&
        [[ $(head -c 4 "$target/vmlinux" | tail -c 3) == ELF ]]; then
        return 0
    fi
    rm -f "$target/vmlinux"
    warn "the kernel can't be unpacked (is zstd missing?): guests boot more slowly"
    cp "$image" "$target/vmlinuz"
}

prepare_kernel() {
    local state=$1 target=$2 package release unpacked=$1/unpacked
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$state/debs" "$unpacked"
    kernel_source >"$state/sources.list"
    private_apt "$state" apt-get update >&2
    package=$(private_apt "$state" apt-cache depends "$KERNEL_PACKAGE" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
    [[ -n $package ]] || die "the suite in '$(cat "$state/sources.list")' has no $KERNEL_PACKAGE"
    (cd "$state/debs" && private_apt "$state" apt-get download "$package" >&2)
    dpkg-deb -x "$state"/debs/"$package"_*.deb "$unpacked"
    release=${package#linux-image-}
    release=${release%-unsigned}
    [[ -e $unpacked/boot/vmlinuz-$release ]] || die "package $package holds no boot/vmlinuz-$release"
    echo "$release" >"$target/release"
    unpack_kernel "$unpacked/boot/vmlinuz-$release" "$target"

    mkdir -p "$target/modules/lib/modules"
    if [[ -d $unpacked/lib/modules/$release ]]; then
        mv "$unpacked/lib/modules/$release" "$target/modules/lib/modules/"
    else
        mv "$unpacked/usr/lib/modules/$release" "$target/modules/lib/modules/"
    fi
    find "$target/modules" -name '*.ko.xz' -print0 | xargs -0 -r -n 100 -P 2 xz -d
    find "$target/modules" -name '*.ko.zst' -print0 | xargs -0 -r -n 100 -P 2 zstd -dq --rm
    "$target/busybox" depmod -b "$target/modules" "$release"
    [[ -s $target/modules/lib/modules/$release/modules.dep ]] || die "depmod wrote no modules.dep"
}

prepare_busybox() {
    local state=$1 target=$2 busybox
    busybox=$(find_program busybox || true)
    # ldd fails for a program without libraries.
    if [[ -z $busybox ]] || ldd "$busybox" >/dev/null 2>&1; then
        mkdir -p "$state/busybox"
        (cd "$state/busybox" && apt-get -q download busybox-static >&2 && dpkg-deb -x busybox-static_*.deb .)
        busybox=$(find "$state/busybox" -name busybox -type f -perm -u+x | head -n 1)
        [[ -n $busybox ]] || die "package busybox-static holds no busybox"
    fi
    cp -L "$busybox" "$target/busybox"
}

main() {
    local state
    [[ $(uname -m) == x86_64 ]] || die "guests are x86-64 only"
    mkdir -p "$CACHE"
    # Two test programs may start at once.
    exec 9>"$CACHE/lock"
    flock 9
    if [[ ! -e $GUEST/release || ${1:-} == --refresh ]]; then
        command -v apt-get >/dev/null || die "guests are made of Debian's kernel, and there is no apt-get to get it"
        state=$CACHE/work
        rm -rf "$state"
        mkdir -p "$state/guest"
        prepare_busybox "$state" "$state/guest"
        prepare_kernel "$state" "$state/guest"
        rm -rf "$GUEST"
        mv "$state/guest" "$GUEST"
        rm -rf "$state"
    fi
    echo "$GUEST"
}

main "$@"
