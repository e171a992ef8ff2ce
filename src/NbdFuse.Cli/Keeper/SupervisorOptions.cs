using Microsoft.Extensions.Logging;

namespace NbdFuse.Cli;

/// <summary>What a keeper starts, and whom it tells of it.</summary>
internal sealed record SupervisorOptions
{
    /// <summary>Environment variable: 1 for a keeper that does as on Linux before 6.9. For tests.</summary>
    public const string NoResend = "NBDFUSE_NO_RESEND";

    /// <summary>Program and arguments of a worker; read anew for each, so that an upgrade finds what lies at the path by then.</summary>
    public required string[] WorkerArgv { get; init; }

    /// <summary>Changes to the environment of workers.</summary>
    public IReadOnlyList<string> WorkerEnvironment { get; init; } = [];

    /// <summary>See <see cref="Native.SpawnOptions.IoFlusher"/>.</summary>
    public bool IoFlusher { get; init; }

    /// <summary>
    /// Whether a block device stands on the mount: then a signal is a question for the worker, which may refuse to end, and
    /// never a reason to cut anybody off; and before the device is usable a death is the end.
    /// </summary>
    public bool IsDevice { get; init; }

    /// <summary>Hears why a worker has failed, in words for whoever has started it.</summary>
    public Action<string> Explain { get; init; } = _ => { };

    /// <summary>Hears what a person should know. Must not wait.</summary>
    public required Action<LogLevel, string> Log { get; init; }

    /// <summary>Called once, with the path of the file, when it can be used. What it throws ends everything, cleanly.</summary>
    public Action<string> Usable { get; init; } = _ => { };

    /// <summary>Hears what is for systemd (sd_notify(3)).</summary>
    public Action<string> Notify { get; init; } = _ => { };

    /// <summary>
    /// Whether the kernel is asked to send again what a dead worker had taken; otherwise, and on kernels that cannot, the next worker
    /// finds it in the buffers of the dead one.
    /// </summary>
    public bool Resends { get; init; } = Environment.GetEnvironmentVariable(NoResend) != "1";

    /// <summary>How long a server may take to let go of the connections of a dead worker. Section 5 of the design: 10 s.</summary>
    public TimeSpan FenceTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a clean end may take while no worker serves.</summary>
    public TimeSpan EndTimeout { get; init; } = TimeSpan.FromSeconds(40);
}
