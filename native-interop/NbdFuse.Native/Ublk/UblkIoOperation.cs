namespace NbdFuse.Native.Ublk;

/// <summary>UBLK_IO_OP_* (linux/ublk_cmd.h).</summary>
public enum UblkIoOperation : byte
{
    /// <summary>Fill the buffer.</summary>
    Read = 0,

    /// <summary>Store the buffer.</summary>
    Write = 1,

    /// <summary>Make durable what was acknowledged.</summary>
    Flush = 2,

    /// <summary>Give the range back.</summary>
    Discard = 3,

    /// <summary>Never sent.</summary>
    WriteSame = 4,

    /// <summary>Make the range read back as zeroes.</summary>
    WriteZeroes = 5,
}
