namespace NbdFuse.Native.Ublk;

/// <summary>UBLK_ATTR_* (linux/ublk_cmd.h).</summary>
[Flags]
public enum UblkAttributes : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Writes fail.</summary>
    ReadOnly = 1,

    /// <summary>Seeks cost.</summary>
    Rotational = 2,

    /// <summary>FLUSH is needed; without it none is ever sent.</summary>
    VolatileCache = 4,

    /// <summary>FUA is understood; counts only beside <see cref="VolatileCache"/>.</summary>
    Fua = 8,
}
