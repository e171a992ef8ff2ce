using System.Text;

namespace NbdFuse.Protocol;

/// <summary>The parameters of an <see cref="NbdUri"/>: what stands behind the question mark.</summary>
internal sealed class NbdUriParameters
{
    // sun_path of sockaddr_un (unix(7)): 108 bytes, one of them for the NUL at the end of a path.
    private const int MaxSocketPathBytes = 107;
    private const int MaxAbstractNameBytes = 108;

    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);

    private NbdUriParameters()
    {
    }

    public string? Socket => Get("socket");

    public string? TlsCertificates => Get("tls-certificates");

    public string? TlsPskFile => Get("tls-psk-file");

    public string? TlsHostname => Get("tls-hostname");

    public string? TlsUserName => Get("tls-username");

    public string? TlsPriority => Get("tls-priority");

    public NbdTlsType? TlsType { get; private set; }

    public bool? TlsVerifyPeer { get; private set; }

    /// <summary>A parameter that only makes sense with TLS, or null when there is none.</summary>
    public string? FirstTlsName { get; private set; }

    /// <summary>Reads a query; oddities go to the warnings.</summary>
    /// <exception cref="NbdUriException">A bad value, or two that contradict each other.</exception>
    public static NbdUriParameters Parse(string query, List<string> warnings)
    {
        var result = new NbdUriParameters();
        foreach (string section in query.Split('&', ';'))
        {
            int equals = section.IndexOf('=', StringComparison.Ordinal);
            string name = DecodeText(equals < 0 ? section : section[..equals], "a parameter name");
            if (name.Length == 0)
            {
                // An empty section, or a value without a name: both are legal and mean nothing.
                continue;
            }

            result.Add(name, equals < 0 ? string.Empty : section[(equals + 1)..], warnings);
        }

        result.TlsType = ParseTlsType(result.Get("tls-type"));
        result.TlsVerifyPeer = ParseBoolean("tls-verify-peer", result.Get("tls-verify-peer"));
        result.CheckSocket();
        result.CheckCredentials();
        return result;
    }

    private static bool IsKnown(string name) => name is "socket" or "tls-type" or "tls-certificates" or "tls-psk-file"
        or "tls-hostname" or "tls-username" or "tls-verify-peer" or "tls-priority";

    private static string DecodeText(string part, string what)
    {
        string decoded = NbdUriEscape.Decode(part, what);
        return decoded.Contains('\0', StringComparison.Ordinal)
            ? throw new NbdUriException($"{what} in the NBD URI holds a NUL character; remove the %00")
            : decoded;
    }

    private static NbdTlsType? ParseTlsType(string? value) => value switch
    {
        null => null,
        "anon" => NbdTlsType.Anonymous,
        "x509" => NbdTlsType.X509,
        "psk" => NbdTlsType.Psk,
        _ => throw new NbdUriException(
            $"tls-type={NbdUriEscape.Quote(value)} in the NBD URI is not known; use anon, x509 or psk"),
    };

    private static bool? ParseBoolean(string name, string? value) => value switch
    {
        null => null,
        "1" or "true" or "yes" or "on" => true,
        "0" or "false" or "no" or "off" => false,
        _ => throw new NbdUriException($"{name}={NbdUriEscape.Quote(value)} in the NBD URI is neither 0 nor 1"),
    };

    private void Add(string name, string rawValue, List<string> warnings)
    {
        if (!IsKnown(name))
        {
            // Names that begin with x- are reserved for experiments, of which others need not know (uri.md).
            if (!name.StartsWith("x-", StringComparison.Ordinal))
            {
                warnings.Add($"the parameter {NbdUriEscape.Quote(name)} of the NBD URI is unknown and has no effect");
            }

            return;
        }

        // Only the name of a socket may hold a NUL, as its first byte: CheckSocket.
        string value = name == "socket" ? NbdUriEscape.Decode(rawValue, name) : DecodeText(rawValue, name);
        if (value.Length == 0)
        {
            throw new NbdUriException($"the parameter {name} of the NBD URI has no value; write {name}=VALUE or leave it out");
        }

        if (name != "socket")
        {
            FirstTlsName ??= name;
        }

        if (_values.TryAdd(name, value))
        {
            return;
        }

        if (_values[name] != value)
        {
            throw new NbdUriException($"the NBD URI has two different values of {name}; leave one out");
        }

        warnings.Add($"the NBD URI has the parameter {name} twice");
    }

    private string? Get(string name) => _values.GetValueOrDefault(name);

    private void CheckSocket()
    {
        if (Socket is not string socket)
        {
            return;
        }

        bool isAbstract = socket[0] == '\0';
        int max = isAbstract ? MaxAbstractNameBytes : MaxSocketPathBytes;
        if (isAbstract && socket.Length == 1)
        {
            throw new NbdUriException("the abstract socket of the NBD URI has no name; write socket=%00NAME");
        }

        if (!isAbstract && socket.Contains('\0', StringComparison.Ordinal))
        {
            throw new NbdUriException("the socket of the NBD URI holds a NUL character; only an abstract name begins with %00");
        }

        if (Encoding.UTF8.GetByteCount(socket) is int bytes && bytes > max)
        {
            throw new NbdUriException($"the socket of the NBD URI has {bytes} bytes, {max} are allowed; use a shorter path");
        }
    }

    private void CheckCredentials()
    {
        string? unused = TlsType switch
        {
            NbdTlsType.Anonymous when TlsCertificates is not null => "tls-certificates",
            NbdTlsType.Psk when TlsCertificates is not null => "tls-certificates",
            NbdTlsType.Anonymous or NbdTlsType.X509 when TlsPskFile is not null => "tls-psk-file",
            _ => null,
        };
        if (unused is not null)
        {
            throw new NbdUriException($"{unused} in the NBD URI contradicts tls-type={Get("tls-type")}; leave one out");
        }

        if (TlsCertificates is not null && TlsPskFile is not null)
        {
            throw new NbdUriException(
                "the NBD URI has both tls-certificates and tls-psk-file; leave out the one that the server does not use");
        }
    }
}
