using NbdFuse.Block;

namespace NbdFuse.Client.Transmission;

/// <summary>One command in flight on a connection, and what has come back of its reply.</summary>
internal struct InFlightSlot
{
    /// <summary>The request, or null while the slot is free.</summary>
    public BlockRequest? Request;

    /// <summary>Number of times that the slot was used: a reply to an older use is recognised by its cookie.</summary>
    public uint Generation;

    /// <summary>First error of the reply, as a Linux errno; 0 while there is none.</summary>
    public int Error;

    /// <summary>A chunk of the reply has been seen.</summary>
    public bool HasChunks;

    /// <summary>
    /// Bytes that the connection has sent once the command's last byte is with the socket; the largest number while the
    /// command is not queued for sending.
    /// </summary>
    public long SentAt;

    /// <summary>End of the part of a READ that has arrived without a gap from its start, an offset in the export.</summary>
    public long CoveredEnd;

    /// <summary>What has arrived beyond a gap, or null: servers that answer in order never need it.</summary>
    public ReadFragments? Fragments;
}
