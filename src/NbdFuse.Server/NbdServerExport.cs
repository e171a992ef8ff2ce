using NbdFuse.Protocol;

namespace NbdFuse.Server;

/// <summary>One export of an <see cref="NbdServer"/>. Its backend stays the property of whoever made it.</summary>
public sealed record NbdServerExport
{
    /// <summary>Name that clients ask for. The first export of a server is also found by the empty name.</summary>
    public string Name { get; init; } = string.Empty;

    /// <summary>Text for humans, 4096 bytes at most, or null.</summary>
    public string? Description { get; init; }

    /// <summary>Where the bytes are.</summary>
    public required IBackend Backend { get; init; }

    /// <summary>Refuse writes of every kind.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>
    /// Block sizes in bytes to announce and enforce; by default 1, 4096, and <see cref="NbdLimits.MaxPayloadBytes"/>.
    /// </summary>
    public NbdBlockSizes BlockSizes { get; init; } =
        new(NbdLimits.DefaultMinimumBlock, NbdLimits.DefaultPreferredBlock, NbdLimits.MaxPayloadBytes);

    /// <summary>
    /// Announce NBD_FLAG_CAN_MULTI_CONN. True by default: all connections share one backend, so that FLUSH on one of them
    /// covers all.
    /// </summary>
    public bool MultiConn { get; init; } = true;

    internal bool IsReadOnly => ReadOnly || Backend.IsReadOnly;

    internal NbdTransmissionFlags Flags(bool structured, bool statusPayload)
    {
        NbdTransmissionFlags flags = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush
            | NbdTransmissionFlags.SendFua | NbdTransmissionFlags.SendCache;
        flags |= IsReadOnly
            ? NbdTransmissionFlags.ReadOnly
            : NbdTransmissionFlags.SendTrim | NbdTransmissionFlags.SendWriteZeroes | NbdTransmissionFlags.SendFastZero;

        // SEND_DF must not be set before structured replies were negotiated (proto.md, "Transmission flags").
        flags |= structured ? NbdTransmissionFlags.SendDf : 0;
        flags |= statusPayload ? NbdTransmissionFlags.BlockStatusPayload : 0;
        flags |= MultiConn ? NbdTransmissionFlags.CanMultiConn : 0;
        flags |= Backend.IsRotational ? NbdTransmissionFlags.Rotational : 0;
        return flags;
    }
}
