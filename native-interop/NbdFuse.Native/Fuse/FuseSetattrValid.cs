namespace NbdFuse.Native.Fuse;

/// <summary>Which fields of SETATTR count (FATTR_, linux/fuse.h).</summary>
[Flags]
public enum FuseSetattrValid : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Mode.</summary>
    Mode = 1,

    /// <summary>Owner.</summary>
    Uid = 2,

    /// <summary>Group.</summary>
    Gid = 4,

    /// <summary>Size: a truncation.</summary>
    Size = 8,

    /// <summary>Access time.</summary>
    AccessTime = 16,

    /// <summary>Modification time.</summary>
    ModifyTime = 32,

    /// <summary>Handle.</summary>
    Handle = 64,

    /// <summary>Access time is now.</summary>
    AccessTimeNow = 128,

    /// <summary>Modification time is now.</summary>
    ModifyTimeNow = 256,

    /// <summary>Lock owner.</summary>
    LockOwner = 512,

    /// <summary>Change time.</summary>
    ChangeTime = 1024,

    /// <summary>Clear set-user-id bits.</summary>
    KillSuidGid = 2048,
}
