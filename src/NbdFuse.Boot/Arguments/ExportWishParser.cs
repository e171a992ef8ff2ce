using System.Text.RegularExpressions;
using NbdFuse.Protocol;

namespace NbdFuse.Boot;

/// <summary>
/// The grammar of <c>nbdroot=</c>: the forms of the kernel patch of 2019 and its review, Debian's, dracut's, URIs. One reading for each
/// text; docs/BOOT.md holds the table.
/// </summary>
internal static partial class ExportWishParser
{
    /// <summary>What to write, for messages.</summary>
    public const string Forms =
        "nbdroot=[SERVER][:PORT][/EXPORT], nbdroot=SERVER,EXPORT[,DEVICE], nbdroot=SERVER:/EXPORT, nbdroot=dhcp, or nbdfuse=nbd://SERVER[:PORT]/EXPORT";

    private const string Dhcp = "dhcp";

    /// <summary>Reads a value of nbdroot.</summary>
    /// <exception cref="BootArgumentException">It cannot be understood.</exception>
    public static ExportWish Parse(string text) => text.Length == 0 || text == Dhcp
        ? new ExportWish { IsRootPath = true }
        : ParseLocation(text);

    /// <summary>Reads a root-path of DHCP.</summary>
    /// <exception cref="BootArgumentException">It cannot be understood.</exception>
    public static ExportWish ParseRootPath(string text)
    {
        // A prefix that old versions of Debian's documentation ask for.
        string value = text.StartsWith("nbdroot=", StringComparison.Ordinal) ? text["nbdroot=".Length..] : text;
        return value.Length == 0 || value == Dhcp
            ? throw new BootArgumentException("it refers to itself; write SERVER:PORT/EXPORT")
            : ParseLocation(value);
    }

    /// <summary>Reads a URI; one that names no server leaves it to DHCP.</summary>
    /// <exception cref="BootArgumentException">It is none.</exception>
    public static ExportWish ParseUri(string text)
    {
        if (!NbdUri.TryParse(text, out NbdUri? uri, out string? error))
        {
            throw new BootArgumentException(error);
        }

        bool isHostless = !uri.Tls && uri.Transport == NbdUriTransport.Tcp && HostlessUri().IsMatch(text);
        return isHostless
            ? new ExportWish { Port = uri.Port == NbdLimits.DefaultPort ? null : uri.Port, ExportName = uri.ExportName, Notes = uri.Warnings }
            : new ExportWish { Uri = uri, Notes = uri.Warnings };
    }

    /// <summary>Reads dracut's <c>nbd:SERVER:PORT_OR_EXPORT[:FSTYPE[:MOUNTOPTS[:NBDOPTS]]]</c>.</summary>
    /// <exception cref="BootArgumentException">It is none.</exception>
    public static ExportWish ParseDracut(string text)
    {
        if (IsUri(text))
        {
            return ParseUri(text);
        }

        string rest = text["nbd:".Length..];
        (string server, string after) = TakeServer(rest);
        string[] fields = after.Split(':', 4);
        ExportWish wish = ParsePortOrExport(fields[0]) with { Host = ServerText.Host(server) };
        List<string> notes = [.. wish.Notes];
        if (fields.Length > 3)
        {
            notes.Add($"'{BootArgumentException.Quote(fields[3])}' is for nbd-client, and has no effect here");
        }

        return wish with
        {
            FileSystem = fields.Length > 1 && fields[1].Length > 0 ? fields[1] : null,
            MountOptions = fields.Length > 2 && fields[2].Length > 0 ? fields[2] : null,
            Notes = notes,
        };
    }

    /// <summary>Partition that the name of a device ends with; 0 for none.</summary>
    public static int PartitionOf(string device)
    {
        Match match = NbdDevice().Match(device);
        return match.Success && int.TryParse(match.Groups[1].ValueSpan, out int number) ? number : 0;
    }

    private static bool IsUri(string text) => UriScheme().IsMatch(text);

    private static ExportWish ParseLocation(string text)
    {
        if (IsUri(text))
        {
            return ParseUri(text);
        }

        if (text.StartsWith("nbd:", StringComparison.Ordinal))
        {
            return ParseDracut(text);
        }

        int slash = text.IndexOf('/', StringComparison.Ordinal);
        int comma = text.IndexOf(',', StringComparison.Ordinal);
        return comma >= 0 && (slash < 0 || comma < slash)
            ? ParseCommas(text[..comma], text[(comma + 1)..])
            : slash < 0 ? ParseServer(text)
            : ParsePath(text[..slash], text[(slash + 1)..]);
    }

    // HOST,EXPORT[,DEVICE] and HOST,PORT[,DEVICE].
    private static ExportWish ParseCommas(string server, string rest)
    {
        int last = rest.LastIndexOf(',');
        int partition = 0;
        if (last >= 0 && (rest[(last + 1)..].Length == 0 || NbdDevice().IsMatch(rest[(last + 1)..])))
        {
            partition = PartitionOf(rest[(last + 1)..]);
            rest = rest[..last];
        }

        ExportWish wish = ServerText.IsNumber(rest)
            ? new ExportWish { Port = ServerText.Port(rest), Notes = [$"'{rest}' is a number, and so a port, not an export"] }
            : new ExportWish { ExportName = rest };
        (string? host, int? port) = ParseHostPort(server);
        if (port is not null && wish.Port is not null)
        {
            throw new BootArgumentException($"two ports are given, {port} and {wish.Port}");
        }

        return wish with { Host = host, Port = wish.Port ?? port, Partition = partition };
    }

    // Neither slash nor comma: HOST, HOST:PORT, HOST:EXPORT, :PORT, :EXPORT, PORT.
    private static ExportWish ParseServer(string text)
    {
        if (text.StartsWith('[') || ServerText.IsIPv6(text))
        {
            (string server, string? after) = SplitBrackets(text);
            return after is null
                ? new ExportWish { Host = ServerText.Host(server), Notes = AddressNote(text) }
                : ParsePortOrExport(after) with { Host = ServerText.Host(server) };
        }

        int colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon >= 0)
        {
            return ParsePortOrExport(text[(colon + 1)..]) with { Host = ServerText.Host(text[..colon]) };
        }

        return ServerText.IsNumber(text)
            ? new ExportWish { Port = ServerText.Port(text), Notes = [$"'{text}' is a number, and so a port; the server is that of DHCP"] }
            : new ExportWish { Host = ServerText.Host(text) };
    }

    // SERVER/EXPORT, with every form of server that there is, also none.
    private static ExportWish ParsePath(string server, string export)
    {
        if (server.Length == 0)
        {
            return export.Length == 0 ? new ExportWish() : WithSlash(export);
        }

        if (server.EndsWith(':') && !ServerText.IsIPv6(server))
        {
            // As NFS writes it: what follows the colon is a path, and starts with its slash.
            (string? nfsHost, int? nfsPort) = ParseHostPort(server[..^1]);
            return WithSlash(export) with { Host = nfsHost, Port = nfsPort };
        }

        if (ServerText.IsNumber(server))
        {
            return new ExportWish
            {
                Port = ServerText.Port(server),
                ExportName = export,
                Notes = [$"'{server}' is a number, and so a port; the server is that of DHCP"],
            };
        }

        (string? host, int? port) = ParseHostPort(server);
        return new ExportWish { Host = host, Port = port, ExportName = export, Notes = AddressNote(server) };
    }

    private static ExportWish WithSlash(string rest) => rest.Length == 0
        ? new ExportWish { ExportName = "/", AlternateName = string.Empty }
        : new ExportWish
        {
            ExportName = "/" + rest,
            AlternateName = rest,
            Notes = [$"the export is '/{BootArgumentException.Quote(rest)}' with its slash; if the server does not know that, '{BootArgumentException.Quote(rest)}'"],
        };

    private static ExportWish ParsePortOrExport(string text)
    {
        int slash = text.IndexOf('/', StringComparison.Ordinal);
        if (slash > 0 && ServerText.IsNumber(text[..slash]))
        {
            return new ExportWish
            {
                Port = ServerText.Port(text[..slash]),
                ExportName = text[(slash + 1)..],
                Notes = [$"'{text[..slash]}' before the slash is a number, and so a port"],
            };
        }

        return ServerText.IsNumber(text)
            ? new ExportWish { Port = ServerText.Port(text), Notes = [$"'{text}' is a number, and so a port, not an export"] }
            : new ExportWish { ExportName = text };
    }

    private static (string? Host, int? Port) ParseHostPort(string text)
    {
        if (text.StartsWith('[') || ServerText.IsIPv6(text))
        {
            (string server, string? after) = SplitBrackets(text);
            return (ServerText.Host(server), after is null ? null : ServerText.Port(after));
        }

        int colon = text.IndexOf(':', StringComparison.Ordinal);
        return colon < 0
            ? (ServerText.Host(text), null)
            : (ServerText.Host(text[..colon]), ServerText.Port(text[(colon + 1)..]));
    }

    // [ADDRESS], [ADDRESS]:REST, or an address without brackets.
    private static (string Server, string? After) SplitBrackets(string text)
    {
        if (!text.StartsWith('['))
        {
            return (text, null);
        }

        int close = text.IndexOf(']', StringComparison.Ordinal);
        if (close < 0)
        {
            throw new BootArgumentException($"'{BootArgumentException.Quote(text)}' lacks the closing bracket ]");
        }

        string address = text[1..close];
        string after = text[(close + 1)..];
        return !ServerText.IsIPv6(address)
            ? throw new BootArgumentException($"'{BootArgumentException.Quote(address)}' in brackets is no IPv6 address")
            : after.Length == 0 ? (address, null)
            : after[0] == ':' ? (address, after[1..])
            : throw new BootArgumentException($"'{BootArgumentException.Quote(after)}' follows the bracket ], where only :PORT may follow");
    }

    // dracut's first field: brackets protect the colons of an address.
    private static (string Server, string After) TakeServer(string text)
    {
        if (text.StartsWith('['))
        {
            (string server, string? after) = SplitBrackets(text);
            return (server, after ?? string.Empty);
        }

        int colon = text.IndexOf(':', StringComparison.Ordinal);
        return colon < 0 ? (text, string.Empty) : (text[..colon], text[(colon + 1)..]);
    }

    private static string[] AddressNote(string text) => text.Count(c => c == ':') > 1 && !text.StartsWith('[')
        ? [$"'{BootArgumentException.Quote(text)}' is an IPv6 address without a port; with one write [ADDRESS]:PORT"]
        : [];

    [GeneratedRegex("^nbds?(\\+[a-z]+)?://", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex UriScheme();

    [GeneratedRegex("^[a-z+]+://([:/?]|$)", RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex HostlessUri();

    [GeneratedRegex("^(?:/dev/)?nbd[0-9]+(?:p([0-9]{1,3}|\\*)?)?$", RegexOptions.CultureInvariant)]
    private static partial Regex NbdDevice();
}
