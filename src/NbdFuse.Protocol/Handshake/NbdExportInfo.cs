namespace NbdFuse.Protocol;

/// <summary>What a server said about an export during the handshake.</summary>
public sealed record NbdExportInfo
{
    /// <summary>The name that was asked for; empty is the default export.</summary>
    public required string Name { get; init; }

    /// <summary>The server's canonical name (NBD_INFO_NAME), or null when it sent none.</summary>
    public string? CanonicalName { get; init; }

    /// <summary>Text for humans (NBD_INFO_DESCRIPTION), without control characters, or null.</summary>
    public string? Description { get; init; }

    /// <summary>Size in bytes.</summary>
    public required ulong Size { get; init; }

    /// <summary>Transmission flags, unknown bits included.</summary>
    public required NbdTransmissionFlags Flags { get; init; }

    /// <summary>Block sizes in bytes, or null when the server advertised none or invalid ones.</summary>
    public NbdBlockSizes? BlockSizes { get; init; }

    /// <summary>NBD_FLAG_READ_ONLY.</summary>
    public bool IsReadOnly => Has(NbdTransmissionFlags.ReadOnly);

    /// <summary>NBD_FLAG_ROTATIONAL.</summary>
    public bool IsRotational => Has(NbdTransmissionFlags.Rotational);

    /// <summary>NBD_FLAG_SEND_FLUSH.</summary>
    public bool CanFlush => Has(NbdTransmissionFlags.SendFlush);

    /// <summary>NBD_FLAG_SEND_FUA.</summary>
    public bool CanFua => Has(NbdTransmissionFlags.SendFua);

    /// <summary>NBD_FLAG_SEND_TRIM.</summary>
    public bool CanTrim => Has(NbdTransmissionFlags.SendTrim);

    /// <summary>NBD_FLAG_SEND_WRITE_ZEROES.</summary>
    public bool CanWriteZeroes => Has(NbdTransmissionFlags.SendWriteZeroes);

    /// <summary>NBD_FLAG_SEND_FAST_ZERO.</summary>
    public bool CanFastZero => Has(NbdTransmissionFlags.SendFastZero);

    /// <summary>NBD_FLAG_SEND_DF.</summary>
    public bool CanDf => Has(NbdTransmissionFlags.SendDf);

    /// <summary>NBD_FLAG_CAN_MULTI_CONN.</summary>
    public bool CanMultiConn => Has(NbdTransmissionFlags.CanMultiConn);

    /// <summary>NBD_FLAG_SEND_CACHE.</summary>
    public bool CanCache => Has(NbdTransmissionFlags.SendCache);

    private bool Has(NbdTransmissionFlags flag) => (Flags & flag) != 0;
}
