# shellcheck shell=bash
# The programs that tests, benchmark and examples run, and the Debian packages they come from. The one list of them.
# Sourced; needs common.sh.

# "program package": the package is installed when the program is missing.
readonly PEER_PROGRAMS=(
    "nbdkit nbdkit"
    "nbd-server nbd-server"
    "qemu-nbd qemu-utils"
    "qemu-img qemu-utils"
    "qemu-io qemu-utils"
    "qemu-storage-daemon qemu-system-common"
    "fusermount3 fuse3"
    "fio fio"
    "openssl openssl"
    "mkfs.ext4 e2fsprogs"
    "debugfs e2fsprogs"
    "mkfs.btrfs btrfs-progs"
    "mkfs.xfs xfsprogs"
    "nbdfuse libnbd-bin"
    "nbdinfo libnbd-bin"
    "nbdcopy libnbd-bin"
    "gcc gcc"
    "losetup mount"
    "setpriv util-linux"
    "dash dash"
    "qemu-system-x86_64 qemu-system-x86"
    "busybox busybox-static"
    "nbd-client nbd-client"
    "xz xz-utils"
    "zstd zstd"
    "mmdebstrap mmdebstrap"
    "blkdiscard util-linux"
    "fstrim util-linux"
    "sfdisk fdisk"
    "ip iproute2"
    "nsenter util-linux"
)

# "file package": headers that the layout tests compile against.
readonly PEER_FILES=(
    "/usr/include/linux/fuse.h linux-libc-dev"
    "/usr/include/stdlib.h libc6-dev"
)

# What the examples need.
readonly EXAMPLE_PROGRAMS=(
    "fusermount3 fuse3"
    "mkfs.ext4 e2fsprogs"
    "debugfs e2fsprogs"
    "losetup mount"
    "setpriv util-linux"
)

# What a CI machine promises to the tests (NBDFUSE_REQUIRE): a missing one of these is a failure, not a skip. Not
# promised is what a machine may lack for good reasons: vsock, whose loopback driver is not in every kernel; ipv6, which
# containers often lack; userns, which Ubuntu's AppArmor and other hardening refuse to users; fusectl, which containers may
# not mount; netns, which containers may
# not make; no-allow-other, as long as /etc/fuse.conf is the administrator's.
readonly CI_PROMISES="root,fuse,loop,nbdkit,nbd-server,qemu-nbd,qemu-img,qemu-io,qemu-storage-daemon,nbdinfo,nbdcopy,nbdfuse,\
libnbd-nbdfuse,fusermount3,fio,openssl,fio-nbd,mkfs.ext4,e2fsck,debugfs,gcc,losetup,setpriv,vm,nbd-client,\
blkdiscard,fstrim,sfdisk,mkfs.btrfs,mkfs.xfs,memory-cgroup,io_uring"

# install_missing "program package"...: installs the packages of the programs that are missing.
install_missing() {
    local entry program package missing=()
    for entry in "$@"; do
        program=${entry% *}
        package=${entry#* }
        case $program in
            /*) [[ -e $program ]] && continue ;;
            *) find_program "$program" >/dev/null && continue ;;
        esac
        [[ " ${missing[*]} " == *" $package "* ]] || missing+=("$package")
    done
    if ((${#missing[@]} == 0)); then
        return 0
    fi
    if ! command -v apt-get >/dev/null; then
        warn "missing, and there is no apt-get to install them: ${missing[*]}"
        return 0
    fi
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        warn "missing, and neither root nor sudo to install them: ${missing[*]}"
        return 0
    fi
    say "installing ${missing[*]}"
    # Another apt may be at work (unattended-upgrades on a fresh machine): wait for it.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 update </dev/null >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        --no-install-recommends install "${missing[@]}" </dev/null >&2
}
