namespace NbdFuse.Native.Ublk;

/// <summary>UBLK_S_DEV_* (linux/ublk_cmd.h).</summary>
public enum UblkState : ushort
{
    /// <summary>Not started, or stopped.</summary>
    Dead = 0,

    /// <summary>Served.</summary>
    Live = 1,

    /// <summary>Its server is gone; requests wait for a new one.</summary>
    Quiesced = 2,

    /// <summary>Its server is gone; requests fail until there is a new one (6.13).</summary>
    FailIo = 3,
}
