using System.Globalization;
using NbdFuse.Protocol;

namespace NbdFuse.Boot;

/// <summary>Brings the network up, by busybox's ip and udhcpc.</summary>
/// <param name="arguments">The boot arguments.</param>
/// <param name="console">Is told what happens.</param>
public sealed class NetworkSetup(BootArguments arguments, BootConsole console)
{
    private const string Interfaces = "/sys/class/net";
    private const string Answer = "/run/nbdfuse-boot/dhcp";
    private const string Ethernet = "1";
    private const int DhcpRounds = 5;

    private static readonly TimeSpan CardPatience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan LinkPatience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    /// <summary>Brings it up.</summary>
    /// <returns>How it is.</returns>
    /// <exception cref="BootException">There is no card, or no answer.</exception>
    public NetworkState Configure()
    {
        IpConfiguration ip = arguments.Ip ?? new IpConfiguration();
        var facts = new NetworkFacts { NextServer = ip.Server, NameServers = ip.NameServers };
        Busybox.Run("ip", "link", "set", "lo", "up");
        if (File.Exists("/proc/net/pnp"))
        {
            facts = facts.Or(NetworkFacts.FromKernel(File.ReadAllText("/proc/net/pnp")));
        }

        NetworkState state = ip.Method == IpMethod.Off || FirstConfigured() is not null
            ? Existing(facts)
            : Bring(ip, facts);
        WriteNames(state.Facts);
        if ((ip.HostName ?? state.Facts.HostName) is { } name && ServerText.IsHost(name))
        {
            File.WriteAllText("/proc/sys/kernel/hostname", name);
        }

        return state;
    }

    private static IEnumerable<string> Cards() => Directory.Exists(Interfaces)
        ? Directory.GetFileSystemEntries(Interfaces).Select(path => Path.GetFileName(path))
            .Where(name => Read(name, "type") == Ethernet && Path.Exists(Path.Combine(Interfaces, name, "device")))
            .Order(StringComparer.Ordinal)
        : [];

    // An unreadable attribute (carrier of an interface that is down) is an empty one.
    private static string Read(string card, string attribute)
    {
        try
        {
            return File.ReadAllText(Path.Combine(Interfaces, card, attribute)).Trim();
        }
        catch (IOException)
        {
            return string.Empty;
        }
    }

    // "2: eth0    inet 10.0.2.15/24 ...": an interface that the kernel's ip= has configured, or somebody before us.
    private static string? FirstConfigured() => Busybox.Run("ip", "-o", "-4", "addr", "show", "up", "scope", "global").Text
        .Split('\n')
        .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .FirstOrDefault(words => words.Length > 3)?[1];

    private static void WriteNames(NetworkFacts facts)
    {
        string[] servers = [.. facts.NameServers.Where(ServerText.IsAddress)];
        if (servers.Length == 0)
        {
            return;
        }

        string domain = facts.Domain is { } name && ServerText.IsHost(name) ? $"search {name}\n" : string.Empty;
        Directory.CreateDirectory($"{InitramfsBuilder.Tree}/etc");
        File.WriteAllText($"{InitramfsBuilder.Tree}/etc/resolv.conf", domain + string.Concat(servers.Select(server => $"nameserver {server}\n")));
    }

    private NetworkState Existing(NetworkFacts facts)
    {
        string? name = FirstConfigured();
        console.Say(name is null ? "the network is left as it is" : $"{name} has an address already");
        return new NetworkState(facts, name, name is null ? null : AddressOf(name));
    }

    private NetworkState Bring(IpConfiguration ip, NetworkFacts facts)
    {
        List<string> cards = WaitForCards(ip.Device);
        foreach (string card in cards)
        {
            Busybox.Check($"bring {card} up", "ip", "link", "set", card, "up");
        }

        cards = [.. cards.OrderByDescending(card => WaitForLink(card, cards))];
        if (ip.Method == IpMethod.Static)
        {
            return Static(ip, cards[0], facts);
        }

        if (ip.Method == IpMethod.Automatic6)
        {
            console.Say($"{cards[0]} is up; the kernel gives it an IPv6 address");
            return new NetworkState(facts, cards[0], AddressOf(cards[0]));
        }

        return Dhcp(ip, cards, facts);
    }

    private List<string> WaitForCards(string? wanted)
    {
        long start = Environment.TickCount64;
        bool isTold = false;
        while (true)
        {
            List<string> cards = [.. Cards().Where(card =>
                wanted is not null ? card == wanted : arguments.BootInterface is null || AddressOf(card) == arguments.BootInterface)];
            if (cards.Count > 0)
            {
                return cards;
            }

            TimeSpan waited = TimeSpan.FromMilliseconds(Environment.TickCount64 - start);
            string what = wanted ?? arguments.BootInterface ?? "network card";
            if (waited > CardPatience)
            {
                throw new BootException(
                    $"there is no {what}; there are: {string.Join(", ", Cards().DefaultIfEmpty("none"))}. Is the card's module in the initramfs (--module NAME)?");
            }

            if (!isTold && waited > LinkPatience)
            {
                console.Say($"waiting for {(wanted is null && arguments.BootInterface is null ? "a" : "the")} {what}");
                isTold = true;
            }

            Thread.Sleep(Pause);
        }
    }

    // Until any of the cards has a link, or the patience is over: a switch may need its time.
    private static bool WaitForLink(string card, List<string> all)
    {
        for (long end = Environment.TickCount64 + (long)LinkPatience.TotalMilliseconds; Environment.TickCount64 < end; Thread.Sleep(Pause))
        {
            if (all.Any(other => Read(other, "carrier") == "1"))
            {
                break;
            }
        }

        return Read(card, "carrier") == "1";
    }

    private static string? AddressOf(string card) => Read(card, "address") is { Length: 17 } address ? address : null;

    private NetworkState Static(IpConfiguration ip, string card, NetworkFacts facts)
    {
        string address = string.Create(CultureInfo.InvariantCulture, $"{ip.Address}/{ip.PrefixLength}");
        Busybox.Check($"give {card} its address", "ip", "addr", "add", address, "dev", card);
        if (ip.Gateway is { } gateway)
        {
            string family = gateway.Contains(':', StringComparison.Ordinal) ? "-6" : "-4";
            Busybox.Check("set the route", "ip", family, "route", "add", "default", "via", gateway, "dev", card);
        }

        console.Say($"{card} has the address {address}");
        return new NetworkState(facts, card, AddressOf(card));
    }

    private NetworkState Dhcp(IpConfiguration ip, List<string> cards, NetworkFacts facts)
    {
        File.Delete(Answer);
        for (int round = 1; round <= DhcpRounds || arguments.RootWait; round++)
        {
            foreach (string card in cards)
            {
                Busybox.Run(
                [
                    "udhcpc", "-i", card, "-f", "-q", "-n", "-t", "4", "-T", "2", "-O", "rootpath", "-s", "/etc/nbdfuse/dhcp.sh",
                    .. ip.ClientId is { } id ? ["-x", $"0x3d:{id}"] : Array.Empty<string>(),
                    .. ip.HostName is { } name ? ["-x", $"hostname:{name}"] : Array.Empty<string>(),
                ]);
                if (File.Exists(Answer))
                {
                    string text = File.ReadAllText(Answer);
                    string address = text.Split('\n').FirstOrDefault(line => line.StartsWith("ip=", StringComparison.Ordinal)) ?? "ip=";
                    console.Say($"{card} has the address {NbdText.Sanitize(address[3..], 64)} by DHCP");
                    return new NetworkState(facts.Or(NetworkFacts.FromDhcp(text)), card, AddressOf(card));
                }
            }

            console.Say($"no answer from a DHCP server on {string.Join(", ", cards)}: is there one? (or give an address by ip=)");
        }

        throw new BootException($"no DHCP server answers on {string.Join(", ", cards)}; give an address by ip={IpArgumentParser.Forms.Split(", ")[1][3..]}");
    }
}
