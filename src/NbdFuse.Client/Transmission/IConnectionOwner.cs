using NbdFuse.Block;
using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <summary>Whoever gave requests to a connection. Called on the connection's loop.</summary>
internal interface IConnectionOwner
{
    /// <summary>A request has ended.</summary>
    /// <param name="request">The request.</param>
    /// <param name="error">Linux errno, positive; 0 on success.</param>
    void OnRequestEnded(BlockRequest request, int error);

    /// <summary>The server explained an error in words.</summary>
    /// <param name="request">The request that failed.</param>
    /// <param name="error">Linux errno.</param>
    /// <param name="text">The server's bytes, as sent.</param>
    void OnErrorText(BlockRequest request, int error, ReadOnlySpan<byte> text);

    /// <summary>
    /// A connection is dead, and is about to give its requests back; <see cref="OnConnectionFailed"/> follows. Nobody must send
    /// them again before that has been dealt with, on whatever thread.
    /// </summary>
    void OnConnectionFailing();

    /// <summary>The connection is dead; its requests have been ended already.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="reason">The first reason.</param>
    void OnConnectionFailed(NbdConnection connection, NbdException reason);

    /// <summary>The server said ESHUTDOWN: nothing new may be sent to it.</summary>
    /// <param name="connection">The connection.</param>
    void OnServerShutdown(NbdConnection connection);
}
