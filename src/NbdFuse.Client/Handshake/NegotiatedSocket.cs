using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>A connection in the transmission phase, and what was negotiated on it.</summary>
/// <param name="Socket">The non-blocking socket; owned by whoever holds this.</param>
/// <param name="Negotiated">Result of the handshake.</param>
public sealed record NegotiatedSocket(FileDescriptor Socket, NbdNegotiated Negotiated);
