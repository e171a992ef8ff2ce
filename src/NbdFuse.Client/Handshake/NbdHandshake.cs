using Microsoft.Extensions.Logging;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>
/// The client's half of the newstyle handshake (proto.md, "Handshake phase") on a connected, non-blocking socket. The socket
/// stays the caller's in every case; after any error, and after everything but <see cref="NbdHandshakeGoal.Go"/>, it is of
/// no use any more and is to be closed. The errors: <see cref="NbdServerErrorException"/> when the server refused,
/// <see cref="NbdProtocolException"/> when it broke a rule, <see cref="NbdConnectException"/> for all else.
/// </summary>
public static class NbdHandshake
{
    /// <summary>Negotiates one export.</summary>
    /// <param name="socket">A connected, non-blocking stream socket on which nothing has been read.</param>
    /// <param name="options">What to negotiate.</param>
    /// <param name="logger">Where the steps are logged.</param>
    /// <param name="cancellationToken">Breaks the handshake off.</param>
    public static Task<NbdNegotiated> NegotiateAsync(
        FileDescriptor socket,
        NbdHandshakeOptions options,
        ILogger logger,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (!NbdText.IsValidExportName(options.ExportName, out string? error))
        {
            return Task.FromException<NbdNegotiated>(
                new NbdConnectException(NbdConnectFailure.InvalidExportName, $"{error}; use a shorter or plain name"));
        }

        return RunAsync(socket, options, logger, session => session.Negotiate(), cancellationToken);
    }

    /// <summary>Lists the exports of a server, and ends the session.</summary>
    /// <param name="socket">A connected, non-blocking stream socket on which nothing has been read.</param>
    /// <param name="options">Limits; name and goal are not used.</param>
    /// <param name="withInfo">Whether to ask about each export, too.</param>
    /// <param name="logger">Where the steps are logged.</param>
    /// <param name="cancellationToken">Breaks the handshake off.</param>
    public static Task<NbdListing> ListAsync(
        FileDescriptor socket,
        NbdHandshakeOptions options,
        bool withInfo,
        ILogger logger,
        CancellationToken cancellationToken = default) =>
        RunAsync(socket, options, logger, session => session.List(withInfo), cancellationToken);

    private static Task<T> RunAsync<T>(
        FileDescriptor socket,
        NbdHandshakeOptions options,
        ILogger logger,
        Func<HandshakeSession, T> conversation,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(socket);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(logger);
        return BlockingWork.RunAsync(
            () =>
            {
                using var channel = new HandshakeChannel(socket, options.Timeout, options.MaxBytes, cancellationToken);
                return conversation(new HandshakeSession(channel, options, logger));
            },
            cancellationToken);
    }
}
