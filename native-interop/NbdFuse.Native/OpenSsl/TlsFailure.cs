namespace NbdFuse.Native;

/// <summary>Why a step of TLS failed.</summary>
/// <param name="Text">OpenSSL's reason, for messages.</param>
/// <param name="Reason">OpenSSL's number of it (SSL_R_ in sslerr.h), or 0 when it came from elsewhere.</param>
/// <param name="Verification">Why the peer's certificate was not accepted (X509_V_ERR_ in x509_vfy.h), or 0.</param>
/// <param name="Errno">The system's error, or 0.</param>
public sealed record TlsFailure(string Text, int Reason, int Verification, int Errno)
{
    /// <summary>SSL_R_UNEXPECTED_EOF_WHILE_READING.</summary>
    public const int UnexpectedEnd = 294;

    /// <summary>SSL_R_WRONG_VERSION_NUMBER: what came is no TLS at all.</summary>
    public const int NotTls = 267;

    // SSL_R_ of an alert is 1000 plus its number (sslerr.h, "SSL_AD_REASON_OFFSET").
    private const int AlertBase = 1000;

    /// <summary>The alert that the peer sent (RFC 8446, section 6), or -1.</summary>
    public int Alert => Reason is >= AlertBase and < AlertBase + 256 ? Reason - AlertBase : -1;

    /// <summary>The peer closed or reset the connection without a word.</summary>
    public bool IsSilentClose =>
        Reason == UnexpectedEnd || (Reason == 0 && Verification == 0 && Errno is 0 or Native.Errno.ECONNRESET or Native.Errno.EPIPE);
}
