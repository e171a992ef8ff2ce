using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>A connection in the transmission phase, and what was negotiated on it.</summary>
/// <param name="Socket">The non-blocking socket; owned by whoever holds this.</param>
/// <param name="Negotiated">Result of the handshake.</param>
public sealed record NegotiatedSocket(FileDescriptor Socket, NbdNegotiated Negotiated)
{
    /// <summary>
    /// Tells, when the socket is only the near end of something (TLS), whether the line behind it broke rather than was closed by
    /// the server. Null when the socket speaks for itself. May be called on any thread.
    /// </summary>
    internal Func<bool>? IsCutOff { get; init; }
}
