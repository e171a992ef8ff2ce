namespace NbdFuse.Native;

/// <summary>How the two ends of a TLS connection know each other.</summary>
public enum TlsKind
{
    /// <summary>By certificates.</summary>
    X509,

    /// <summary>By a key that both have.</summary>
    Psk,

    /// <summary>Not at all: encryption against those who only listen.</summary>
    Anonymous,
}
