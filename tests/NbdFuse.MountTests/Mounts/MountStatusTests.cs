using System.Text.Json;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>A mounted file in <c>nbdfuse status</c>.</summary>
public sealed class MountStatusTests
{
    [Fact]
    public async Task Mounted_file_is_listed_with_what_was_asked_of_it_until_it_is_unmounted()
    {
        Requires.Root();
        await using RealServer server = await RealServers.Nbdkit("memory", "16M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using (MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            for (int i = 0; i < 10; i++)
            {
                file.Read(8 << 20, 4096);
            }
        }

        JsonElement status = Assert.Single(await Listed(mount));
        Assert.Equal("file", status.GetProperty("driver").GetString());
        Assert.Equal("online", status.GetProperty("state").GetString());
        Assert.Equal(16 << 20, status.GetProperty("size").GetInt64());
        Assert.Equal(mount.Id, status.GetProperty("pid").GetInt32());
        JsonElement cache = status.GetProperty("cache");
        Assert.True(cache.GetProperty("hits").GetInt64() >= 8, cache.ToString());

        ToolResult refused = await Tool.RunAsync(NbdfuseProgram.FullPath, "detach", mount.MountPoint);
        Assert.NotEqual(0, refused.ExitCode);
        Assert.Contains($"fusermount3 -u {mount.MountPoint}", refused.Error);
        await mount.UnmountCleanlyAsync();
        Assert.Empty(await Listed(mount));
    }

    [Fact]
    public async Task File_whose_process_was_killed_is_stale_until_it_is_mounted_again()
    {
        Requires.Root();
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        await mount.EndBySignalAsync("KILL");
        JsonElement stale = Assert.Single(await Listed(mount));
        Assert.Equal("stale", stale.GetProperty("state").GetString());
        Assert.Contains("fusermount3 -u", stale.GetProperty("reason").GetString());

        await using MountedNbdfuse next = await mount.StartAgainAtAsync(mount.MountPoint, server.Uri);
        JsonElement online = Assert.Single(await Listed(mount));
        Assert.Equal("online", online.GetProperty("state").GetString());
        await next.UnmountCleanlyAsync();
        Assert.Empty(await Listed(mount));
    }

    private static async Task<JsonElement[]> Listed(MountedNbdfuse mount)
    {
        ToolResult result = (await Tool.RunAsync(NbdfuseProgram.FullPath, "status", "--json")).EnsureSuccess();
        using var document = JsonDocument.Parse(result.Output);
        return
        [
            .. document.RootElement.GetProperty("devices").EnumerateArray()
                .Where(device => device.GetProperty("device").GetString() == mount.FilePath).Select(device => device.Clone()),
        ];
    }
}
