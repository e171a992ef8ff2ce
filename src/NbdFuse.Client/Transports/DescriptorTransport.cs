using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>Hands out an inherited socket, once.</summary>
internal sealed class DescriptorTransport : NbdTransport
{
    private readonly int _fd;
    private int _used;

    /// <summary>Prepares the transport; the descriptor is not touched yet.</summary>
    public DescriptorTransport(DescriptorTarget target, NbdTransportOptions options, ILogger logger)
        : base(target, options, logger) => _fd = target.Fd;

    /// <inheritdoc/>
    public override Task<FileDescriptor> ConnectAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return Task.FromCanceled<FileDescriptor>(cancellationToken);
        }

        if (Interlocked.Exchange(ref _used, 1) != 0)
        {
            return Task.FromException<FileDescriptor>(new NbdConnectException(
                NbdConnectFailure.CannotReopen,
                $"the connection on {Target} is used up, and a descriptor cannot be connected again; use an address to be able to reconnect"));
        }

        int result = _fd < 0 ? -Errno.EBADF : Prepare();
        return result >= 0
            ? Task.FromResult(FileDescriptor.Own(_fd))
            : Task.FromException<FileDescriptor>(new NbdConnectException(
                NbdConnectFailure.BadDescriptor,
                $"{Target} is not usable: {Errno.Describe(result)}; it must be a connected stream socket",
                new PosixException("inspect the descriptor", result)));
    }

    private int Prepare()
    {
        int result = Posix.GetSockOptInt(_fd, SocketConstants.SOL_SOCKET, SocketConstants.SO_TYPE, out int type);
        if (result < 0)
        {
            return result;
        }

        if (type != SocketConstants.SOCK_STREAM)
        {
            return -Errno.EINVAL;
        }

        result = Posix.GetPeerName(_fd, out byte[] peer);
        if (result < 0)
        {
            return result;
        }

        if (SocketAddresses.GetFamily(peer) is SocketConstants.AF_INET or SocketConstants.AF_INET6)
        {
            TcpOptions.Apply(_fd, Options, Logger);
        }

        result = Posix.SetCloseOnExec(_fd, enable: true);
        return result < 0 ? result : Posix.SetNonBlocking(_fd, enable: true);
    }
}
