namespace NbdFuse.Block;

/// <summary>What a range of a device is, as far as the device knows.</summary>
[Flags]
public enum BlockStatus : byte
{
    /// <summary>Data, or unknown.</summary>
    Data = 0,

    /// <summary>Takes no room. Alone it says nothing about the content.</summary>
    Hole = 1,

    /// <summary>Reads as zeroes.</summary>
    Zero = 2,
}
