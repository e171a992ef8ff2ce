namespace NbdFuse.Client;

/// <summary>What an export can do at present.</summary>
public enum NbdExportState
{
    /// <summary>Open, and not started yet.</summary>
    Connecting,

    /// <summary>Requests go to the server.</summary>
    Ready,

    /// <summary>The server is lost and searched for; requests wait.</summary>
    Recovering,

    /// <summary>For good: every request gets an error.</summary>
    Failed,
}
