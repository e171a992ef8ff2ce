namespace NbdFuse.Client.Transmission;

/// <summary>What the export's loop is doing. Only in <see cref="Ready"/> do requests of the layers above go out.</summary>
internal enum ExportPhase
{
    /// <summary>Not started.</summary>
    Idle,

    /// <summary>Requests go to the server.</summary>
    Ready,

    /// <summary>A FLUSH failed: waits for what is under way, to write the log again.</summary>
    Quiescing,

    /// <summary>The server said ESHUTDOWN: waits for the answers that it still gives.</summary>
    Leaving,

    /// <summary>The connections were given up: waits until each request has come back.</summary>
    Draining,

    /// <summary>The control plane reconnects, and waits for the fence.</summary>
    Connecting,

    /// <summary>Reads what shows whether this is the same disk.</summary>
    Checking,

    /// <summary>Writes the log again.</summary>
    Replaying,

    /// <summary>The end: failed, or closed.</summary>
    Closed,
}
