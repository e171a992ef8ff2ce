using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Says what went wrong with TLS, and what to do.</summary>
/// <param name="kind">How the ends know each other.</param>
/// <param name="host">The name that the certificate must bear, or null.</param>
/// <param name="hasCertificate">Whether we have a certificate to show.</param>
/// <param name="user">Whose pre-shared key is used, or null.</param>
internal sealed class TlsErrors(TlsKind kind, string? host, bool hasCertificate, string? user)
{
    // Alerts of RFC 8446, section 6, and x509_vfy.h of OpenSSL.
    // SSL_R_CERTIFICATE_VERIFY_FAILED; with pre-shared keys no certificate is trusted.
    private const int CertificateRefused = 134;
    private const int AlertBadRecord = 20;
    private const int AlertHandshakeFailure = 40;
    private const int AlertBadCertificate = 42;
    private const int AlertUnsupportedCertificate = 43;
    private const int AlertCertificateRevoked = 44;
    private const int AlertCertificateExpired = 45;
    private const int AlertCertificateUnknown = 46;
    private const int AlertIllegalParameter = 47;
    private const int AlertUnknownAuthority = 48;
    private const int AlertAccessDenied = 49;
    private const int AlertDecryptError = 51;
    private const int AlertProtocolVersion = 70;
    private const int AlertInsufficientSecurity = 71;
    private const int AlertUnknownIdentity = 115;
    private const int AlertCertificateRequired = 116;

    private string Wanted => NbdText.Sanitize(host ?? string.Empty, NbdLimits.MaxStringBytes);

    private string NeedsCertificate => hasCertificate
        ? "the server refuses our certificate: it must be made by an authority that the server trusts, and be valid"
        : "the server wants a certificate of its clients: put client-cert.pem and client-key.pem into the directory that tls-certificates names";

    private string WrongKey =>
        $"the server does not accept the pre-shared key of \"{NbdText.Sanitize(user ?? string.Empty, TlsContext.MaximumIdentityBytes)}\": "
        + "user and key must be the same in both files";

    /// <summary>The error for a failed step.</summary>
    public NbdConnectException Describe(TlsFailure failure)
    {
        string remedy = failure.Verification != 0 ? OfVerification(failure.Verification)
            : failure.Alert >= 0 ? OfAlert(failure.Alert)
            : failure.Reason == CertificateRefused
                ? "the server shows a certificate instead of having the pre-shared key: give tls-certificates=DIR instead of the key"
            : failure.Reason == TlsFailure.NotTls
                ? "what came is no TLS: does something between here and the server tamper with the connection?"
            : failure.IsSilentClose ? OfSilence()
            : "see the server's log";
        return new NbdConnectException(
            NbdConnectFailure.TlsFailed, $"TLS failed ({NbdText.Sanitize(failure.Text, 256)}): {remedy}");
    }

    private string OfVerification(int code) => code switch
    {
        9 => "the server's certificate is not valid yet: check the clocks of both machines",
        10 => "the server's certificate has expired: renew it",
        12 => "the revocation list ca-crl.pem has expired: renew it",
        23 => "the server's certificate is revoked",
        26 => "the server's certificate is not meant for servers: make one with the extended key usage serverAuth",
        62 or 64 => $"the server's certificate is not for \"{Wanted}\": connect by a name that it bears, or give that by tls-hostname=NAME",
        2 or 18 or 19 or 20 or 21 =>
            "the server's certificate is not signed by an authority that is trusted here: give its ca-cert.pem by tls-certificates=DIR "
            + "(--tls-certificates DIR)",
        66 or 67 or 68 => "a key or hash of the server's certificate is too weak: make a new one",
        _ => $"the server's certificate is not accepted: {TlsSession.DescribeVerification(code)}",
    };

    private string OfAlert(int alert) => (alert, kind) switch
    {
        (AlertBadRecord or AlertDecryptError or AlertUnknownIdentity or AlertIllegalParameter or AlertAccessDenied, TlsKind.Psk) => WrongKey,
        (AlertCertificateRequired, _) => NeedsCertificate,
        (AlertBadCertificate or AlertUnsupportedCertificate or AlertCertificateRevoked or AlertCertificateExpired
            or AlertCertificateUnknown or AlertUnknownAuthority or AlertAccessDenied, _) => NeedsCertificate,
        (AlertHandshakeFailure or AlertInsufficientSecurity, TlsKind.Psk) =>
            "the server speaks no TLS with pre-shared keys: give tls-certificates=DIR if it has a certificate",
        (AlertHandshakeFailure, TlsKind.X509) =>
            "server and client have no kind of credentials in common: a server with a pre-shared key needs tls-psk-file=FILE; "
            + "one that asks for certificates of its clients needs client-cert.pem and client-key.pem",
        (AlertHandshakeFailure, _) => "the server speaks no TLS without authentication: give tls-certificates=DIR or tls-psk-file=FILE",
        (AlertProtocolVersion, _) => "server and client have no version in common: TLS 1.2 is the oldest that is spoken here",
        _ => "the server refuses; see its log",
    };

    private string OfSilence() => kind switch
    {
        TlsKind.Psk => $"the server hung up; most probably {WrongKey}; see its log",
        TlsKind.X509 when !hasCertificate =>
            "the server hung up; if it wants certificates of its clients, put client-cert.pem and client-key.pem into the directory that "
            + "tls-certificates names; if it has a pre-shared key, give tls-psk-file=FILE; see its log",
        TlsKind.X509 => "the server hung up: it must trust the authority of our client-cert.pem, or has a pre-shared key (tls-psk-file=FILE); see its log",
        _ => "the server hung up: does it accept our credentials? See its log",
    };
}
