namespace NbdFuse.Attach.KernelNbd;

/// <summary>Why a supervision has ended.</summary>
public enum KernelNbdSupervisionEnd
{
    /// <summary>It was asked to.</summary>
    Stopped = 0,

    /// <summary>Somebody else has disconnected the device.</summary>
    Gone = 1,

    /// <summary>No server, or another export: all requests fail.</summary>
    GivenUp = 2,
}
