using NbdFuse.Block;
using NbdFuse.Protocol;

namespace NbdFuse.Client.Transmission;

/// <summary>Whoever gave requests to a <see cref="ConnectionSet"/>. Called on the export's loop, except for error texts.</summary>
internal interface IConnectionSetOwner
{
    /// <summary>A request has ended, or comes back.</summary>
    /// <param name="request">The request.</param>
    /// <param name="error">Linux errno, positive; 0 on success; <see cref="NbdConnection.Lost"/> when it comes back.</param>
    void OnRequestEnded(BlockRequest request, int error);

    /// <summary>The server explained an error in words. On any thread.</summary>
    /// <param name="request">The request that failed.</param>
    /// <param name="error">Linux errno.</param>
    /// <param name="text">The server's bytes, as sent.</param>
    void OnErrorText(BlockRequest request, int error, ReadOnlySpan<byte> text);

    /// <summary>A connection is dead and takes part no more; its requests come back, or have come back already.</summary>
    /// <param name="set">The set that it belonged to.</param>
    /// <param name="connection">The connection.</param>
    /// <param name="reason">Why.</param>
    void OnConnectionFailed(ConnectionSet set, NbdConnection connection, NbdException reason);

    /// <summary>The server said ESHUTDOWN: nothing new may be sent to it.</summary>
    /// <param name="set">The set.</param>
    void OnServerShutdown(ConnectionSet set);
}
