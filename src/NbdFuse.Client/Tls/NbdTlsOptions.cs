using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Whether and how connections are encrypted. Names files; holds no secret.</summary>
public sealed record NbdTlsOptions
{
    /// <summary>Whether connections are encrypted.</summary>
    public NbdTlsMode Mode { get; init; }

    /// <summary>Kind of credentials; null: a pre-shared key if <see cref="PskFile"/> is given, else certificates.</summary>
    public NbdTlsType? Type { get; init; }

    /// <summary>
    /// Directory with ca-cert.pem and, if the server asks for one, client-cert.pem and client-key.pem; with ca-crl.pem
    /// certificates may be revoked. Null: libnbd's directories, else the system's authorities.
    /// </summary>
    public string? CertificatesDirectory { get; init; }

    /// <summary>File with lines <c>user:hexkey</c>, or null.</summary>
    public string? PskFile { get; init; }

    /// <summary>Whose line of <see cref="PskFile"/>; null: the name of the login, or the only one in the file.</summary>
    public string? UserName { get; init; }

    /// <summary>Name or address that the server's certificate must bear; null: the host that is connected to.</summary>
    public string? HostName { get; init; }

    /// <summary>Whether the server's certificate must be valid.</summary>
    public bool VerifyPeer { get; init; } = true;

    /// <summary>What a URI says: <see cref="NbdTlsMode.Require"/> for <c>nbds</c>, otherwise <see cref="NbdTlsMode.Off"/>.</summary>
    /// <param name="uri">The URI.</param>
    public static NbdTlsOptions FromUri(NbdUri uri)
    {
        ArgumentNullException.ThrowIfNull(uri);
        return new NbdTlsOptions
        {
            Mode = uri.Tls ? NbdTlsMode.Require : NbdTlsMode.Off,
            Type = uri.TlsType,
            CertificatesDirectory = uri.TlsCertificates,
            PskFile = uri.TlsPskFile,
            UserName = uri.UserName,
            HostName = uri.TlsHostname,
            VerifyPeer = uri.TlsVerifyPeer ?? true,
        };
    }
}
