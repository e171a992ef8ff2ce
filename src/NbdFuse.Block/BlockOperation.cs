namespace NbdFuse.Block;

/// <summary>What a block request asks of a device. The order is stable: statistics index by it.</summary>
public enum BlockOperation : byte
{
    /// <summary>Fill the buffer from the device.</summary>
    Read = 0,

    /// <summary>Store the buffer on the device.</summary>
    Write = 1,

    /// <summary>Make every write that was completed before this request was submitted durable.</summary>
    Flush = 2,

    /// <summary>Give the range back: its content is undefined until it is written again.</summary>
    Trim = 3,

    /// <summary>Make the range read back as zeroes.</summary>
    WriteZeroes = 4,

    /// <summary>Advice that the range will be read soon. Success proves nothing, failure harms nothing.</summary>
    Cache = 5,

    /// <summary>
    /// Tell what the start of the range is: <see cref="BlockRequest.StatusLength"/> bytes from the offset on are of one
    /// <see cref="BlockRequest.Status"/>. Whole minimum blocks only.
    /// </summary>
    BlockStatus = 6,
}
