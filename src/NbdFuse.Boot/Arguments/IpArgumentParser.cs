using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace NbdFuse.Boot;

/// <summary>The grammar of <c>ip=</c>: the kernel's, with dracut's additions.</summary>
internal static class IpArgumentParser
{
    /// <summary>What to write, for messages.</summary>
    public const string Forms = "ip=dhcp, ip=CLIENT:SERVER:GATEWAY:NETMASK:HOST:DEVICE:off[:DNS[:DNS]], ip=:::::DEVICE:dhcp, ip=DEVICE:dhcp, or ip=off";

    private const int MaximumName = 15;

    /// <summary>Reads a value of <c>ip=</c>.</summary>
    /// <exception cref="BootArgumentException">It cannot be understood.</exception>
    public static IpConfiguration Parse(string text)
    {
        List<string> fields = SplitFields(text);
        if (fields.Count == 1 && ParseWord(fields[0]) is { } alone)
        {
            return alone;
        }

        // dracut's DEVICE:METHOD[:MTU[:MAC]].
        if (fields.Count is >= 2 and <= 4 && IsDevice(fields[0]) && !ServerText.IsAddress(fields[0]) && ParseWord(fields[1]) is { } word)
        {
            string[] notes = fields.Count > 2 ? ["MTU and address of the card in ip= have no effect"] : [];
            return word with { Device = fields[0], Notes = notes };
        }

        while (fields.Count < 7)
        {
            fields.Add(string.Empty);
        }

        return ParseFields(fields, text);
    }

    private static IpConfiguration ParseFields(List<string> fields, string text)
    {
        string? address = Address(fields[0], "own address", text);
        string? device = fields[5].Length == 0 ? null : IsDevice(fields[5]) ? fields[5] : throw NotUnderstood(text);

        // The kernel asks DHCP only for what is missing: an address that is given is not asked for, unless that is wanted.
        IpConfiguration word = fields[6].Length == 0
            ? new IpConfiguration { Method = address is null ? IpMethod.Dhcp : IpMethod.Static }
            : ParseWord(fields[6]) ?? throw NotUnderstood(text);
        if (word.Method == IpMethod.Off && address is not null)
        {
            word = word with { Method = IpMethod.Static };
        }

        List<string> notes = [];
        int prefix = 0;
        if (address is not null)
        {
            prefix = Prefix(fields[3], address, notes, text);
        }

        return word with
        {
            Address = address,
            PrefixLength = prefix,
            Server = Address(fields[1], "server", text),
            Gateway = Address(fields[2], "gateway", text),
            HostName = fields[4].Length > 0 ? fields[4] : null,
            Device = device,
            NameServers =
            [
                .. fields.Skip(7).Take(2).Where(ServerText.IsAddress).Where(dns => dns is not ("0.0.0.0" or "255.255.255.255")),
            ],
            Notes = notes,
        };
    }

    private static IpConfiguration? ParseWord(string word)
    {
        string[] parts = word.Split(',', 3);
        return parts[0] switch
        {
            "dhcp" or "on" or "any" or "both" or "bootp" or "rarp" or "single-dhcp" => new IpConfiguration
            {
                Method = IpMethod.Dhcp,
                ClientId = parts is [_, var type, var value] ? ClientIdOf(type, value) : null,
            },
            "auto6" or "dhcp6" or "link6" or "either6" => new IpConfiguration { Method = IpMethod.Automatic6 },
            "off" or "none" or "static" => new IpConfiguration { Method = IpMethod.Off },
            _ => null,
        };
    }

    private static string ClientIdOf(string type, string value) =>
        byte.TryParse(type, NumberStyles.None, CultureInfo.InvariantCulture, out byte number)
            ? Convert.ToHexStringLower([number, .. Encoding.UTF8.GetBytes(value)])
            : throw new BootArgumentException($"ip=dhcp,{BootArgumentException.Quote(type)},...: the type of a client identifier is a number from 0 to 255");

    private static int Prefix(string mask, string address, List<string> notes, string text)
    {
        bool isIPv6 = address.Contains(':', StringComparison.Ordinal);
        if (mask.Length == 0)
        {
            int assumed = isIPv6 ? 64 : Classful(address);
            notes.Add($"ip= gives no netmask: /{assumed} is taken");
            return assumed;
        }

        if (int.TryParse(mask, NumberStyles.None, CultureInfo.InvariantCulture, out int length))
        {
            return length <= (isIPv6 ? 128 : 32) ? length : throw NotUnderstood(text);
        }

        if (isIPv6 || !IPAddress.TryParse(mask, out IPAddress? parsed) || parsed.AddressFamily != AddressFamily.InterNetwork)
        {
            throw new BootArgumentException($"ip={BootArgumentException.Quote(text)}: '{BootArgumentException.Quote(mask)}' is no netmask");
        }

        byte[] bytes = parsed.GetAddressBytes();
        uint bits = ((uint)bytes[0] << 24) | ((uint)bytes[1] << 16) | ((uint)bytes[2] << 8) | bytes[3];
        int ones = System.Numerics.BitOperations.LeadingZeroCount(~bits);
        return ones == System.Numerics.BitOperations.PopCount(bits)
            ? ones
            : throw new BootArgumentException($"ip={BootArgumentException.Quote(text)}: the netmask {mask} has gaps");
    }

    // As the kernel does (ic_defaults): by the class of the address.
    private static int Classful(string address) => IPAddress.Parse(address).GetAddressBytes()[0] switch
    {
        < 128 => 8,
        < 192 => 16,
        _ => 24,
    };

    private static string? Address(string field, string what, string text) =>
        field.Length == 0 || field == "0.0.0.0" ? null
        : ServerText.IsAddress(field) ? field
        : throw new BootArgumentException($"ip={BootArgumentException.Quote(text)}: the {what} '{BootArgumentException.Quote(field)}' is no address");

    private static bool IsDevice(string text) =>
        text.Length is > 0 and <= MaximumName && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_' or '@');

    // Brackets protect the colons of IPv6 addresses.
    private static List<string> SplitFields(string text)
    {
        List<string> fields = [];
        var field = new StringBuilder();
        bool bracketed = false;
        foreach (char c in text)
        {
            switch (c)
            {
                case '[' when field.Length == 0:
                    bracketed = true;
                    break;
                case ']' when bracketed:
                    bracketed = false;
                    break;
                case ':' when !bracketed:
                    fields.Add(field.ToString());
                    field.Clear();
                    break;
                default:
                    field.Append(c);
                    break;
            }
        }

        fields.Add(field.ToString());
        return fields;
    }

    private static BootArgumentException NotUnderstood(string text) =>
        new($"ip={BootArgumentException.Quote(text)} cannot be understood; write {Forms}");
}
