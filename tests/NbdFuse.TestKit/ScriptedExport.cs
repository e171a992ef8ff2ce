using NbdFuse.Protocol;

namespace NbdFuse.TestKit;

/// <summary>What a script says about its export.</summary>
public sealed record ScriptedExport
{
    /// <summary>Size in bytes.</summary>
    public ulong Size { get; init; } = 1 << 20;

    /// <summary>Transmission flags.</summary>
    public NbdTransmissionFlags Flags { get; init; } = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush
        | NbdTransmissionFlags.SendFua | NbdTransmissionFlags.SendTrim | NbdTransmissionFlags.SendWriteZeroes
        | NbdTransmissionFlags.SendFastZero | NbdTransmissionFlags.SendCache;

    /// <summary>Agree to structured replies.</summary>
    public bool Structured { get; init; } = true;

    /// <summary>Minimum, preferred and maximum block in bytes, valid or not, or null to announce none.</summary>
    public (uint Minimum, uint Preferred, uint Maximum)? BlockSizes { get; init; }

    /// <summary>Canonical name to announce, or null.</summary>
    public string? Name { get; init; }

    /// <summary>Description to announce, or null.</summary>
    public string? Description { get; init; }
}
