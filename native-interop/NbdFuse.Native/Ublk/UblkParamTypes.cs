namespace NbdFuse.Native.Ublk;

/// <summary>UBLK_PARAM_TYPE_* (linux/ublk_cmd.h).</summary>
[Flags]
public enum UblkParamTypes : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary><see cref="UblkBasicParams"/>.</summary>
    Basic = 1,

    /// <summary><see cref="UblkDiscardParams"/>.</summary>
    Discard = 2,

    /// <summary><see cref="UblkDeviceNumbers"/>; never set by the caller.</summary>
    DeviceNumbers = 4,
}
