namespace NbdFuse.Cli;

/// <summary>The options of the compatible form.</summary>
internal enum OptionId
{
    /// <summary>--help.</summary>
    Help,

    /// <summary>--fuse-help.</summary>
    FuseHelp,

    /// <summary>-V, --version.</summary>
    Version,

    /// <summary>--long-options, for shell completion.</summary>
    LongOptions,

    /// <summary>--short-options, for shell completion.</summary>
    ShortOptions,

    /// <summary>-C, --connections.</summary>
    Connections,

    /// <summary>-o.</summary>
    MountOption,

    /// <summary>-P, --pidfile, --pid-file.</summary>
    PidFile,

    /// <summary>-r, --readonly, --read-only.</summary>
    ReadOnly,

    /// <summary>-s: one FUSE thread, which is how this program always works.</summary>
    SingleThread,

    /// <summary>-v, -d, --verbose.</summary>
    Verbose,

    /// <summary>-q, --quiet.</summary>
    Quiet,

    /// <summary>--debug.</summary>
    Debug,

    /// <summary>--punch.</summary>
    Punch,

    /// <summary>--spin.</summary>
    Spin,

    /// <summary>--movers.</summary>
    Movers,

    /// <summary>--cache.</summary>
    Cache,

    /// <summary>--readahead.</summary>
    ReadAhead,

    /// <summary>--reconnect-timeout.</summary>
    ReconnectTimeout,

    /// <summary>--request-timeout.</summary>
    RequestTimeout,

    /// <summary>--on-timeout.</summary>
    OnTimeout,

    /// <summary>--write-log.</summary>
    WriteLog,

    /// <summary>--shared.</summary>
    Shared,

    /// <summary>--no-extended-headers.</summary>
    NoExtendedHeaders,

    /// <summary>--also.</summary>
    Also,

    /// <summary>--failover.</summary>
    Failover,

    /// <summary>--respawn.</summary>
    Respawn,

    /// <summary>--keeper.</summary>
    Keeper,

    /// <summary>--prefetch.</summary>
    Prefetch,

    /// <summary>--record.</summary>
    Record,

    /// <summary>--export.</summary>
    Export,

    /// <summary>--tls.</summary>
    Tls,

    /// <summary>--tls-certificates.</summary>
    TlsCertificates,

    /// <summary>--tls-hostname.</summary>
    TlsHostName,

    /// <summary>--tls-psk.</summary>
    TlsPsk,
}
