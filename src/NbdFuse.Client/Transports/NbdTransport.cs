using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>
/// Makes connections to one target, and owns what that needs: a child process, a temporary socket, resolved addresses.
/// Safe to use from several threads. The connections belong to the caller, who closes them before the transport, so
/// that a command sees the end of its input.
/// </summary>
public abstract class NbdTransport : IAsyncDisposable
{
    private protected NbdTransport(NbdTarget target, NbdTransportOptions options, ILogger logger)
    {
        Target = target;
        Options = options;
        Logger = logger;
        Tls = options.Tls.Mode == NbdTlsMode.Off ? null : new TlsClient(options.Tls, target, logger);
    }

    /// <summary>What is connected to.</summary>
    public NbdTarget Target { get; }

    private protected NbdTransportOptions Options { get; }

    private protected ILogger Logger { get; }

    /// <summary>TLS for the connections of this transport; null when they stay in plain text.</summary>
    internal TlsClient? Tls { get; }

    /// <summary>Makes the transport of a target; nothing is connected or started yet.</summary>
    /// <param name="target">What to connect to.</param>
    /// <param name="options">Deadlines and liveness; null for the defaults.</param>
    /// <param name="logger">Where the steps are logged; null for nowhere.</param>
    public static NbdTransport Create(NbdTarget target, NbdTransportOptions? options = null, ILogger? logger = null)
    {
        options ??= new NbdTransportOptions();
        logger ??= NullLogger.Instance;
        return target switch
        {
            TcpTarget tcp => new TcpTransport(tcp, options, logger),
            UnixTarget or VsockTarget => new LocalTransport(target, options, logger),
            DescriptorTarget descriptor => new DescriptorTransport(descriptor, options, logger),
            CommandTarget command => new CommandTransport(command, options, logger),
            SocketActivationTarget activation => new SocketActivationTransport(activation, options, logger),
            _ => throw new ArgumentException($"Unknown kind of target: {target}", nameof(target)),
        };
    }

    /// <summary>Makes one connection: a non-blocking stream socket that is closed on exec.</summary>
    /// <exception cref="NbdConnectException">There is none to be had before the deadline.</exception>
    public abstract Task<FileDescriptor> ConnectAsync(CancellationToken cancellationToken = default);

    /// <summary>
    /// Makes one more connection to the very server of the last one. Another address of the same name may be another server,
    /// whose FLUSH would not cover what this one acknowledged.
    /// </summary>
    /// <exception cref="NbdConnectException">There is none to be had before the deadline.</exception>
    public virtual Task<FileDescriptor> ConnectAgainAsync(CancellationToken cancellationToken = default) =>
        ConnectAsync(cancellationToken);

    /// <summary>Makes one connection and negotiates on it.</summary>
    /// <param name="options">What to negotiate; the goal must be <see cref="NbdHandshakeGoal.Go"/>.</param>
    /// <param name="cancellationToken">Breaks the attempt off.</param>
    /// <exception cref="NbdException">No connection, no NBD server, or a refusal: see <see cref="NbdHandshake"/>.</exception>
    public Task<NegotiatedSocket> OpenAsync(NbdHandshakeOptions options, CancellationToken cancellationToken = default) =>
        OpenAsync(options, ConnectAsync, cancellationToken);

    /// <summary>Makes one more connection to the very server of the last one, and negotiates on it.</summary>
    /// <param name="options">What to negotiate; the goal must be <see cref="NbdHandshakeGoal.Go"/>.</param>
    /// <param name="cancellationToken">Breaks the attempt off.</param>
    /// <exception cref="NbdException">No connection, no NBD server, or a refusal: see <see cref="NbdHandshake"/>.</exception>
    public Task<NegotiatedSocket> OpenAgainAsync(NbdHandshakeOptions options, CancellationToken cancellationToken = default) =>
        OpenAsync(options, ConnectAgainAsync, cancellationToken);

    private async Task<NegotiatedSocket> OpenAsync(
        NbdHandshakeOptions options,
        Func<CancellationToken, Task<FileDescriptor>> connect,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Goal != NbdHandshakeGoal.Go)
        {
            throw new ArgumentException("Only the goal Go leaves a connection to use.", nameof(options));
        }

        FileDescriptor? socket = null;
        TlsUpgrade? tls = Tls?.Prepare();
        try
        {
            return await ConverseAsync(
                connect,
                async connected =>
                {
                    socket = connected;
                    NbdNegotiated negotiated = await NbdHandshake
                        .NegotiateAsync(connected, options with { Tls = tls }, Logger, cancellationToken).ConfigureAwait(false);
                    return tls?.Socket is { } inside
                        ? new NegotiatedSocket(inside, negotiated) { IsCutOff = tls.IsCutOff }
                        : new NegotiatedSocket(connected, negotiated);
                },
                cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            tls?.Dispose();
            if (socket is not null)
            {
                OnHandshakeFailed();

                // Others may hold it, too (NbdTransportOptions.Connected): closing alone would not tell the server.
                _ = Posix.Shutdown(socket.Value, SocketConstants.SHUT_RDWR);
                socket.Dispose();
            }

            throw;
        }
    }

    /// <summary>There was a connection, and nothing came of it.</summary>
    private protected virtual void OnHandshakeFailed()
    {
    }

    /// <summary>
    /// Ends what was started for the connections without waiting for its end: the process is about to be killed, and nobody
    /// else would. May be called at any time, from any thread.
    /// </summary>
    public virtual void Abandon()
    {
    }

    /// <inheritdoc/>
    public virtual ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return Tls is null ? ValueTask.CompletedTask : Tls.DisposeAsync();
    }

    /// <summary>
    /// Connects and runs a conversation, which disposes the socket or keeps it; its failures are explained by what the
    /// transport knows.
    /// </summary>
    internal Task<T> ConverseAsync<T>(Func<FileDescriptor, Task<T>> conversation, CancellationToken cancellationToken) =>
        ConverseAsync(ConnectAsync, conversation, cancellationToken);

    private async Task<T> ConverseAsync<T>(
        Func<CancellationToken, Task<FileDescriptor>> connect,
        Func<FileDescriptor, Task<T>> conversation,
        CancellationToken cancellationToken)
    {
        FileDescriptor socket = await connect(cancellationToken).ConfigureAwait(false);
        Options.Connected?.Invoke(socket);
        try
        {
            return await conversation(socket).ConfigureAwait(false);
        }
        catch (NbdConnectException e)
        {
            throw await ExplainAsync(e).ConfigureAwait(false) ?? e;
        }
    }

    /// <summary>A better reason for a failed conversation, such as the end of the command, or null.</summary>
    private protected virtual Task<NbdConnectException?> ExplainAsync(NbdConnectException failure) =>
        Task.FromResult<NbdConnectException?>(null);
}
