#!/bin/sh
# Of dracut's module for nbdfuse; dracut reads it into its own shell.
if /etc/nbdfuse/wanted.sh; then
    # shellcheck disable=SC2034 # dracut's
    rootok=1
    # shellcheck disable=SC2034
    root=block:/dev/nbdfuse-root
    # shellcheck disable=SC2154
    echo '[ -e /dev/nbdfuse-root ]' >"$hookdir/initqueue/finished/nbdfuse.sh"
fi
