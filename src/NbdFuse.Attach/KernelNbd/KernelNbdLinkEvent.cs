namespace NbdFuse.Attach.KernelNbd;

/// <summary>What a wait for the connections of a device ended with.</summary>
public enum KernelNbdLinkEvent
{
    /// <summary>The wait was ended.</summary>
    Stopped = 0,

    /// <summary>At least one connection is dead.</summary>
    Lost = 1,

    /// <summary>The device is not ours any more: somebody has disconnected it.</summary>
    Gone = 2,
}
