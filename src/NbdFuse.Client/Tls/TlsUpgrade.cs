using Microsoft.Extensions.Logging;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Takes one connection from plain text to TLS. Runs once, on the thread of the handshake.</summary>
internal sealed class TlsUpgrade : IDisposable
{
    private const int PairBufferBytes = 1 << 20;

    private readonly TlsClient _client;
    private readonly TlsContext _context;
    private readonly TlsErrors _errors;
    private readonly string? _host;
    private readonly ILogger _logger;
    private TlsPump? _pump;

    /// <summary>Prepares: <see cref="TlsClient.Prepare"/>.</summary>
    public TlsUpgrade(TlsClient client, TlsContext context, TlsErrors errors, string? host, ILogger logger)
    {
        _client = client;
        _context = context;
        _errors = errors;
        _host = host;
        _logger = logger;
    }

    /// <summary>Whether the connection must not go on in plain text.</summary>
    public bool IsRequired => _client.IsRequired;

    /// <summary>The connection inside TLS, or null before the upgrade. Belongs to whoever has this object, which does not close it.</summary>
    public FileDescriptor? Socket { get; private set; }


    /// <summary>The TLS handshake, under the deadline of the channel, which goes on inside TLS.</summary>
    /// <param name="channel">The channel, right after the acknowledgement of NBD_OPT_STARTTLS.</param>
    /// <exception cref="NbdException">There is no TLS; the connection is of no use any more.</exception>
    public void Run(HandshakeChannel channel)
    {
        FileDescriptor socket = channel.Socket;
        RequireSilence(socket);
        TlsSession session;
        try
        {
            session = _context.Open(socket, _host);
        }
        catch (TlsException e)
        {
            throw new NbdConnectException(NbdConnectFailure.TlsFailed, e.Message, e);
        }

        try
        {
            channel.Awaited = "the TLS handshake";
            Handshake(session, channel);
            Log.TlsEstablished(_logger, session.Version, session.Cipher, _context.Kind.ToString());
            Start(session, socket);
        }
        catch
        {
            session.Dispose();
            throw;
        }

        channel.Continue(Socket!, Explain);
    }

    /// <summary>Closes the connection inside TLS; for failures.</summary>
    public void Dispose() => Socket?.Dispose();

    // A server is silent until our ClientHello. What is there already was put there by somebody in between, who hopes that it is
    // taken for something said inside TLS.
    private static void RequireSilence(FileDescriptor socket)
    {
        Span<byte> early = stackalloc byte[1];
        int result = Posix.Recv(socket.Value, early, SocketConstants.MSG_PEEK | SocketConstants.MSG_DONTWAIT);
        if (result > 0)
        {
            throw new NbdProtocolException(
                "proto.md, NBD_OPT_STARTTLS: after the acknowledgement there is only TLS, which the client begins",
                "bytes in plain text after it: does something between here and the server tamper with the connection?");
        }
    }

    // With TLS 1.3 a server judges us only after our side of the handshake has ended, and some just hang up.
    private NbdConnectException? Explain() =>
        _pump!.Failure ?? (_pump.HasReceived ? null : _errors.Describe(new TlsFailure("the connection was closed", TlsFailure.UnexpectedEnd, 0, 0)));

    private void Handshake(TlsSession session, HandshakeChannel channel)
    {
        while (true)
        {
            switch (session.Handshake())
            {
                case TlsStatus.Ok:
                    return;
                case TlsStatus.WantRead:
                    channel.WaitFor(PollEvents.In);
                    break;
                case TlsStatus.WantWrite:
                    channel.WaitFor(PollEvents.Out);
                    break;
                default:
                    throw _errors.Describe(session.Failure ?? new TlsFailure("the server said goodbye", TlsFailure.UnexpectedEnd, 0, 0));
            }
        }
    }

    private void Start(TlsSession session, FileDescriptor socket)
    {
        PosixException.Check(
            Posix.SocketPair(
                SocketConstants.AF_UNIX, SocketConstants.SOCK_STREAM | SocketConstants.SOCK_NONBLOCK, out int ours, out int theirs),
            "make a socket pair");
        Socket = FileDescriptor.Own(ours);
        FileDescriptor pair = FileDescriptor.Own(theirs);
        EnlargeBuffer(ours);
        EnlargeBuffer(theirs);
        _pump = new TlsPump(session, socket, pair, _errors, _logger);
        _client.Keep(_pump);
        _pump.Start();
    }

    private static void EnlargeBuffer(int fd)
    {
        if (Posix.SetSockOpt(fd, SocketConstants.SOL_SOCKET, SocketConstants.SO_SNDBUFFORCE, PairBufferBytes) < 0)
        {
            _ = Posix.SetSockOpt(fd, SocketConstants.SOL_SOCKET, SocketConstants.SO_SNDBUF, PairBufferBytes);
        }
    }
}
