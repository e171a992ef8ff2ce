namespace NbdFuse.Client;

/// <summary>Why there is no connection: what a reconnect loop needs to decide whether another attempt can help.</summary>
public enum NbdConnectFailure
{
    /// <summary>The name of the host is not known, or was not resolved in time.</summary>
    NameNotResolved,

    /// <summary>Nobody listens at any of the addresses.</summary>
    Refused,

    /// <summary>No route, no such socket file, no permission: see the message.</summary>
    Unreachable,

    /// <summary>The deadline passed before the connection was made.</summary>
    ConnectTimeout,

    /// <summary>The connection stands, but the handshake did not end before its deadline.</summary>
    HandshakeTimeout,

    /// <summary>The server closed or reset the connection in the middle of the handshake.</summary>
    ClosedByServer,

    /// <summary>The peer does not speak NBD.</summary>
    NotNbd,

    /// <summary>An oldstyle server (before nbd 2.9.17), which is not supported.</summary>
    OldstyleServer,

    /// <summary>The server is newstyle without options, and the option is needed.</summary>
    NotFixedNewstyle,

    /// <summary>The server insists on TLS.</summary>
    TlsRequired,

    /// <summary>The user insists on TLS, and the server does not offer it, or somebody in between has taken the offer away.</summary>
    TlsRefused,

    /// <summary>The TLS handshake failed: certificate, key, or tampering.</summary>
    TlsFailed,

    /// <summary>The own certificates or keys cannot be used, or OpenSSL is missing.</summary>
    TlsCredentials,

    /// <summary>The server sent more than a handshake may take.</summary>
    LimitExceeded,

    /// <summary>The export name cannot be expressed in the protocol.</summary>
    InvalidExportName,

    /// <summary>The command to run was not found or may not be executed.</summary>
    CommandNotStarted,

    /// <summary>The command ended before the handshake was complete.</summary>
    CommandExited,

    /// <summary>The target gives one connection only, and it has been used.</summary>
    CannotReopen,

    /// <summary>The descriptor that was given is not a connected stream socket.</summary>
    BadDescriptor,
}
