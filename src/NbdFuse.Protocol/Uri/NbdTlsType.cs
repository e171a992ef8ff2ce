namespace NbdFuse.Protocol;

/// <summary>Kind of TLS credentials (uri.md, parameter tls-type).</summary>
public enum NbdTlsType
{
    /// <summary>anon: encryption without authentication.</summary>
    Anonymous,

    /// <summary>x509: certificates.</summary>
    X509,

    /// <summary>psk: a pre-shared key.</summary>
    Psk,
}
