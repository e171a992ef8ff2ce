#!/bin/sh
# Of dracut's module for nbdfuse; dracut reads it into its own shell.
if /etc/nbdfuse/wanted.sh; then
    # shellcheck disable=SC2034 # dracut's
    rootok=1
    # shellcheck disable=SC2034
    root=block:/dev/nbdfuse-root
    # What root= says of devices is for us. Dracut's generator has it waited for already, and there may never be such a one.
    # shellcheck disable=SC2154
    case $(getarg root=) in
        /dev/*) rm -f "$hookdir/initqueue/finished/devexists-$(str_replace "$(getarg root=)" / '\x2f').sh" ;;
    esac
    echo '[ -e /dev/nbdfuse-root ]' >"$hookdir/initqueue/finished/nbdfuse.sh"
fi
