using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace NbdFuse.Boot;

/// <summary>Names and addresses of servers, and ports, as people write them on a kernel command line.</summary>
internal static class ServerText
{
    private const int MaximumName = 253;

    /// <summary>Whether text is an IPv4 address in dotted form or an IPv6 address without brackets, with or without a zone.</summary>
    public static bool IsAddress(string text)
    {
        int zone = text.IndexOf('%', StringComparison.Ordinal);
        string address = zone < 0 ? text : text[..zone];
        // The parser takes brackets with a port too.
        return !text.StartsWith('[')
            && IPAddress.TryParse(address, out IPAddress? parsed)
            && (parsed.AddressFamily == AddressFamily.InterNetworkV6
                ? zone < 0 || (zone + 1 < text.Length && text[(zone + 1)..].All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_'))
                : zone < 0 && address.Count(c => c == '.') == 3);
    }

    /// <summary>Whether text is an IPv6 address without brackets.</summary>
    public static bool IsIPv6(string text) => text.Contains(':', StringComparison.Ordinal) && IsAddress(text);

    /// <summary>Whether text can be the name or address of a host.</summary>
    public static bool IsHost(string text) =>
        IsAddress(text)
        || (text.Length is > 0 and <= MaximumName && text[0] != '-'
            && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_'));

    /// <summary>Whether text consists of digits, and so is a port, right or wrong.</summary>
    public static bool IsNumber(string text) => text.Length > 0 && text.All(char.IsAsciiDigit);

    /// <summary>Reads a port.</summary>
    /// <exception cref="BootArgumentException">It is none.</exception>
    public static int Port(string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int port) && port is >= 1 and <= ushort.MaxValue
            ? port
            : throw new BootArgumentException($"'{BootArgumentException.Quote(text)}' is no port: a port is a number from 1 to 65535");

    /// <summary>Checks a host; empty and <c>dhcp</c> mean the one that DHCP names.</summary>
    /// <returns>The host, or null for that of DHCP.</returns>
    /// <exception cref="BootArgumentException">It is none.</exception>
    public static string? Host(string text) =>
        text.Length == 0 || text == "dhcp" ? null
        : IsHost(text) ? text
        : throw new BootArgumentException($"'{BootArgumentException.Quote(text)}' is neither the name nor the address of a server");
}
