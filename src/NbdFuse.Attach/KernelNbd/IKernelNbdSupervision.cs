namespace NbdFuse.Attach.KernelNbd;

/// <summary>What the supervisor of a device sees and does.</summary>
public interface IKernelNbdSupervision
{
    /// <summary>Connections that live.</summary>
    int Alive { get; }

    /// <summary>Connections that are dead.</summary>
    int Dead { get; }

    /// <summary>Whether the device is still ours.</summary>
    bool IsOurs { get; }

    /// <summary>Milliseconds of a clock that never goes back.</summary>
    long Now { get; }

    /// <summary>Waits until a connection dies, the device ends, or the wait is ended.</summary>
    /// <returns>What happened.</returns>
    KernelNbdLinkEvent WaitForLoss();

    /// <summary>Waits.</summary>
    /// <param name="milliseconds">How long.</param>
    /// <returns>False when the supervision was ended meanwhile.</returns>
    bool Delay(int milliseconds);

    /// <summary>Makes new connections.</summary>
    /// <param name="connections">How many, at most.</param>
    /// <param name="sameServer">Others live: it must be the very server of those.</param>
    /// <returns>The connections; the caller owns them.</returns>
    /// <exception cref="IOException">None is to be had.</exception>
    /// <exception cref="Protocol.NbdException">The server can't be reached, refuses, or breaks the protocol.</exception>
    /// <exception cref="OperationCanceledException">The supervision was ended.</exception>
    KernelNbdOffer Negotiate(int connections, bool sameServer);

    /// <summary>Hands connections to the kernel in the place of dead ones.</summary>
    /// <param name="offer">The connections.</param>
    /// <exception cref="AttachException">The kernel does not take them.</exception>
    void HandOver(KernelNbdOffer offer);

    /// <summary>Lets the device grow, whose connections are all new.</summary>
    /// <param name="export">What the server says now.</param>
    /// <exception cref="AttachException">The kernel does not take the new size.</exception>
    void Grow(Protocol.NbdExportInfo export);

    /// <summary>Fails all requests, in flight and to come, for good.</summary>
    /// <param name="reason">Why; one clause for the user.</param>
    void FailClosed(string reason);

    /// <summary>Tells how the device is.</summary>
    /// <param name="isOnline">All connections live.</param>
    /// <param name="reason">Why not; one clause for the user, or null.</param>
    void Report(bool isOnline, string? reason);
}
