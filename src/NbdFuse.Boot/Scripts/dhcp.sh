#!/bin/busybox sh
# What udhcpc calls: configures the interface, and leaves the answer for "nbdfuse root".
export PATH=/bin:/sbin
case $1 in
    bound | renew)
        ip addr add "$ip/${mask:-24}" ${broadcast:+broadcast "$broadcast"} dev "$interface"
        [ -z "$mtu" ] || ip link set dev "$interface" mtu "$mtu"
        for gateway in $router; do
            # A router outside of the network, as some clouds have it, is reached through the interface.
            ip route add default via "$gateway" dev "$interface" 2>/dev/null && break
            ip route add "$gateway" dev "$interface" && ip route add default via "$gateway" dev "$interface" && break
        done
        {
            for name in ip mask router siaddr serverid rootpath hostname domain dns boot_file lease; do
                eval "value=\$$name"
                echo "$name=$value"
            done
        } >/run/nbdfuse-boot/dhcp.new
        mv /run/nbdfuse-boot/dhcp.new /run/nbdfuse-boot/dhcp
        ;;
esac
