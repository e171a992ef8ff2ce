using NbdFuse.Client;
using NbdFuse.Fuse;

namespace NbdFuse.Cli;

/// <summary>What the compatible form of the command asks for. Immutable.</summary>
internal sealed record NbdfuseArguments
{
    /// <summary>Connections when -C is not given.</summary>
    public const int DefaultConnections = 4;

    /// <summary>The most connections that -C takes.</summary>
    public const int MaximumConnections = 1024;

    /// <summary>Bytes of the write log when --write-log is not given.</summary>
    public const long DefaultWriteLogBytes = 16L << 20;

    /// <summary>What to do; the members below matter for <see cref="NbdfuseAction.Mount"/> only.</summary>
    public NbdfuseAction Action { get; init; }

    /// <summary>MOUNTPOINT[/FILENAME] as it was given.</summary>
    public string MountPoint { get; init; } = string.Empty;

    /// <summary>The server; null unless the action is to mount.</summary>
    public NbdTarget? Target { get; init; }

    /// <summary>The export asked for; empty is the server's default.</summary>
    public string ExportName { get; init; } = string.Empty;

    /// <summary>Whether and how connections are encrypted: the URI and the options together.</summary>
    public NbdTlsOptions Tls { get; init; } = new();

    /// <summary>Connections to use when the server and the kind of target allow several, 1 to 1024 (-C).</summary>
    public int Connections { get; init; } = DefaultConnections;

    /// <summary>Values of -o in their order.</summary>
    public IReadOnlyList<string> MountOptions { get; init; } = [];

    /// <summary>File for the process id, written when the mounted file is usable (-P), or null.</summary>
    public string? PidFile { get; init; }

    /// <summary>No writes, whatever the server allows (-r).</summary>
    public bool ReadOnly { get; init; }

    /// <summary>Log what happens in detail (-v, -d).</summary>
    public bool Verbose { get; init; }

    /// <summary>Log errors only (-q).</summary>
    public bool Quiet { get; init; }

    /// <summary>Show stack traces of errors (--debug).</summary>
    public bool Debug { get; init; }

    /// <summary>What punching holes into the file does (--punch).</summary>
    public PunchMode Punch { get; init; }

    /// <summary>Whether the loop may poll (--spin).</summary>
    public SpinMode Spin { get; init; }

    /// <summary>Threads that carry large payloads (--movers), or null to leave it to the program.</summary>
    public int? Movers { get; init; }

    /// <summary>Bytes of memory for what is read again and again (--cache), 0 for none, or null to leave it to the program.</summary>
    public long? CacheBytes { get; init; }

    /// <summary>Bytes of memory for reading ahead (--readahead), 0 for none, or null to leave it to the program.</summary>
    public long? ReadAheadBytes { get; init; }

    /// <summary>How long a lost server is searched for (--reconnect-timeout): infinite, or zero for not at all.</summary>
    public TimeSpan ReconnectTimeout { get; init; } = Timeout.InfiniteTimeSpan;

    /// <summary>Age at which a request gets an error (--request-timeout); zero for none.</summary>
    public TimeSpan RequestTimeout { get; init; }

    /// <summary>What the end of either time means (--on-timeout).</summary>
    public NbdTimeoutAction OnTimeout { get; init; }

    /// <summary>Bytes of the write log (--write-log); 0 for none.</summary>
    public long WriteLogBytes { get; init; } = DefaultWriteLogBytes;

    /// <summary>Others change the export at the same time (--shared).</summary>
    public bool Shared { get; init; }

    /// <summary>Extended headers are used where the server has them (not with --no-extended-headers).</summary>
    public bool ExtendedHeaders { get; init; } = true;

    /// <summary>Further servers with the same export (--also).</summary>
    public IReadOnlyList<NbdAlternative> Also { get; init; } = [];

    /// <summary>All of them stand on the same storage (--failover=shared-storage).</summary>
    public bool SharedStorage { get; init; }

    /// <summary>A server that we start is started again when it is lost (--respawn).</summary>
    public bool Respawn { get; init; }

    /// <summary>Another process follows one that dies (--keeper).</summary>
    public bool Keeper { get; init; }

    /// <summary>File with the trace by which is read ahead (--prefetch), or null.</summary>
    public string? PrefetchFile { get; init; }

    /// <summary>File for a trace of what is read (--record), or null.</summary>
    public string? RecordFile { get; init; }

    /// <summary>What was odd about the arguments: lines for the log.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];
}
