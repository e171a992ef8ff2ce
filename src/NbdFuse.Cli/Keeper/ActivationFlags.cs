namespace NbdFuse.Cli;

/// <summary>What a worker starts as.</summary>
[Flags]
internal enum ActivationFlags : byte
{
    /// <summary>The first: it makes the mount.</summary>
    None = 0,

    /// <summary>It goes on with a mount that another worker has served.</summary>
    Resume = 1,

    /// <summary>The file was usable already.</summary>
    Usable = 2,

    /// <summary>A <see cref="KeeperMessage.LeftLog"/> follows.</summary>
    LeftLog = 4,

    /// <summary>A <see cref="KeeperMessage.LeftBuffers"/> follows, after the log.</summary>
    LeftBuffers = 8,
}
