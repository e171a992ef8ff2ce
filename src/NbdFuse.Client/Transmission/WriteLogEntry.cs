using NbdFuse.Block;

namespace NbdFuse.Client.Transmission;

/// <summary>One acknowledged change in the write log.</summary>
internal struct WriteLogEntry
{
    /// <summary>First byte in the export.</summary>
    public long Offset;

    /// <summary>Bytes in the export.</summary>
    public long Length;

    /// <summary>Where the payload of a WRITE begins: bytes that the arena has taken since it was last empty.</summary>
    public long Position;

    /// <summary>Write, WriteZeroes or Trim.</summary>
    public BlockOperation Operation;

    /// <summary>WriteZeroes must leave the range allocated.</summary>
    public bool NoHole;
}
