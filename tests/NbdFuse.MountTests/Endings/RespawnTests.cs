using System.Globalization;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>Servers that nbdfuse starts itself, and that die.</summary>
public sealed class RespawnTests
{
    private const int Size = 16 << 20;
    private const int SignalKill = 9;

    public static TheoryData<string[]> Servers { get; } = new()
    {
        new[] { "--command", "nbdkit", "-s", "file", "DISK" },
        new[] { "[", "nbdkit", "-f", "file", "DISK", "]" },
        new[] { "[", "qemu-nbd", "-t", "-f", "raw", "DISK", "]" },

        // Ends with its last client, as long as nothing else is said.
        new[] { "[", "qemu-nbd", "-f", "raw", "DISK", "]" },
    };

    [Theory]
    [MemberData(nameof(Servers))]
    public async Task Fio_verifies_everything_while_the_command_is_killed_and_started_again(string[] words)
    {
        Requires.Command("fio");
        Requires.Command(words[1]);
        using var directory = new TempDirectory();
        string disk = directory.CreateFile("disk", new byte[Size]);
        await using MountedNbdfuse mount = await StartAsync(words, disk, "--respawn");
        await using var fio = new BackgroundTool("fio",
        [
            "--name=verify", $"--filename={mount.FilePath}", "--size=16M", "--rw=randrw", "--bsrange=4k-64k", "--ioengine=libaio", "--iodepth=32",
            "--direct=1", "--verify=crc32c", "--serialize_overlap=1", "--io_size=48M", "--fsync=64", "--output-format=terse",
        ]);
        int kills = Requires.IsSoak ? 20 : 3;
        for (int i = 1; i <= kills; i++)
        {
            await Deadline.Until(() => Child(mount) != 0, "the command to run");
            int child = Child(mount);
            Posix.Kill(child, SignalKill);
            await Deadline.Until(() => mount.Error.Split("the server is back").Length - 1 >= i, "the server to be back");
            Assert.NotEqual(child, Child(mount));
        }

        await fio.WaitForExitAsync(CancellationToken.None);
        Assert.True(fio.ExitCode == 0, $"{fio.Output}{fio.Error}{mount.Error}");
        byte[] data = PatternData.Create(1, 0, 65536);
        using (MountedFile file = mount.Open(OpenFlags.ReadWrite))
        {
            file.Write(Size - 65536, data);
        }

        int last = Child(mount);
        Assert.Equal(0, await mount.UnmountAsync());
        Assert.True(OtherProcess.IsGone(last), "the last command is still there");
        byte[] all = await File.ReadAllBytesAsync(disk);
        PatternData.AssertEqual(data, all[^65536..]);
    }

    [Fact]
    public async Task Command_with_another_disk_gets_nothing()
    {
        Requires.Command("nbdkit");
        using var directory = new TempDirectory();
        string disk = directory.CreateFile("disk", new byte[Size]);
        await using MountedNbdfuse mount = await StartAsync(["--command", "nbdkit", "-s", "file", "DISK"], disk, "--respawn");
        using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
        file.Write(0, PatternData.Create(1, 0, 65536));
        Assert.Equal(0, file.Fsync());
        file.Write(65536, PatternData.Create(1, 0, 65536));
        File.Move(disk, directory["old"]);
        directory.CreateFile("disk", new byte[Size]);
        Posix.Kill(Child(mount), SignalKill);
        await Deadline.Until(() => mount.Error.Contains("another disk than before"), "the disk to be missed");
        Assert.Equal(-Errno.EIO, file.TryRead(0, new byte[4096]));
        Assert.DoesNotContain(await File.ReadAllBytesAsync(disk), value => value != 0);
    }

    [Theory]
    [InlineData("--command")]
    [InlineData("[")]
    public async Task Loss_of_a_command_without_respawn_is_an_error_that_names_the_option(string mode)
    {
        Requires.Command("nbdkit");
        using var directory = new TempDirectory();
        string disk = directory.CreateFile("disk", new byte[Size]);
        string[] words = mode == "[" ? ["[", "nbdkit", "-f", "file", "DISK", "]"] : [mode, "nbdkit", "-s", "file", "DISK"];
        await using MountedNbdfuse mount = await StartAsync(words, disk);
        using MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct);
        Posix.Kill(Child(mount), SignalKill);
        await Deadline.Until(() => mount.Error.Contains("a command is started again only with --respawn"), "the loss");
        Assert.Equal(-Errno.EIO, file.TryRead(0, new byte[4096]));
    }

    private static Task<MountedNbdfuse> StartAsync(string[] words, string disk, params string[] options) =>
        MountedNbdfuse.StartAsync(new MountStart { Mode = [.. words.Select(word => word == "DISK" ? disk : word)], Options = options });

    // The only child that is a server: 0 in between two.
    private static int Child(MountedNbdfuse mount)
    {
        foreach (string task in Directory.EnumerateDirectories($"/proc/{mount.Id}/task"))
        {
            string path = Path.Combine(task, "children");
            foreach (string id in (File.Exists(path) ? File.ReadAllText(path) : string.Empty).Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                string line = $"/proc/{id}/cmdline";
                if (File.Exists(line) && File.ReadAllText(line) is { } words && (words.StartsWith("nbdkit", StringComparison.Ordinal) || words.StartsWith("qemu-nbd", StringComparison.Ordinal)))
                {
                    return int.Parse(id, CultureInfo.InvariantCulture);
                }
            }
        }

        return 0;
    }
}
