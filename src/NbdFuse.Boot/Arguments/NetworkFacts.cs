using NbdFuse.Protocol;

namespace NbdFuse.Boot;

/// <summary>What the network has told about where to boot from. Untrusted: it comes from whoever answered first.</summary>
public sealed record NetworkFacts
{
    /// <summary>Nothing.</summary>
    public static NetworkFacts None { get; } = new();

    /// <summary>DHCP option 17 (RFC 2132), or null.</summary>
    public string? RootPath { get; init; }

    /// <summary>
    /// The server to boot from: the server field of <c>ip=</c>, or next-server (siaddr) of DHCP, or bootserver of /proc/net/pnp; null
    /// for none.
    /// </summary>
    public string? NextServer { get; init; }

    /// <summary>The DHCP server itself (option 54): the last resort when it names no other server. Null for none.</summary>
    public string? DhcpServer { get; init; }

    /// <summary>Host name from DHCP, or null.</summary>
    public string? HostName { get; init; }

    /// <summary>Addresses of name servers.</summary>
    public IReadOnlyList<string> NameServers { get; init; } = [];

    /// <summary>Domain for names without a dot, or null.</summary>
    public string? Domain { get; init; }

    /// <summary>Puts what another source knows where this one knows nothing.</summary>
    /// <param name="other">The less important source.</param>
    public NetworkFacts Or(NetworkFacts other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return new NetworkFacts
        {
            RootPath = RootPath ?? other.RootPath,
            NextServer = NextServer ?? other.NextServer,
            DhcpServer = DhcpServer ?? other.DhcpServer,
            HostName = HostName ?? other.HostName,
            NameServers = NameServers.Count > 0 ? NameServers : other.NameServers,
            Domain = Domain ?? other.Domain,
        };
    }

    /// <summary>Reads what the kernel's own autoconfiguration has left (net/ipv4/ipconfig.c, pnp_seq_show).</summary>
    /// <param name="text">Content of /proc/net/pnp.</param>
    public static NetworkFacts FromKernel(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        List<string> servers = [];
        NetworkFacts facts = None;
        foreach (string line in text.Split('\n'))
        {
            switch (line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
            {
                case ["nameserver", var address]:
                    servers.Add(address);
                    break;
                case ["domain", var domain]:
                    facts = facts with { Domain = domain };
                    break;
                case ["bootserver", var address]:
                    facts = facts with { NextServer = AddressOrNull(address) };
                    break;
            }
        }

        return facts with { NameServers = servers };
    }

    /// <summary>Reads what the script of udhcpc has written: lines NAME=VALUE, with udhcpc's own names.</summary>
    /// <param name="text">The lines.</param>
    public static NetworkFacts FromDhcp(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        NetworkFacts facts = None;
        foreach (string line in text.Split('\n'))
        {
            int equals = line.IndexOf('=', StringComparison.Ordinal);
            if (equals < 0)
            {
                continue;
            }

            string value = NbdText.Sanitize(line[(equals + 1)..], NbdLimits.MaxStringBytes).Trim();
            facts = line[..equals] switch
            {
                _ when value.Length == 0 => facts,
                "rootpath" => facts with { RootPath = value },
                "siaddr" => facts with { NextServer = AddressOrNull(value) },
                "serverid" => facts with { DhcpServer = AddressOrNull(value) },
                "hostname" => facts with { HostName = value },
                "domain" => facts with { Domain = value },
                "dns" => facts with { NameServers = value.Split(' ', StringSplitOptions.RemoveEmptyEntries) },
                _ => facts,
            };
        }

        return facts;
    }

    private static string? AddressOrNull(string text) =>
        ServerText.IsAddress(text) && text is not ("0.0.0.0" or "255.255.255.255") ? text : null;
}
