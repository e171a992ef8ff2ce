using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace NbdFuse.Protocol;

/// <summary>Parser of one <see cref="NbdUri"/>. Errors are exceptions: it runs once, for a user who waits for the text.</summary>
internal sealed class NbdUriParser(string text)
{
    private const string SchemeList =
        "nbd://, nbds://, nbd+unix://, nbds+unix://, nbd+vsock:// or nbds+vsock://";

    private readonly List<string> _warnings = [];

    public NbdUri Parse()
    {
        (NbdUriTransport transport, bool tls, string rest) = ParseScheme();
        CheckCharacters(rest);

        int authorityEnd = rest.IndexOfAny(['/', '?']);
        string authority = authorityEnd < 0 ? rest : rest[..authorityEnd];
        string afterAuthority = authorityEnd < 0 ? string.Empty : rest[authorityEnd..];
        int queryStart = afterAuthority.IndexOf('?', StringComparison.Ordinal);
        string path = queryStart < 0 ? afterAuthority : afterAuthority[..queryStart];
        var parameters = NbdUriParameters.Parse(
            queryStart < 0 ? string.Empty : afterAuthority[(queryStart + 1)..], _warnings);

        // The last @: everything before it is user information, whatever it holds.
        int at = authority.LastIndexOf('@');
        string? user = at < 0 ? null : ParseUser(authority[..at]);
        (string host, bool bracketed, string? port) = SplitHostAndPort(authority[(at + 1)..]);

        string? socketPath = ParseSocket(transport, tls, parameters, path);
        WarnAboutUselessParts(transport, tls, host, port, parameters);
        return new NbdUri
        {
            Transport = transport,
            Tls = tls,
            Host = transport == NbdUriTransport.Tcp ? ParseHost(host, bracketed) : NbdUri.DefaultHost,
            Port = transport == NbdUriTransport.Unix ? NbdLimits.DefaultPort : ParsePort(port, transport),
            VsockCid = transport == NbdUriTransport.Vsock ? ParseCid(host, bracketed) : NbdUri.HostCid,
            SocketPath = socketPath,
            ExportName = ParseExportName(path),
            UserName = MergeUser(user, parameters.TlsUserName),
            TlsType = parameters.TlsType,
            TlsCertificates = parameters.TlsCertificates,
            TlsPskFile = parameters.TlsPskFile,
            TlsHostname = parameters.TlsHostname,
            TlsVerifyPeer = parameters.TlsVerifyPeer,
            TlsPriority = parameters.TlsPriority,
            Warnings = _warnings.AsReadOnly(),
        };
    }

    private (NbdUriTransport Transport, bool Tls, string Remainder) ParseScheme()
    {
        int end = text.IndexOf("://", StringComparison.Ordinal);
        if (end < 0)
        {
            throw new NbdUriException(ExplainMissingScheme());
        }

        string scheme = text[..end].ToLowerInvariant();
        string rest = text[(end + 3)..];
        return scheme switch
        {
            "nbd" or "nbd+tcp" => (NbdUriTransport.Tcp, false, rest),
            "nbds" or "nbds+tcp" => (NbdUriTransport.Tcp, true, rest),
            "nbd+unix" => (NbdUriTransport.Unix, false, rest),
            "nbds+unix" => (NbdUriTransport.Unix, true, rest),
            "nbd+vsock" => (NbdUriTransport.Vsock, false, rest),
            "nbds+vsock" => (NbdUriTransport.Vsock, true, rest),
            "nbd+ssh" or "nbds+ssh" => throw new NbdUriException(
                $"{scheme}:// is not supported; forward the port with \"ssh -L 10809:localhost:10809 HOST\" and use {scheme.Split('+')[0]}://localhost"),
            _ => throw new NbdUriException(
                $"{NbdUriEscape.Quote(scheme)} is no scheme of an NBD URI; use {SchemeList}"),
        };
    }

    private string ExplainMissingScheme()
    {
        if (text.Length == 0)
        {
            return "the NBD URI is empty; write something like nbd://localhost";
        }

        // A socket or a host name alone is the most common slip.
        string what = $"{NbdUriEscape.Quote(text)} is no NBD URI";
        string? socket = text.StartsWith('/') ? text
            : text.StartsWith("unix:/", StringComparison.OrdinalIgnoreCase) ? text["unix:".Length..]
            : null;
        if (socket is not null)
        {
            string escaped = NbdUriEscape.Append(new System.Text.StringBuilder(), socket, keepSlash: true).ToString();
            return $"{what}; for a Unix socket use nbd+unix:///?socket={escaped}";
        }

        return text.StartsWith("nbd", StringComparison.OrdinalIgnoreCase) && text.Contains(':', StringComparison.Ordinal)
            ? $"{what}: the scheme must be followed by two slashes; use {SchemeList}"
            : $"{what}; use nbd://{NbdText.Sanitize(text, 120)}";
    }

    private static void CheckCharacters(string rest)
    {
        if (NbdText.HasLoneSurrogate(rest))
        {
            throw new NbdUriException("the NBD URI holds half a surrogate pair, which UTF-8 cannot express; write the whole character");
        }

        foreach (char c in rest)
        {
            switch (c)
            {
                case ' ':
                    throw new NbdUriException("the NBD URI holds a space; write %20 for it");
                case '#':
                    throw new NbdUriException("the NBD URI holds a #, but has no use for a fragment; write %23 for the character");
                case < ' ' or '\x7f':
                    throw new NbdUriException($"the NBD URI holds a control character; write %{(int)c:X2} for it");
            }
        }
    }

    private static string? ParseUser(string userInfo)
    {
        if (userInfo.Contains(':', StringComparison.Ordinal))
        {
            // Not quoted: what stands there is a password.
            throw new NbdUriException(
                "the NBD URI holds a password, but NBD has none; leave a user name alone before the @, and give keys by tls-psk-file=FILE");
        }

        string user = DecodeText(userInfo, "the user name");
        return user.Length == 0 ? null : user;
    }

    private static string? MergeUser(string? authority, string? parameter) =>
        authority is not null && parameter is not null && authority != parameter
            ? throw new NbdUriException(
                $"the NBD URI names two users, {NbdUriEscape.Quote(authority)} before the @ and {NbdUriEscape.Quote(parameter)} as tls-username; leave one out")
            : authority ?? parameter;

    private static (string Host, bool Bracketed, string? Port) SplitHostAndPort(string server)
    {
        int portStart;
        if (server.StartsWith('['))
        {
            int close = server.IndexOf(']', StringComparison.Ordinal);
            if (close < 0)
            {
                throw new NbdUriException($"{NbdUriEscape.Quote(server)} in the NBD URI lacks the closing bracket ]");
            }

            portStart = close + 1;
            if (portStart < server.Length && server[portStart] != ':')
            {
                throw new NbdUriException(
                    $"{NbdUriEscape.Quote(server[portStart..])} follows the bracket ] in the NBD URI, where only :PORT may follow");
            }

            return (server[1..close], true, portStart < server.Length ? server[(portStart + 1)..] : null);
        }

        portStart = server.IndexOf(':', StringComparison.Ordinal);
        if (portStart != server.LastIndexOf(':'))
        {
            throw new NbdUriException(
                $"{NbdUriEscape.Quote(server)} in the NBD URI holds several colons; put an IPv6 address in brackets, as [::1]");
        }

        return portStart < 0 ? (server, false, null) : (server[..portStart], false, server[(portStart + 1)..]);
    }

    private static string ParseHost(string host, bool bracketed)
    {
        if (bracketed)
        {
            return ParseIPv6(host);
        }

        string name = DecodeText(host, "the host name");
        if (name.AsSpan().ContainsAny("/?#[]@:%\\") || name.Any(char.IsWhiteSpace) || name.Any(char.IsControl))
        {
            throw new NbdUriException($"{NbdUriEscape.Quote(name)} in the NBD URI is no host name");
        }

        return name.Length == 0 ? NbdUri.DefaultHost : name;
    }

    private static string ParseIPv6(string bracketed)
    {
        int percent = bracketed.IndexOf('%', StringComparison.Ordinal);
        string address = percent < 0 ? bracketed : bracketed[..percent];
        bool plausible = address.All(c => char.IsAsciiHexDigit(c) || c is ':' or '.');
        if (!plausible
            || !IPAddress.TryParse(address, out IPAddress? parsed)
            || parsed.AddressFamily != AddressFamily.InterNetworkV6)
        {
            throw new NbdUriException($"{NbdUriEscape.Quote(address)} in the NBD URI is no IPv6 address; only those stand in brackets");
        }

        if (percent < 0)
        {
            return address;
        }

        // RFC 6874 writes %25 before the zone; the bare sign that ping and ip print is understood as well.
        string escaped = bracketed[(percent + 1)..];
        string zone = escaped.StartsWith("25", StringComparison.Ordinal) && escaped.Length > 2 ? escaped[2..] : escaped;
        zone = DecodeText(zone, "the zone of the address");
        bool valid = zone.Length > 0 && zone.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' or '_' or '~');
        return valid
            ? $"{address}%{zone}"
            : throw new NbdUriException(
                $"{NbdUriEscape.Quote(zone)} in the NBD URI is no zone of an IPv6 address; write it as [fe80::1%25eth0]");
    }

    private static int ParsePort(string? port, NbdUriTransport transport)
    {
        if (string.IsNullOrEmpty(port))
        {
            return NbdLimits.DefaultPort;
        }

        int max = transport == NbdUriTransport.Vsock ? int.MaxValue : ushort.MaxValue;
        return int.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= 1 && value <= max
            ? value
            : throw new NbdUriException(
                $"{NbdUriEscape.Quote(port)} in the NBD URI is no port; it is a number from 1 to {max}");
    }

    private static uint ParseCid(string host, bool bracketed)
    {
        if (host.Length == 0 && !bracketed)
        {
            return NbdUri.HostCid;
        }

        // The largest value means "any machine", to which nothing can connect.
        return !bracketed
            && uint.TryParse(host, NumberStyles.None, CultureInfo.InvariantCulture, out uint cid)
            && cid != uint.MaxValue
            ? cid
            : throw new NbdUriException(
                $"{NbdUriEscape.Quote(host)} in the NBD URI is no vsock context identifier; it is a number, 2 for the host");
    }

    private static string? ParseSocket(NbdUriTransport transport, bool tls, NbdUriParameters parameters, string path)
    {
        string scheme = tls ? "nbds" : "nbd";
        if (transport != NbdUriTransport.Unix)
        {
            return parameters.Socket is null
                ? null
                : throw new NbdUriException(
                    $"the NBD URI has a socket, but its scheme is not for sockets; use {scheme}+unix:///?socket=PATH");
        }

        if (parameters.Socket is null)
        {
            string remedy = path.Length > 1 ? $"{scheme}+unix:///?socket={path}" : $"{scheme}+unix:///EXPORT?socket=PATH";
            throw new NbdUriException($"the NBD URI names no socket; write {NbdText.Sanitize(remedy, 160)}");
        }

        return parameters.Socket;
    }

    private static string ParseExportName(string path)
    {
        // Exactly one slash separates the export from the server: a second one belongs to its name.
        string name = NbdUriEscape.Decode(path.Length == 0 ? path : path[1..], "the export name");
        return NbdText.IsValidExportName(name, out string? error)
            ? name
            : throw new NbdUriException($"{error} (in the NBD URI)");
    }

    private static string DecodeText(string part, string what)
    {
        string decoded = NbdUriEscape.Decode(part, what);
        return decoded.Contains('\0', StringComparison.Ordinal)
            ? throw new NbdUriException($"{what} in the NBD URI holds a NUL character; remove the %00")
            : decoded;
    }

    private void WarnAboutUselessParts(
        NbdUriTransport transport, bool tls, string host, string? port, NbdUriParameters parameters)
    {
        if (transport == NbdUriTransport.Unix && (host.Length > 0 || !string.IsNullOrEmpty(port)))
        {
            _warnings.Add("the host and port of the NBD URI are not used: it names a Unix socket");
        }

        if (!tls && parameters.FirstTlsName is string name)
        {
            _warnings.Add($"{name} has no effect in the NBD URI, which does not ask for TLS; use an nbds scheme");
        }
    }
}
