namespace NbdFuse.Native;

/// <summary>Result of a step of a <see cref="TlsSession"/>.</summary>
public enum TlsStatus
{
    /// <summary>Done.</summary>
    Ok,

    /// <summary>To be repeated when the socket can be read.</summary>
    WantRead,

    /// <summary>To be repeated when the socket can be written.</summary>
    WantWrite,

    /// <summary>The peer has said its goodbye: nothing more will come.</summary>
    Closed,

    /// <summary>The session is broken: see <see cref="TlsSession.Failure"/>.</summary>
    Failed,
}
