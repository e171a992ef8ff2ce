namespace NbdFuse.Native;

/// <summary>Numbers of the socket calls with the C headers' names; the same on x86-64 and arm64 (asm-generic/socket.h, linux/tcp.h).</summary>
public static class SocketConstants
{
    /// <summary>Address family: unspecified.</summary>
    public const int AF_UNSPEC = 0;

    /// <summary>Address family: local sockets.</summary>
    public const int AF_UNIX = 1;

    /// <summary>Address family: IPv4.</summary>
    public const int AF_INET = 2;

    /// <summary>Address family: IPv6.</summary>
    public const int AF_INET6 = 10;

    /// <summary>Address family: virtual machine sockets (linux/vm_sockets.h).</summary>
    public const int AF_VSOCK = 40;

    /// <summary>Socket type: stream.</summary>
    public const int SOCK_STREAM = 1;

    /// <summary>Socket type: datagrams.</summary>
    public const int SOCK_DGRAM = 2;

    /// <summary>Socket type: sequenced packets.</summary>
    public const int SOCK_SEQPACKET = 5;

    /// <summary>Type flag: do not block.</summary>
    public const int SOCK_NONBLOCK = 0x800;

    /// <summary>Type flag: close on exec.</summary>
    public const int SOCK_CLOEXEC = 0x80000;

    /// <summary>Option level: the socket itself.</summary>
    public const int SOL_SOCKET = 1;

    /// <summary>Protocol, and option level, of TCP.</summary>
    public const int IPPROTO_TCP = 6;

    /// <summary>Option level of IPv6.</summary>
    public const int IPPROTO_IPV6 = 41;

    /// <summary>Allow binding an address in TIME_WAIT.</summary>
    public const int SO_REUSEADDR = 2;

    /// <summary>The socket's type; read only.</summary>
    public const int SO_TYPE = 3;

    /// <summary>The pending error, which reading clears.</summary>
    public const int SO_ERROR = 4;

    /// <summary>Send buffer in bytes (the kernel doubles it).</summary>
    public const int SO_SNDBUF = 7;

    /// <summary>Receive buffer in bytes (the kernel doubles it).</summary>
    public const int SO_RCVBUF = 8;

    /// <summary>Send keepalive probes.</summary>
    public const int SO_KEEPALIVE = 9;

    /// <summary>Behaviour of close with unsent data; struct linger.</summary>
    public const int SO_LINGER = 13;

    /// <summary>Receive the peer's credentials.</summary>
    public const int SO_PASSCRED = 16;

    /// <summary>The peer's pid, uid and gid; struct ucred.</summary>
    public const int SO_PEERCRED = 17;

    /// <summary>Whether the socket listens; read only.</summary>
    public const int SO_ACCEPTCONN = 30;

    /// <summary>Send buffer beyond the limit; needs CAP_NET_ADMIN.</summary>
    public const int SO_SNDBUFFORCE = 32;

    /// <summary>Receive buffer beyond the limit; needs CAP_NET_ADMIN.</summary>
    public const int SO_RCVBUFFORCE = 33;

    /// <summary>The socket's protocol; read only.</summary>
    public const int SO_PROTOCOL = 38;

    /// <summary>The socket's address family; read only.</summary>
    public const int SO_DOMAIN = 39;

    /// <summary>Microseconds of busy polling.</summary>
    public const int SO_BUSY_POLL = 46;

    /// <summary>Send small segments at once.</summary>
    public const int TCP_NODELAY = 1;

    /// <summary>Seconds of silence before the first probe.</summary>
    public const int TCP_KEEPIDLE = 4;

    /// <summary>Seconds between probes.</summary>
    public const int TCP_KEEPINTVL = 5;

    /// <summary>Probes before the connection is dropped.</summary>
    public const int TCP_KEEPCNT = 6;

    /// <summary>Acknowledge at once; not permanent.</summary>
    public const int TCP_QUICKACK = 12;

    /// <summary>Milliseconds that sent data may stay unacknowledged.</summary>
    public const int TCP_USER_TIMEOUT = 18;

    /// <summary>Unsent bytes above which the socket is not writable.</summary>
    public const int TCP_NOTSENT_LOWAT = 25;

    /// <summary>No IPv4 on an IPv6 socket.</summary>
    public const int IPV6_V6ONLY = 26;

    /// <summary>Leave the data in the queue.</summary>
    public const int MSG_PEEK = 2;

    /// <summary>Reported: ancillary data was cut off.</summary>
    public const int MSG_CTRUNC = 8;

    /// <summary>Reported: a datagram was cut off.</summary>
    public const int MSG_TRUNC = 32;

    /// <summary>Do not block this call.</summary>
    public const int MSG_DONTWAIT = 64;

    /// <summary>Wait for all the bytes asked for.</summary>
    public const int MSG_WAITALL = 0x100;

    /// <summary>EPIPE without the signal SIGPIPE.</summary>
    public const int MSG_NOSIGNAL = 0x4000;

    /// <summary>More data follows.</summary>
    public const int MSG_MORE = 0x8000;

    /// <summary>Received descriptors are close-on-exec.</summary>
    public const int MSG_CMSG_CLOEXEC = 0x40000000;

    /// <summary>Ancillary data: descriptors.</summary>
    public const int SCM_RIGHTS = 1;

    /// <summary>Shut down receiving.</summary>
    public const int SHUT_RD = 0;

    /// <summary>Shut down sending.</summary>
    public const int SHUT_WR = 1;

    /// <summary>Shut down both directions.</summary>
    public const int SHUT_RDWR = 2;

    /// <summary>The usual upper limit of a backlog.</summary>
    public const int SOMAXCONN = 4096;

    /// <summary>Any context.</summary>
    public const uint VMADDR_CID_ANY = 0xFFFFFFFF;

    /// <summary>The local context.</summary>
    public const uint VMADDR_CID_LOCAL = 1;

    /// <summary>The host.</summary>
    public const uint VMADDR_CID_HOST = 2;

    /// <summary>Any port.</summary>
    public const uint VMADDR_PORT_ANY = 0xFFFFFFFF;
}
