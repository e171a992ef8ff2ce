using NbdFuse.Attach;
using NbdFuse.Client;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>
/// One way to make a block device of an export, and one device made in that way. <see cref="AttachDaemon"/> drives it: brings it up
/// once, asks it while it lives, and takes it down, politely or by force.
/// </summary>
/// <remarks>
/// THREADING: control plane. The daemon calls <see cref="BringUpAsync"/> first; after it <see cref="TakeDownAsync"/>,
/// <see cref="TakeDownByForceAsync"/> and <see cref="FinishAsync"/> take turns, while <see cref="AbortAsync"/> and the properties
/// may be used at any time, also during one of them. No member may touch the device from a thread of this process when this
/// process serves it: that is for a process of its own (<see cref="LoopHelper"/>).
/// </remarks>
internal interface IDeviceDriver : IAsyncDisposable
{
    /// <summary>Its name: fuse, ublk, nbd.</summary>
    string Name { get; }

    /// <summary>Ends when the device has ended without us: taken down by somebody else, or failed.</summary>
    Task<DriverEnd> Ended { get; }

    /// <summary>Ends when the server is lost for good, with the reason; the device stays, and answers errors.</summary>
    Task<NbdException> ServerLost { get; }

    /// <summary>Why requests wait at present for the server to come back; null when they do not.</summary>
    string? Outage => null;

    /// <summary>What was done to survive losses of the server; null when that is not this process's business.</summary>
    RecoveryStatus? Recovery => null;

    /// <summary>The export that this process serves; null before it is there, and when the kernel serves it.</summary>
    NbdExport? Export => null;

    /// <summary>Requests in flight; may lag behind by a few.</summary>
    int InFlight { get; }

    /// <summary>Connections to the server at present.</summary>
    int Connections { get; }

    /// <summary>Counters per kind of request.</summary>
    IReadOnlyList<OperationStatus> Operations { get; }

    /// <summary>What was asked in detail; null when the kernel serves the device.</summary>
    ActivityStatus? Activity => null;

    /// <summary>What this driver promises, and what it cannot promise here; those of the process are not among them.</summary>
    IReadOnlyList<Guarantee> Guarantees { get; }

    /// <summary>Makes the device, so that it can be used when this returns, its partitions too.</summary>
    /// <param name="interrupted">Somebody wants it no more.</param>
    /// <returns>The device.</returns>
    /// <exception cref="IOException">It could not, or was interrupted; no device is left, and disposing does the rest.</exception>
    /// <exception cref="OperationCanceledException">It was interrupted; no device is left.</exception>
    Task<DriverDevice> BringUpAsync(CancellationToken interrupted);

    /// <summary>
    /// Flushes, removes partitions and device, says goodbye to the server. Refuses, and leaves all as it is, while somebody uses
    /// the device or when what was written cannot be flushed.
    /// </summary>
    /// <returns>Whether it was done; otherwise who uses the device, or what failed.</returns>
    Task<TakeDownResult> TakeDownAsync();

    /// <summary>
    /// Fails all requests in flight and to come, so that whoever waits for the device wakes up: also an earlier, patient
    /// <see cref="TakeDownAsync"/>. May be called several times.
    /// </summary>
    Task AbortAsync();

    /// <summary>Takes the device down whoever uses it; always ends. <see cref="AbortAsync"/> has been called.</summary>
    /// <returns>Done, with who keeps the kernel from freeing the device at once; or what was left.</returns>
    Task<TakeDownResult> TakeDownByForceAsync();

    /// <summary>After <see cref="Ended"/> with a clean end: flushes what the server may hold, and says goodbye.</summary>
    /// <returns>Done; the message tells what failed, or null.</returns>
    Task<TakeDownResult> FinishAsync();
}
