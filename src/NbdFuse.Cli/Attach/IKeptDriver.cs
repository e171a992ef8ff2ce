using NbdFuse.Attach;

namespace NbdFuse.Cli;

/// <summary>A driver whose devices can be gone on with by another process, which a keeper starts.</summary>
internal interface IKeptDriver : IDeviceDriver
{
    /// <summary>Whether users of the device wait, rather than get errors, when there is neither a process nor a keeper.</summary>
    bool OutlivesKeeper { get; }

    /// <summary>Prepares to go on with the device of a process that has died; nothing is answered before <see cref="TakeOverAsync"/>.</summary>
    /// <param name="state">What that process has written down.</param>
    /// <param name="interrupted">Ends the search for the server.</param>
    /// <returns>The device.</returns>
    /// <exception cref="KeptExportException">The server has another export, or what was left is damaged.</exception>
    Task<DriverDevice> ResumeAsync(AttachState state, CancellationToken interrupted);

    /// <summary>Begins to answer, once the server has let go of the dead process's connections.</summary>
    /// <exception cref="KeptExportException">The server has another disk: nothing was written to it.</exception>
    /// <exception cref="IOException">The keeper has died meanwhile, or the device cannot be taken over; another process may try.</exception>
    Task TakeOverAsync();

    /// <summary>Why this process cannot make room for another on purpose; null when it can.</summary>
    string? WhyNoUpgrade { get; }

    /// <summary>Answers what was taken, makes it durable, and leaves the device to another process.</summary>
    /// <returns>False when the device has ended meanwhile.</returns>
    Task<bool> HandOverAsync();
}
