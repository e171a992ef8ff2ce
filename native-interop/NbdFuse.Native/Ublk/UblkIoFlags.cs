namespace NbdFuse.Native.Ublk;

/// <summary>UBLK_IO_F_* (linux/ublk_cmd.h).</summary>
[Flags]
public enum UblkIoFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Don't retry errors of the device.</summary>
    FailFastDevice = 0x100,

    /// <summary>Don't retry errors of the transport.</summary>
    FailFastTransport = 0x200,

    /// <summary>Don't retry errors of the driver.</summary>
    FailFastDriver = 0x400,

    /// <summary>Metadata of a file system.</summary>
    Metadata = 0x800,

    /// <summary>Durable before it is acknowledged.</summary>
    Fua = 0x2000,

    /// <summary>Zeroes stay allocated.</summary>
    NoUnmap = 0x8000,

    /// <summary>Swap.</summary>
    Swap = 0x10000,
}
