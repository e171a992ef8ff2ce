using Microsoft.Extensions.Logging;
using NbdFuse.Client.Transmission;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>
/// Makes connections for somebody else, the kernel's nbd driver for one, who speaks the transmission phase with simple replies
/// only: structured replies and extended headers are never negotiated. Block sizes are, which is a promise that whoever gets
/// the connections obeys them.
/// </summary>
/// <remarks>THREADING: control plane; one call at a time.</remarks>
public sealed class NbdHandover : IAsyncDisposable
{
    private const int MaximumConnections = 1024;

    // A further connection is a gain, but no condition: a server that takes one client at a time must not hold up everything.
    private static readonly TimeSpan FurtherHandshakeTimeout = TimeSpan.FromSeconds(5);

    private readonly NbdTransport _transport;
    private readonly NbdHandshakeOptions _handshake;
    private readonly ILogger _logger;

    private NbdHandover(NbdTransport transport, NbdHandoverOptions options, ILogger logger)
    {
        _transport = transport;
        _logger = logger;
        _handshake = new NbdHandshakeOptions
        {
            ExportName = options.ExportName,
            WantStructuredReplies = false,
            WantBlockSizes = true,
            WantTexts = false,
            Timeout = options.HandshakeTimeout,
        };
    }

    /// <summary>Where the server is.</summary>
    public NbdTarget Target => _transport.Target;

    /// <summary>Prepares; nothing is connected yet.</summary>
    /// <param name="target">Where the server is: an address. Pipes of a command are no sockets, and cannot be made again.</param>
    /// <param name="options">How.</param>
    /// <param name="logger">Log.</param>
    /// <exception cref="NbdConnectException">The target is no address.</exception>
    public static NbdHandover Create(NbdTarget target, NbdHandoverOptions options, ILogger logger)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (target is not (TcpTarget or UnixTarget or VsockTarget))
        {
            throw new NbdConnectException(
                NbdConnectFailure.BadDescriptor,
                $"{target}: only the connected socket of an address (TCP or unix) can be handed to the kernel, "
                + "not a command, its pipes or an inherited descriptor; name the server by a URI, or use the driver ublk or fuse");
        }

        if (options.Transport is { Tls.Mode: not NbdTlsMode.Off })
        {
            throw new NbdConnectException(
                NbdConnectFailure.TlsRefused,
                "the kernel's nbd driver speaks no TLS, and the connection would be without: use the driver ublk or fuse");
        }

        return new NbdHandover(NbdTransport.Create(target, options.Transport, logger), options, logger);
    }

    /// <summary>Connects and negotiates, several times when the server allows it.</summary>
    /// <param name="connections">How many are wanted, 1 to 1024; fewer come when the server gives no more.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="NbdException">The server can't be reached, refuses, or breaks the protocol.</exception>
    public Task<NbdHandoverSockets> ConnectAsync(int connections, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(connections, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(connections, MaximumConnections);
        return ConnectAsync(connections, sameServer: false, cancellationToken);
    }

    /// <summary>Makes one more connection to the very server of the last one, while others to it still live.</summary>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <exception cref="NbdException">The server can't be reached, refuses, or breaks the protocol.</exception>
    public Task<NbdHandoverSockets> ConnectAgainAsync(CancellationToken cancellationToken = default) =>
        ConnectAsync(1, sameServer: true, cancellationToken);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _transport.DisposeAsync();

    private async Task<NbdHandoverSockets> ConnectAsync(int connections, bool sameServer, CancellationToken cancellationToken)
    {
        List<FileDescriptor> sockets = [];
        try
        {
            NegotiatedSocket first = sameServer
                ? await _transport.OpenAgainAsync(_handshake, cancellationToken).ConfigureAwait(false)
                : await _transport.OpenAsync(_handshake, cancellationToken).ConfigureAwait(false);
            sockets.Add(first.Socket);
            Prepare(first);
            NbdExportInfo export = first.Negotiated.Export;
            if (export.CanMultiConn)
            {
                await AddAsync(sockets, export, connections, cancellationToken).ConfigureAwait(false);
            }

            return new NbdHandoverSockets(export, sockets);
        }
        catch
        {
            foreach (FileDescriptor socket in sockets)
            {
                NbdConnection.SayGoodbye(socket.Value, extended: false);
                socket.Dispose();
            }

            throw;
        }
    }

    private async Task AddAsync(
        List<FileDescriptor> sockets, NbdExportInfo first, int connections, CancellationToken cancellationToken)
    {
        NbdHandshakeOptions handshake = _handshake.Timeout < FurtherHandshakeTimeout
            ? _handshake
            : _handshake with { Timeout = FurtherHandshakeTimeout };
        while (sockets.Count < connections)
        {
            NegotiatedSocket more;
            try
            {
                more = await _transport.OpenAgainAsync(handshake, cancellationToken).ConfigureAwait(false);
            }
            catch (NbdException e)
            {
                Log.FewerConnections(_logger, sockets.Count, connections, e.Message);
                return;
            }

            sockets.Add(more.Socket);
            Prepare(more);
            NbdExportInfo export = more.Negotiated.Export;
            if (export.Size != first.Size || export.Flags != first.Flags || export.BlockSizes != first.BlockSizes)
            {
                throw new NbdProtocolException(
                    "CAN_MULTI_CONN promises the same export on every connection",
                    "a further connection was given another size, other flags or other block sizes");
            }
        }
    }

    /// <summary>Makes sure that the connection is where whoever gets it expects it: at the first byte after the handshake.</summary>
    private static void Prepare(NegotiatedSocket negotiated)
    {
        if (negotiated.Negotiated.StructuredReplies)
        {
            throw new InvalidOperationException("Structured replies were negotiated, and nobody asked for them.");
        }

        // The handshake reads no byte too many. What is there already nobody has asked for: it would be taken for a reply.
        int fd = negotiated.Socket.Value;
        Span<byte> early = stackalloc byte[1];
        int result = Posix.Recv(fd, early, SocketConstants.MSG_PEEK | SocketConstants.MSG_DONTWAIT);
        if (result > 0)
        {
            throw new NbdProtocolException(
                "proto.md, Transmission: a server sends nothing but replies to requests", "it sent more after the handshake, unasked");
        }

        if (result != -Errno.EAGAIN)
        {
            throw new NbdConnectException(
                NbdConnectFailure.ClosedByServer,
                $"the server closed the connection after the handshake{(result == 0 ? string.Empty : ": " + Errno.Describe(result))}; see its log");
        }

        PosixException.Check(Posix.SetNonBlocking(fd, false), "make the connection blocking");
    }
}
