namespace NbdFuse.Client;

/// <summary>Whether connections are encrypted.</summary>
public enum NbdTlsMode
{
    /// <summary>Never: everything goes in plain text.</summary>
    Off,

    /// <summary>
    /// When the server offers it. Whoever sits in between can take the offer away; a handshake that was begun and fails ends
    /// the attempt all the same.
    /// </summary>
    Allow,

    /// <summary>Always: without TLS there is no connection.</summary>
    Require,
}
