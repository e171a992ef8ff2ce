using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>The conformance list over the mounted file.</summary>
public sealed class MountConformanceTests
{
    public static TheoryData<string> Names => BlockConformance.Names;

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Over_nbdkit(string name)
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "5000001");
        await RunAsync(name, server.Uri, isReadOnly: false);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Over_our_server(string name)
    {
        await using RealServer server = await RealServers.Embedded(new RealServerOptions { Size = 8 << 20, Transport = ServerTransport.Tcp });
        await RunAsync(name, server.Uri, isReadOnly: false);
    }

    [Theory]
    [InlineData("read_past_the_end")]
    [InlineData("reads_agree_with_each_other")]
    [InlineData("read_only_refuses_writes")]
    public async Task Over_a_read_only_export_of_nbd_server(string name)
    {
        await using RealServer server = await RealServers.NbdServer(
            new RealServerOptions { Content = PatternData.Create(1, 0, 5 << 20), ReadOnly = true });
        await RunAsync(name, server.Uri, isReadOnly: true);
    }

    [Theory]
    [InlineData("unaligned_writes_keep_their_neighbours")]
    [InlineData("parallel_writes_into_one_block")]
    [InlineData("random_model")]
    public async Task Over_a_server_with_large_blocks(string name)
    {
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=blocksize-policy", "memory", "8M", "blocksize-minimum=4096", "blocksize-preferred=65536",
            "blocksize-maximum=256k", "blocksize-error-policy=error");
        await RunAsync(name, server.Uri, isReadOnly: false);
    }

    private static async Task RunAsync(string name, string uri, bool isReadOnly)
    {
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(uri);
        using (var target = new MountConformanceTarget(mount.FilePath, isReadOnly))
        {
            await BlockConformance.RunAsync(name, target);
        }

        await mount.UnmountCleanlyAsync();
    }
}
