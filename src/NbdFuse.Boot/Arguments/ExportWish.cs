using System.Globalization;
using NbdFuse.Protocol;

namespace NbdFuse.Boot;

/// <summary>What a boot argument says about server and export; what it leaves open, DHCP decides. Immutable.</summary>
public sealed record ExportWish
{
    /// <summary>The whole is DHCP's root-path (option 17), which is written like <c>nbdroot=</c>.</summary>
    public bool IsRootPath { get; init; }

    /// <summary>An NBD URI, or null when the parts below count.</summary>
    public NbdUri? Uri { get; init; }

    /// <summary>The server, without brackets; null for the one that DHCP names.</summary>
    public string? Host { get; init; }

    /// <summary>Port, 1 to 65535; null for 10809.</summary>
    public int? Port { get; init; }

    /// <summary>Name of the export; empty for the server's default export.</summary>
    public string ExportName { get; init; } = string.Empty;

    /// <summary>The other name that the words can mean, for when the server does not know the first; null for none.</summary>
    public string? AlternateName { get; init; }

    /// <summary>Partition that the name of a device asks for; 0 for none.</summary>
    public int Partition { get; init; }

    /// <summary>Types of filesystems to try, separated by commas, from dracut's form; null for none.</summary>
    public string? FileSystem { get; init; }

    /// <summary>Mount options from dracut's form; null for none.</summary>
    public string? MountOptions { get; init; }

    /// <summary>Readings that were chosen where two were possible, one line each.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>Whether the network has to say something before this is complete.</summary>
    public bool NeedsDhcp => IsRootPath || (Uri is null && Host is null);

    /// <summary>Fills in what the network says.</summary>
    /// <param name="facts">What it says.</param>
    /// <exception cref="BootArgumentException">Something is missing still, or what DHCP says cannot be understood.</exception>
    public ExportAddress Resolve(NetworkFacts facts)
    {
        ArgumentNullException.ThrowIfNull(facts);
        if (IsRootPath)
        {
            return ResolveRootPath(facts);
        }

        if (Uri is not null)
        {
            return new ExportAddress(Uri, null, Notes);
        }

        List<string> notes = [.. Notes];
        string? host = Host ?? facts.NextServer;
        if (host is null && facts.DhcpServer is not null)
        {
            host = facts.DhcpServer;
            notes.Add($"DHCP names no next-server: the DHCP server {host} is taken");
        }

        if (host is null)
        {
            throw new BootArgumentException(
                "no server is named, neither by the boot arguments nor by DHCP (next-server); write nbdfuse=nbd://SERVER/EXPORT");
        }

        return new ExportAddress(
            Build(host, ExportName), AlternateName is null ? null : Build(host, AlternateName), notes.AsReadOnly())
        {
            Partition = Partition,
        };
    }

    private static string Bracketed(string host) =>
        host.Contains(':', StringComparison.Ordinal) ? $"[{host.Replace("%", "%25", StringComparison.Ordinal)}]" : host;

    private ExportAddress ResolveRootPath(NetworkFacts facts)
    {
        if (facts.RootPath is not { } path)
        {
            // The reviewers' empty value: all by default.
            ExportAddress address = (this with { IsRootPath = false }).Resolve(facts);
            return address with
            {
                Notes = [.. address.Notes, "DHCP gives no root-path (option 17): the default export is taken"],
            };
        }

        ExportWish inner;
        try
        {
            inner = ExportWishParser.ParseRootPath(path);
        }
        catch (BootArgumentException e)
        {
            throw new BootArgumentException($"DHCP's root-path '{BootArgumentException.Quote(path)}': {e.Message}");
        }

        ExportAddress resolved = inner.Resolve(facts);
        return resolved with { Notes = [.. Notes, $"DHCP's root-path is '{BootArgumentException.Quote(path)}'", .. resolved.Notes] };
    }

    private NbdUri Build(string host, string name)
    {
        if (!NbdText.IsValidExportName(name, out string? error))
        {
            throw new BootArgumentException(error!);
        }

        int port = Port ?? NbdLimits.DefaultPort;
        return NbdUri.Parse($"nbd://{Bracketed(host)}:{port.ToString(CultureInfo.InvariantCulture)}/{System.Uri.EscapeDataString(name)}");
    }
}
