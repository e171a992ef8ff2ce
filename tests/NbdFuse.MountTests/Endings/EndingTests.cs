using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>How a mount ends when the server is well.</summary>
public sealed class EndingTests
{
    [Fact]
    public async Task Unmount_ends_with_exit_code_0_and_says_goodbye_on_every_connection()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using var proxy = new FaultProxy(server);
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(proxy.Uri);
        using (MountedFile file = mount.Open())
        {
            file.Write(0, PatternData.Create(1, 0, 65536));
        }

        Assert.Equal(0, await mount.UnmountAsync());
        Assert.Equal(string.Empty, LastWords(mount.Error));
        Assert.True(proxy.Connections >= 1);
        for (int index = 0; index < proxy.Connections; index++)
        {
            int connection = index;
            await Deadline.Until(() => EndsWithDisconnect(proxy.RecordedToServer(connection)), "NBD_CMD_DISC");
        }
    }

    [Theory]
    [InlineData("TERM", "signal 15")]
    [InlineData("INT", "signal 2")]
    [InlineData("HUP", "signal 1")]
    public async Task Signal_flushes_unmounts_and_ends_with_exit_code_1(string signal, string words)
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            new MountStart { Mode = [server.Uri], DefaultSignal = signal });
        using (MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            file.Write(0, PatternData.Create(1, 0, 4096));
        }

        Assert.Equal(1, await mount.EndBySignalAsync(signal));
        Assert.Contains($"terminated by {words}", mount.Error);
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
        Assert.NotEmpty(server.Requests("Flush"));

        // The mountpoint is free for the next.
        await using MountedNbdfuse next = await mount.StartAgainAtAsync(mount.MountPoint, server.Uri);
        await next.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Signal_while_the_file_is_open_takes_along_what_was_written_and_ends()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 1 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] data = PatternData.Create(2, 0, 200_000);
        using MountedFile file = mount.Open();
        file.Write(0, data);
        Assert.Equal(1, await mount.EndBySignalAsync("TERM"));
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
        PatternData.AssertEqual(data, server.ReadBacking(0, data.Length));
        Assert.True(file.TryRead(512 * 1024, new byte[4096]) < 0);
    }

    [Fact]
    public async Task Unmount_while_the_file_is_open_is_refused_and_the_mount_goes_on()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using (MountedFile file = mount.Open())
        {
            ToolResult result = await Tool.RunAsync("fusermount3", "-u", mount.MountPoint);
            Assert.NotEqual(0, result.ExitCode);
            file.Write(0, PatternData.Create(3, 0, 4096));
            PatternData.AssertEqual(PatternData.Create(3, 0, 4096), file.Read(0, 4096));
        }

        await mount.UnmountCleanlyAsync();
    }

    [Fact]
    public async Task Lazy_unmount_serves_the_last_user_to_the_end()
    {
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 1 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        byte[] data = PatternData.Create(4, 0, 65536);
        using (MountedFile file = mount.Open())
        {
            (await Tool.RunAsync("fusermount3", "-u", "-z", mount.MountPoint)).EnsureSuccess();
            file.Write(0, data);
            PatternData.AssertEqual(data, file.Read(0, data.Length));
            Assert.False(mount.HasExited);
        }

        Assert.Equal(0, await mount.WaitForExitAsync());
        PatternData.AssertEqual(data, server.ReadBacking(0, data.Length));
    }

    [Fact]
    public async Task Killed_process_leaves_a_dead_mount_that_the_next_start_replaces()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        foreach (MountShape shape in Enum.GetValues<MountShape>())
        {
            var start = new MountStart { Mode = [server.Uri], Shape = shape };
            await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(start);
            Assert.Equal(128 + 9, await mount.EndBySignalAsync("KILL"));
            Assert.Equal(-Errno.ENOTCONN, Posix.StatUncached(mount.MountPoint, out _));

            string argument = shape == MountShape.NameInDirectory ? mount.FilePath : mount.MountPoint;
            await using MountedNbdfuse next = await mount.StartAgainAtAsync(argument, server.Uri);
            Assert.Equal(1 << 20, new FileInfo(mount.FilePath).Length);
            Assert.Contains("dead", next.Error, StringComparison.OrdinalIgnoreCase);
            await next.UnmountCleanlyAsync();
            Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
        }
    }

    [Fact]
    public async Task Signal_after_somebody_has_unmounted_lazily_flushes_what_the_user_wrote()
    {
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            new MountStart { Mode = [server.Uri], DefaultSignal = "TERM" });

        // Another process writes and keeps the file open. This one starts others, and each start closes a copy of what is open
        // here: that is a FLUSH of the close.
        await using var holder = new BackgroundTool("bash", "-c", "exec 1<>\"$0\"; printf %04096d 0; exec sleep 300", mount.FilePath);
        await Deadline.Until(() => server.Lines.Any(line => line.Contains("...Write id=")), "the write to be answered");
        (await Tool.RunAsync("umount", "-l", mount.MountPoint)).EnsureSuccess();
        Assert.Empty(server.Requests("Flush"));

        Assert.Equal(1, await mount.EndBySignalAsync("TERM"));
        Assert.Contains("terminated by signal 15", mount.Error);
        Assert.DoesNotContain("not mounted", mount.Error);
        string[] order = [.. server.Lines.Where(line => line.Contains(" Write id=") || line.Contains(" Flush id="))];
        Assert.Contains("Flush", order[^1]);
    }

    [Fact]
    public async Task Aborted_connection_flushes_frees_the_mountpoint_and_is_explained()
    {
        Requires.Root();
        await using NbdkitLog server = await NbdkitLog.StartAsync("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(server.Uri);
        using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
        file.Write(0, PatternData.Create(6, 0, 4096));
        await AbortAsync(mount.MountPoint);

        Assert.Equal(1, await mount.WaitForExitAsync());
        OneLine.AssertError(mount.Error, "aborted", "flushed", "mount again");
        Assert.NotEmpty(server.Requests("Flush"));
        Assert.False(MountedNbdfuse.IsMounted(mount.MountPoint));
    }

    [Fact]
    public async Task Journal_gets_the_level_of_the_last_words()
    {
        await using RealServer server = await RealServers.Nbdkit("memory", "1M");
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(
            new MountStart { Mode = [server.Uri], DefaultSignal = "TERM", Prefix = InJournal });
        Assert.Equal(1, await mount.EndBySignalAsync("TERM"));
        Assert.Contains(mount.Error.Split('\n'), line => line.StartsWith("<5>nbdfuse: ") && line.Contains("terminated by signal 15"));

        await using MountedNbdfuse failing = MountedNbdfuse.Launch(
            new MountStart { Mode = ["nbd+unix:///?socket=/nonexistent/socket"], Prefix = InJournal });
        Assert.Equal(1, await failing.WaitForExitAsync());
        Assert.Contains(failing.Error.Split('\n'), line => line.StartsWith("<3>nbdfuse: ") && line.Contains("/nonexistent/socket"));
    }

    // Makes the pipe of the test pass for the journal.
    private static string[] InJournal =>
        ["/bin/sh", "-c", "JOURNAL_STREAM=$(stat -L -c %d:%i /dev/fd/2) exec \"$0\" \"$@\""];

    // fusectl need not be mounted: a mount of our own, for a moment, shows the same connections.
    private static async Task AbortAsync(string mountPoint)
    {
        string line = File.ReadLines("/proc/self/mountinfo").Last(text => text.Split(' ')[4] == mountPoint);
        string connection = line.Split(' ')[2].Split(':')[1];
        using var directory = new TempDirectory();
        string control = Directory.CreateDirectory(directory["fusectl"]).FullName;
        ToolResult result = await Tool.RunAsync("mount", "-t", "fusectl", "fusectl", control);
        if (result.ExitCode != 0)
        {
            Requires.Missing("fusectl", $"fusectl can't be mounted: {result.Error}");
        }

        try
        {
            await File.WriteAllTextAsync(Path.Combine(control, connection, "abort"), "1");
        }
        finally
        {
            (await Tool.RunAsync("umount", control)).EnsureSuccess();
        }
    }

    private static string LastWords(string error) =>
        string.Join('\n', error.Split('\n').Where(line => line.Contains("error", StringComparison.OrdinalIgnoreCase)));

    private static bool EndsWithDisconnect(byte[] sent) =>
        sent.Length >= NbdRequestHeader.Size
        && NbdRequestHeader.TryRead(sent.AsSpan(sent.Length - NbdRequestHeader.Size), out NbdRequestHeader header)
        && header.Command == NbdCommand.Disc;
}
