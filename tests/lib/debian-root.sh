#!/usr/bin/env bash
# Makes the root filesystem of a small Debian with systemd, for tests that boot it, and prints the path of the image (ext4, raw).
# It is kept in NBDFUSE_VM_CACHE (default: artifacts/vm): some minutes once. Its default target prints a report to the console,
# writes the file /marker and powers off.
set -euo pipefail
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly CACHE=${NBDFUSE_VM_CACHE:-$REPO/artifacts/vm}
# With each change of this script another number: what was made by an older one is not used.
readonly IMAGE=$CACHE/debian-root-2.img
readonly SUITE=bookworm
readonly PACKAGES=systemd-sysv,udev,dbus,iproute2,kmod,libpam-systemd

# What the network manager would do by itself (DHCP) is what cuts a root on the network off.
configure() {
    local etc=$1/etc
    sed -i 's/^root:[^:]*:/root::/' "$etc/shadow"
    mkdir -p "$etc/systemd/system.conf.d" "$etc/systemd/network" "$etc/systemd/system/multi-user.target.wants"
    printf '[Manager]\nDefaultTimeoutStopSec=5s\n' >"$etc/systemd/system.conf.d/test.conf"
    printf '[Match]\nName=e*\n\n[Network]\nDHCP=ipv4\n' >"$etc/systemd/network/20-dhcp.network"
    ln -sf /lib/systemd/system/systemd-networkd.service "$etc/systemd/system/multi-user.target.wants/"
    cat >"$etc/systemd/system/report.target" <<'EOF'
[Unit]
Requires=multi-user.target
Wants=report.service
After=multi-user.target
AllowIsolate=yes
EOF
    cat >"$etc/systemd/system/report.service" <<'EOF'
[Unit]
After=multi-user.target systemd-networkd.service
[Service]
Type=oneshot
StandardOutput=tty
TTYPath=/dev/console
ExecStart=/bin/sh /etc/report.sh
EOF
    # The network manager may still be looking at its links.
    cat >"$etc/report.sh" <<'EOF'
for try in $(seq 50); do
    link=$(networkctl --no-pager --no-legend list | grep ether)
    case $link in *unmanaged* | *configured*) break ;; esac
    sleep 0.2
done
echo "BOOT failed units: [$(systemctl --failed --no-legend --plain | tr '\n' ' ')]"
echo "BOOT root: $(findmnt -no SOURCE /)"
echo "BOOT network: $link"
echo marker >/marker
echo "BOOT end"
systemctl poweroff
EOF
    ln -sf report.target "$etc/systemd/system/default.target"
}

main() {
    local work=$CACHE/debian-work
    mkdir -p "$CACHE"
    exec 9>"$CACHE/debian-lock"
    flock 9
    if [[ ! -e $IMAGE ]]; then
        command -v mmdebstrap >/dev/null || die "there is no mmdebstrap: Debian's root is made by it"
        ((EUID == 0)) || die "Debian's root is made by root only"
        rm -rf "$work"
        mkdir "$work"
        mmdebstrap --mode=root --variant=minbase --include="$PACKAGES" --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' "$SUITE" "$work/root" >&2
        configure "$work/root"
        truncate -s 1G "$work/image"
        mke2fs -q -F -t ext4 -d "$work/root" "$work/image" >&2
        mv "$work/image" "$IMAGE"
        rm -rf "$work"
    fi
    echo "$IMAGE"
}

main "$@"
