#!/usr/bin/env bash
# An unprivileged user mounts an export and looks into the file system on it: no root, no loop device. As root it becomes
# such a user first. Leaves nothing behind. NBDFUSE=PROGRAM uses a program that was built before.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/common.sh
. "$HERE/../tests/lib/common.sh"
# shellcheck source=tests/lib/packages.sh
. "$HERE/../tests/lib/packages.sh"
# shellcheck source=tests/lib/example.sh
. "$HERE/../tests/lib/example.sh"

if ((EUID == 0)); then
    step "Preparing as root: programs, /dev/fuse as udev makes it (0666)"
    install_missing "${EXAMPLE_PROGRAMS[@]}"
    prepare_fuse_device
    find_nbdfuse
    # A copy: the clone may lie where other users cannot look, such as /root.
    COPY=$(mktemp -d)
    on_exit rm -rf "$COPY"
    mkdir -p "$COPY/examples" "$COPY/tests" "$COPY/home"
    cp "$HERE/non-root.sh" "$COPY/examples/"
    cp -r "$HERE/../tests/lib" "$COPY/tests/"
    cp "$NBDFUSE" "$COPY/nbdfuse"
    chmod -R go+rX "$COPY"
    # fusermount3 wants a name for the uid.
    NOBODY=$(id -u nobody 2>/dev/null || echo 65534)
    chown "$NOBODY" "$COPY/home"
    step "Becoming uid $NOBODY, with no group and no capability"
    env NBDFUSE="$COPY/nbdfuse" TMPDIR="$COPY/home" HOME="$COPY/home" PUBLISH_DIR="$COPY" \
        setpriv --reuid "$NOBODY" --regid "$NOBODY" --clear-groups --inh-caps=-all \
        "$COPY/examples/non-root.sh"
    exit 0
fi

[[ -r /dev/fuse && -w /dev/fuse ]] || cannot "/dev/fuse is not accessible: as root, chmod 0666 /dev/fuse"
find_program fusermount3 >/dev/null || cannot "fusermount3 is missing: install the package fuse3"
find_program debugfs >/dev/null || cannot "debugfs is missing: install the package e2fsprogs"
find_nbdfuse

step "Who is this: $(id)"
SCRATCH=$(mktemp -d)
on_exit rm -rf "$SCRATCH"
mkdir "$SCRATCH/mnt"

step "Serving a disk image that holds a file system, made without root: mkfs.ext4 -d"
mkdir "$SCRATCH/tree"
echo "written by an unprivileged user" >"$SCRATCH/tree/hello"
truncate -s 16M "$SCRATCH/image"
mkfs.ext4 -q -d "$SCRATCH/tree" "$SCRATCH/image"
"$NBDFUSE" serve --unix "$SCRATCH/socket" "$SCRATCH/image" >"$SCRATCH/uri" &
SERVER=$!
on_exit stop "$SERVER"
wait_for 30 test -s "$SCRATCH/uri" || die "the server did not start"
URI=$(cat "$SCRATCH/uri")
echo "   $URI"

step "Mounting it without root: fusermount3 does the mount(2)"
"$NBDFUSE" -P "$SCRATCH/pid" "$SCRATCH/mnt" "$URI" &
MOUNT=$!
on_exit stop "$MOUNT"
wait_for 30 test -s "$SCRATCH/pid" || die "the mount did not become ready"
ls -l "$SCRATCH/mnt/nbd"
proved "an ordinary user sees the export as a file"

step "Looking into its file system with debugfs"
debugfs -R 'cat hello' "$SCRATCH/mnt/nbd" 2>/dev/null | tee "$SCRATCH/hello"
cmp "$SCRATCH/hello" "$SCRATCH/tree/hello"
proved "a file inside the file system inside the export was read"

step "Writing a file into it"
echo "and this came through the mount" >"$SCRATCH/note"
debugfs -w -R "write $SCRATCH/note note" "$SCRATCH/mnt/nbd" >/dev/null 2>&1
fusermount3 -u "$SCRATCH/mnt"
wait "$MOUNT"
debugfs -R 'cat note' "$SCRATCH/image" 2>/dev/null >"$SCRATCH/back"
cmp "$SCRATCH/note" "$SCRATCH/back"
e2fsck -fn "$SCRATCH/image" >/dev/null 2>&1
proved "after fusermount3 -u the image itself holds the new file, and e2fsck finds no fault"

step "Done: everything is unmounted and removed"
