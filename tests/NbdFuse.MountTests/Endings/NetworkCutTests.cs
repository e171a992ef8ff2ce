using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>A server behind a cable that is pulled: nobody says that the connection is gone.</summary>
public sealed class NetworkCutTests
{
    private const OpenFlags Direct = OpenFlags.ReadWrite | OpenFlags.Direct;
    private const int Length = 256 * 1024;

    [Fact]
    public async Task Connection_outlives_a_link_that_is_down_for_a_while()
    {
        await using NetworkNamespace network = await NetworkNamespace.CreateAsync();
        using var directory = new TempDirectory();
        await using BackgroundTool server = await ServeAsync(network, directory);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync($"nbd://{network.FarAddress}/");
        using MountedFile file = mount.Open(Direct);
        byte[] data = PatternData.Create(1, 0, Length);
        await network.SetLinkAsync(up: false);
        Task<int> write = Task.Run(() => file.TryWrite(0, data));
        Task<int> read = Task.Run(() => file.TryRead(Length, new byte[4096]));
        Assert.NotSame(write, await Task.WhenAny(write, read, Task.Delay(1500)));
        Assert.False(read.IsCompleted);
        await network.SetLinkAsync(up: true);
        Assert.Equal(Length, await Deadline.Within(write, "the write"));
        Assert.Equal(4096, await Deadline.Within(read, "the read"));
        PatternData.AssertEqual(data, file.Read(0, Length));
        Assert.DoesNotContain("lost", mount.Error);
    }

    [Fact]
    public async Task Server_that_was_replaced_behind_a_dead_link_is_found_again()
    {
        await using NetworkNamespace network = await NetworkNamespace.CreateAsync();
        using var directory = new TempDirectory();
        await using BackgroundTool first = await ServeAsync(network, directory);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync($"nbd://{network.FarAddress}/");
        using MountedFile file = mount.Open(Direct);
        byte[] data = PatternData.Create(2, 0, Length);
        Assert.Equal(Length, file.TryWrite(0, data));

        // Else every program that this one starts would wait on its way: it closes its copy of the file, which asks for a flush.
        Assert.Equal(0, file.Fsync());
        await network.SetLinkAsync(up: false);
        Task<int> write = Task.Run(() => file.TryWrite(Length, data));
        first.Kill();
        await using BackgroundTool second = await ServeAsync(network, directory);
        Assert.False(write.IsCompleted);
        await network.SetLinkAsync(up: true);
        Assert.Equal(Length, await Deadline.Within(write, "the write"));
        Assert.Equal(0, await Deadline.Within(Task.Run(file.Fsync), "the fsync"));
        Assert.Contains("the server is lost, reconnecting", mount.Error);
        file.Dispose();
        Assert.Equal(0, await mount.UnmountAsync());
        byte[] image = await File.ReadAllBytesAsync(directory["disk.img"]);
        PatternData.AssertEqual(data, image[..Length]);
        PatternData.AssertEqual(data, image[Length..(2 * Length)]);
    }

    private static async Task<BackgroundTool> ServeAsync(NetworkNamespace network, TempDirectory directory)
    {
        string image = directory["disk.img"];
        string pidFile = directory[$"pid{Guid.NewGuid():N}"];
        if (!File.Exists(image))
        {
            await using FileStream file = File.Create(image);
            file.SetLength(4 << 20);
        }

        string[] words = [.. network.Prefix, Requires.Command("nbdkit"), "-f", "-P", pidFile, "-i", network.FarAddress, "file", image];
        var server = new BackgroundTool(words[0], words[1..]);
        await Deadline.Until(() => server.HasExited || File.Exists(pidFile), "the server to listen");
        Assert.False(server.HasExited, server.Error);
        return server;
    }
}
