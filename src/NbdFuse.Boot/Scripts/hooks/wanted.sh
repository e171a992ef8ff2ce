#!/bin/sh
# Whether the kernel's command line names an export for nbdfuse. What another hook of this initramfs knows is left to it.
set -f
# shellcheck disable=SC2013 # words are what is wanted
for word in $(cat "${1:-/proc/cmdline}"); do
    case $word in
        --) break ;;
        nbdfuse=* | nbd_host=* | nbd-host=* | root=nbds:* | root=nbd+* | root=nbd://*) exit 0 ;;
        nbdroot | nbdroot=*) [ -e "${2:-/scripts/local-top/nbd}" ] || exit 0 ;;
        root=nbd:* | netroot=nbd:*) [ -e "${3:-/sbin/nbdroot}" ] || exit 0 ;;
    esac
done
exit 1
