namespace NbdFuse.TestKit;

/// <summary>How a server of the tests is reached.</summary>
public enum ServerTransport
{
    /// <summary>A unix socket in the server's own temporary directory.</summary>
    Unix,

    /// <summary>A free port of 127.0.0.1.</summary>
    Tcp,
}
