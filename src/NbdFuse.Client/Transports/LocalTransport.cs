using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>Connects to a unix or vsock address: one address, no resolver, no options.</summary>
internal sealed class LocalTransport : NbdTransport
{
    private const int SendBufferBytes = 1 << 20;

    /// <summary>Prepares the transport.</summary>
    public LocalTransport(NbdTarget target, NbdTransportOptions options, ILogger logger)
        : base(target, options, logger)
    {
    }

    /// <inheritdoc/>
    public override Task<FileDescriptor> ConnectAsync(CancellationToken cancellationToken = default) =>
        BlockingWork.RunAsync(() => Connect(Target, Options, Logger, cancellationToken), cancellationToken);

    /// <summary>Connects on the calling thread.</summary>
    internal static FileDescriptor Connect(
        NbdTarget target, NbdTransportOptions options, ILogger logger, CancellationToken cancellationToken)
    {
        byte[] address = AddressOf(target);
        Log.Connecting(logger, target.ToString());
        using var wait = new DeadlineWait(options.ConnectTimeout, cancellationToken);
        int result = SocketConnector.Connect(address, wait, wait.RemainingMilliseconds, out FileDescriptor? socket);
        if (socket is null)
        {
            throw Failure(target, result, options);
        }

        EnlargeSendBuffer(socket.Value);
        return socket;
    }

    /// <summary>
    /// A whole WRITE of 1 MiB fits: with the default of 208 KiB it takes five rounds between us and the server. More than
    /// net.core.wmem_max takes privilege, and without it the rounds stay. TCP sizes its buffers by itself.
    /// </summary>
    private static void EnlargeSendBuffer(int fd)
    {
        if (Posix.SetSockOpt(fd, SocketConstants.SOL_SOCKET, SocketConstants.SO_SNDBUFFORCE, SendBufferBytes) < 0)
        {
            _ = Posix.SetSockOpt(fd, SocketConstants.SOL_SOCKET, SocketConstants.SO_SNDBUF, SendBufferBytes);
        }
    }

    private static byte[] AddressOf(NbdTarget target)
    {
        try
        {
            return target is VsockTarget vsock
                ? SocketAddresses.ForVsock(vsock.Cid, vsock.Port)
                : SocketAddresses.ForUnix(((UnixTarget)target).Path);
        }
        catch (ArgumentException e)
        {
            string reason = e.ParamName is null ? e.Message : e.Message.Replace($" (Parameter '{e.ParamName}')", string.Empty, StringComparison.Ordinal);
            throw new NbdConnectException(NbdConnectFailure.Unreachable, $"connect to {target}: {reason}", e);
        }
    }

    private static NbdConnectException Failure(NbdTarget target, int error, NbdTransportOptions options)
    {
        (NbdConnectFailure reason, string remedy) = -error switch
        {
            Errno.ECONNREFUSED => (NbdConnectFailure.Refused, "is the server running?"),
            Errno.ECONNRESET => (NbdConnectFailure.Refused, "is the server running?"),
            Errno.ENOENT => (NbdConnectFailure.Unreachable, "is the server running, and is the path right?"),
            Errno.EACCES => (NbdConnectFailure.Unreachable, "the socket and its directories must be accessible to this user"),
            Errno.EAFNOSUPPORT or Errno.ENODEV =>
                (NbdConnectFailure.Unreachable, "the kernel has no transport for it (modprobe vsock, vsock_loopback or vhost_vsock)"),
            Errno.ETIMEDOUT =>
                (NbdConnectFailure.ConnectTimeout, $"no answer within {options.ConnectTimeout.TotalSeconds:0.###} s, is the server stopped or overloaded?"),
            _ => (NbdConnectFailure.Unreachable, "check the address"),
        };
        return new NbdConnectException(
            reason, $"connect to {target}: {Errno.Describe(error)}; {remedy}", new PosixException("connect", error));
    }
}
