#!/usr/bin/env bash
# From a fresh clone to a mounted NBD export, in one command. Needs the .NET 10 SDK, and apt for what else is missing.
# Shows each step and what it proved; leaves nothing behind. NBDFUSE=PROGRAM uses a program that was built before.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/common.sh
. "$HERE/../tests/lib/common.sh"
# shellcheck source=tests/lib/packages.sh
. "$HERE/../tests/lib/packages.sh"
# shellcheck source=tests/lib/example.sh
. "$HERE/../tests/lib/example.sh"

step "Looking for the programs that this needs"
install_missing "${EXAMPLE_PROGRAMS[@]}"
prepare_fuse_device
find_nbdfuse

SCRATCH=$(mktemp -d)
on_exit rm -rf "$SCRATCH"
mkdir "$SCRATCH/mnt" "$SCRATCH/fs"

step "Starting the embedded NBD server with 256 MiB of memory: nbdfuse serve"
serve_memory 256M
echo "   it listens at $URI"
"$NBDFUSE" info "$URI" | sed 's/^/   /'
[[ $("$NBDFUSE" info --size "$URI") == 268435456 ]]
proved "the server answers the handshake and tells size and abilities of its export"

step "Mounting the export: nbdfuse $SCRATCH/mnt $URI"
"$NBDFUSE" -P "$SCRATCH/pid" "$SCRATCH/mnt" "$URI" &
MOUNT=$!
on_exit stop "$MOUNT"
wait_for 30 test -s "$SCRATCH/pid" || die "the mount did not become ready"
DISK=$SCRATCH/mnt/nbd
ls -l "$DISK"
[[ $(stat -c %s "$DISK") == 268435456 ]]
proved "the export is a file of the right size; the process id in $SCRATCH/pid said when it was usable"

step "Writing 8 MiB into the middle of the file, and reading them back"
head -c 8M /dev/urandom >"$SCRATCH/data"
dd if="$SCRATCH/data" of="$DISK" bs=1M seek=100 conv=notrunc,fsync status=none
dd if="$DISK" of="$SCRATCH/back" bs=1M skip=100 count=8 iflag=direct status=none
cmp "$SCRATCH/data" "$SCRATCH/back"
proved "what was written came back, read past the page cache (O_DIRECT), so from the server"

if ((EUID != 0)); then
    step "Not root: the file system on a loop device is left out (run this as root to see it)"
elif ! LOOP=$(losetup --find --show --direct-io=on "$DISK" 2>"$SCRATCH/losetup"); then
    step "No loop device here: $(cat "$SCRATCH/losetup")"
else
    on_exit detach_loop "$LOOP" "$DISK"
    step "Making an ext4 file system on the file, through $LOOP"
    mkfs.ext4 -q "$LOOP"
    mount "$LOOP" "$SCRATCH/fs"
    on_exit umount "$SCRATCH/fs"
    cp "$SCRATCH/data" "$SCRATCH/fs/data"
    umount "$SCRATCH/fs"
    e2fsck -fn "$LOOP" >"$SCRATCH/fsck" 2>&1 || {
        cat "$SCRATCH/fsck"
        exit 1
    }
    mount -o ro "$LOOP" "$SCRATCH/fs"
    cmp "$SCRATCH/data" "$SCRATCH/fs/data"
    df -h "$SCRATCH/fs" | sed 's/^/   /'
    umount "$SCRATCH/fs"
    detach_loop "$LOOP" "$DISK"
    proved "a file system lives on the export: made, mounted, filled, checked by e2fsck, mounted again, compared"
fi

step "Unmounting: fusermount3 -u"
fusermount3 -u "$SCRATCH/mnt"
CODE=0
wait "$MOUNT" || CODE=$?
[[ $CODE == 0 ]] || die "nbdfuse ended with exit code $CODE"
[[ ! -e $DISK ]]
proved "nbdfuse flushed, said goodbye to the server and ended with exit code 0"

step "Mounting once more, read-only, as a file over a file"
: >"$SCRATCH/image"
rm -f "$SCRATCH/pid"
"$NBDFUSE" -r -P "$SCRATCH/pid" "$SCRATCH/image" "$URI" &
MOUNT=$!
on_exit stop "$MOUNT"
wait_for 30 test -s "$SCRATCH/pid" || die "the mount did not become ready"
[[ $(stat -c %s "$SCRATCH/image") == 268435456 ]]
if ((EUID == 0)) && [[ -n ${LOOP:-} ]]; then
    debugfs -R 'stat data' "$SCRATCH/image" 2>/dev/null | sed -n 's/^\(.*Size: 8388608.*\)$/   \1/p' | grep . ||
        die "the file system is not there any more"
else
    dd if="$SCRATCH/image" of="$SCRATCH/back" bs=1M skip=100 count=8 status=none
    cmp "$SCRATCH/data" "$SCRATCH/back"
fi
fusermount3 -u "$SCRATCH/image"
wait "$MOUNT"
proved "the data outlived the mount: the server has it"

step "Done: everything is unmounted and removed"
