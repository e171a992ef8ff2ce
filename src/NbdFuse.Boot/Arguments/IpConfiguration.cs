namespace NbdFuse.Boot;

/// <summary>What <c>ip=</c> asks for (Documentation/admin-guide/nfs/nfsroot.rst, and dracut.cmdline(7)). Immutable.</summary>
public sealed record IpConfiguration
{
    /// <summary>How the address comes.</summary>
    public IpMethod Method { get; init; }

    /// <summary>Own address for <see cref="IpMethod.Static"/>; for DHCP the address to ask for, or null.</summary>
    public string? Address { get; init; }

    /// <summary>Length of the network's prefix in bits: 0 to 32, or to 128 for IPv6.</summary>
    public int PrefixLength { get; init; }

    /// <summary>The server to boot from, or null.</summary>
    public string? Server { get; init; }

    /// <summary>Router, or null.</summary>
    public string? Gateway { get; init; }

    /// <summary>Host name, or null.</summary>
    public string? HostName { get; init; }

    /// <summary>Interface, or null for the first that has a link.</summary>
    public string? Device { get; init; }

    /// <summary>Addresses of name servers.</summary>
    public IReadOnlyList<string> NameServers { get; init; } = [];

    /// <summary>DHCP client identifier as hexadecimal digits, the type first; null for the client's own.</summary>
    public string? ClientId { get; init; }

    /// <summary>Choices that were made, one line each.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];
}
