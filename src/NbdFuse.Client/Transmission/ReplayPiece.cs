namespace NbdFuse.Client.Transmission;

/// <summary>What has to be written again: disjoint from all other pieces of the same plan.</summary>
/// <param name="Offset">First byte in the export.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Payload">Where the bytes lie in the log's arena; less than 0 for zeroes.</param>
/// <param name="NoHole">Zeroes that must leave the range allocated.</param>
internal readonly record struct ReplayPiece(long Offset, long Length, int Payload, bool NoHole)
{
    /// <summary>Whether the piece is zeroes, without payload.</summary>
    public bool IsZeroes => Payload < 0;
}
