using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace NbdFuse.Protocol;

/// <summary>
/// An NBD URI (uri.md of the NBD project, with libnbd's vsock transport and local-file parameters). Immutable.
/// </summary>
public sealed class NbdUri
{
    /// <summary>Context identifier of the host, the default of vsock (VMADDR_CID_HOST).</summary>
    public const uint HostCid = 2;

    /// <summary>The host when a TCP URI names none.</summary>
    public const string DefaultHost = "localhost";

    internal NbdUri()
    {
    }

    /// <summary>How the server is reached.</summary>
    public NbdUriTransport Transport { get; internal init; }

    /// <summary>Whether TLS is required: the connection is encrypted or fails.</summary>
    public bool Tls { get; internal init; }

    /// <summary>
    /// TCP: host name or address, IPv6 without brackets and with its zone ("fe80::1%eth0"). "localhost" when absent, and
    /// for the other transports.
    /// </summary>
    public string Host { get; internal init; } = DefaultHost;

    /// <summary>
    /// TCP: 1 to 65535. Vsock: 1 to 2147483647. <see cref="NbdLimits.DefaultPort"/> when absent.
    /// </summary>
    public int Port { get; internal init; } = NbdLimits.DefaultPort;

    /// <summary>
    /// Unix: path of the socket; one that starts with NUL is a name in the abstract namespace. Null for other transports.
    /// </summary>
    public string? SocketPath { get; internal init; }

    /// <summary>Vsock: context identifier of the machine that the server runs on.</summary>
    public uint VsockCid { get; internal init; } = HostCid;

    /// <summary>Name of the export; empty is the default export.</summary>
    public string ExportName { get; internal init; } = string.Empty;

    /// <summary>
    /// TLS user name for pre-shared keys, from the authority or tls-username. Null: use the name of the local login.
    /// </summary>
    public string? UserName { get; internal init; }

    /// <summary>tls-type, or null when the client is to choose.</summary>
    public NbdTlsType? TlsType { get; internal init; }

    /// <summary>tls-certificates: directory of the certificates (ca-cert.pem and so on), or null.</summary>
    public string? TlsCertificates { get; internal init; }

    /// <summary>tls-psk-file: file with lines "user:hexkey", or null.</summary>
    public string? TlsPskFile { get; internal init; }

    /// <summary>tls-hostname: the name that the server's certificate must bear, or null for <see cref="Host"/>.</summary>
    public string? TlsHostname { get; internal init; }

    /// <summary>tls-verify-peer, or null when not given: then verify.</summary>
    public bool? TlsVerifyPeer { get; internal init; }

    /// <summary>tls-priority: a GnuTLS priority string, or null.</summary>
    public string? TlsPriority { get; internal init; }

    /// <summary>What was odd but not wrong, such as unknown parameters: one line each, for the user.</summary>
    public IReadOnlyList<string> Warnings { get; internal init; } = [];

    /// <summary>Reads a URI.</summary>
    /// <exception cref="NbdUriException">It cannot be used; the message says what to write instead.</exception>
    public static NbdUri Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return new NbdUriParser(text).Parse();
    }

    /// <summary>Reads a URI.</summary>
    /// <param name="text">The URI.</param>
    /// <param name="uri">What it says, or null.</param>
    /// <param name="error">Why it cannot be used and what to write instead, or null.</param>
    public static bool TryParse(
        string text, [NotNullWhen(true)] out NbdUri? uri, [NotNullWhen(false)] out string? error)
    {
        try
        {
            uri = Parse(text);
            error = null;
            return true;
        }
        catch (NbdUriException e)
        {
            uri = null;
            error = e.Message;
            return false;
        }
    }

    /// <summary>
    /// The canonical URI: parsed again it means the same. It holds no secrets, since a URI with a password is refused, a
    /// key is only ever named by its file, and unknown parameters are left out.
    /// </summary>
    public override string ToString()
    {
        var result = new StringBuilder(Tls ? "nbds" : "nbd");
        result.Append(Transport switch
        {
            NbdUriTransport.Unix => "+unix",
            NbdUriTransport.Vsock => "+vsock",
            _ => string.Empty,
        });
        result.Append("://");
        if (UserName is not null)
        {
            NbdUriEscape.Append(result, UserName, keepSlash: false).Append('@');
        }

        AppendServer(result);
        NbdUriEscape.Append(result.Append('/'), ExportName, keepSlash: true);

        char separator = '?';
        Append("socket", SocketPath);
        Append("tls-type", TlsType switch
        {
            NbdTlsType.Anonymous => "anon",
            NbdTlsType.X509 => "x509",
            NbdTlsType.Psk => "psk",
            _ => null,
        });
        Append("tls-certificates", TlsCertificates);
        Append("tls-psk-file", TlsPskFile);
        Append("tls-hostname", TlsHostname);
        Append("tls-verify-peer", TlsVerifyPeer switch { true => "1", false => "0", null => null });
        Append("tls-priority", TlsPriority);
        return result.ToString();

        void Append(string name, string? value)
        {
            if (value is not null)
            {
                NbdUriEscape.Append(result.Append(separator).Append(name).Append('='), value, keepSlash: true);
                separator = '&';
            }
        }
    }

    private void AppendServer(StringBuilder result)
    {
        switch (Transport)
        {
            case NbdUriTransport.Unix:
                return;
            case NbdUriTransport.Vsock:
                result.Append(VsockCid.ToString(CultureInfo.InvariantCulture));
                break;
            default:
                if (Host.Contains(':', StringComparison.Ordinal))
                {
                    result.Append('[').Append(Host.Replace("%", "%25", StringComparison.Ordinal)).Append(']');
                }
                else
                {
                    NbdUriEscape.Append(result, Host, keepSlash: false);
                }

                break;
        }

        if (Port != NbdLimits.DefaultPort)
        {
            result.Append(':').Append(Port.ToString(CultureInfo.InvariantCulture));
        }
    }
}
