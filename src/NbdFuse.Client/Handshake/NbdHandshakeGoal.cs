namespace NbdFuse.Client;

/// <summary>What a handshake is for.</summary>
public enum NbdHandshakeGoal
{
    /// <summary>Choose the export and enter transmission (NBD_OPT_GO).</summary>
    Go,

    /// <summary>
    /// Only ask about the export (NBD_OPT_INFO), then end the session politely. With servers that do not know the
    /// option the export is chosen and left at once (NBD_CMD_DISC).
    /// </summary>
    Info,
}
