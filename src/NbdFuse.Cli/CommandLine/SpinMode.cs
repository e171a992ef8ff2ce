namespace NbdFuse.Cli;

/// <summary>Whether the loop may poll for a moment before it sleeps.</summary>
internal enum SpinMode
{
    /// <summary>Poll for some microseconds while few requests are in flight: latency for processor time.</summary>
    Auto,

    /// <summary>Never poll.</summary>
    Off,
}
