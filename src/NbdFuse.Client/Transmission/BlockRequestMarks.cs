using NbdFuse.Block;

namespace NbdFuse.Client.Transmission;

/// <summary>Bits of <see cref="BlockRequest.DeviceState"/>: what the export knows of a request.</summary>
internal static class BlockRequestMarks
{
    /// <summary>It was given to a socket, in part at least: the server may have seen it, and may act on it.</summary>
    public const int Sent = 1;

    /// <summary>Room in the write log is set aside for it.</summary>
    public const int Reserved = 2;

    /// <summary>Of the export's own, in the place of a sequence number: a FLUSH that makes room in the write log.</summary>
    public const long OwnFlush = -1;

    /// <summary>Of the export's own, in the place of a sequence number: an entry of the write log, sent again.</summary>
    public const long Replay = -2;

    /// <summary>Of the export's own, in the place of a sequence number: a READ that shows whether this is the same disk.</summary>
    public const long Check = -3;

    /// <summary>Of the export's own, in the place of a sequence number: a READ that shows whether a server still runs.</summary>
    public const long Probe = -4;
}
