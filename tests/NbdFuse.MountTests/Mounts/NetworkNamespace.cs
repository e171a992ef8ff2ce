using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>A network of its own for a server, on a cable that can be pulled. As root.</summary>
internal sealed class NetworkNamespace : IAsyncDisposable
{
    private readonly string _name;
    private readonly string _near;

    private NetworkNamespace(string name, string near, string farAddress)
    {
        _name = name;
        _near = near;
        FarAddress = farAddress;
    }

    /// <summary>Address inside, as this machine reaches it.</summary>
    public string FarAddress { get; }

    /// <summary>
    /// What to put before a command that shall run inside. Not "ip netns exec", which makes a mount namespace, too: that would
    /// keep copies of all mounts, and with them the file systems of those that end.
    /// </summary>
    public string[] Prefix => ["nsenter", $"--net=/run/netns/{_name}"];

    /// <summary>Makes one, with the link up. Skips without root, ip(8), or the right to make one.</summary>
    public static async Task<NetworkNamespace> CreateAsync()
    {
        Requires.Root();
        Requires.Command("ip");
        Requires.Command("nsenter");
        string id = Guid.NewGuid().ToString("N")[..8];
        int subnet = Random.Shared.Next(1, 250);
        var space = new NetworkNamespace($"nbdfuse-{id}", $"nf{id}", $"10.213.{subnet}.2");
        if ((await Tool.RunAsync("ip", "netns", "add", space._name)).ExitCode != 0)
        {
            Requires.Missing("netns", "no network namespace can be made here");
        }

        try
        {
            (await Tool.RunAsync("sh", "-e", "-c", $"""
                ip link add {space._near} type veth peer name far netns {space._name}
                ip addr add 10.213.{subnet}.1/24 dev {space._near}
                ip link set {space._near} up
                ip -n {space._name} addr add {space.FarAddress}/24 dev far
                ip -n {space._name} link set far up
                ip -n {space._name} link set lo up
                """)).EnsureSuccess();
        }
        catch
        {
            await space.DisposeAsync();
            throw;
        }

        return space;
    }

    /// <summary>Pulls the cable, or puts it back.</summary>
    /// <param name="up">Back.</param>
    public async Task SetLinkAsync(bool up) =>
        (await Tool.RunAsync("ip", "-n", _name, "link", "set", "far", up ? "up" : "down")).EnsureSuccess();

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Tool.RunAsync("ip", "link", "del", _near);
        await Tool.RunAsync("ip", "netns", "del", _name);
    }
}
