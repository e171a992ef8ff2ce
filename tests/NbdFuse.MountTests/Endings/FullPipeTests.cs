using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>A standard error that nobody reads: what is logged may be lost, the file may not wait for it.</summary>
public sealed class FullPipeTests
{
    [Fact]
    public async Task Reads_and_writes_go_on_under_load_and_over_losses_of_the_server_while_standard_error_is_full()
    {
        Requires.Command("mkfifo");
        using var directory = new TempDirectory();
        string pipe = directory["stderr"];
        (await Tool.RunAsync("mkfifo", pipe)).EnsureSuccess();
        using FileDescriptor reader = FileDescriptor.OwnOrThrow(Posix.Open(pipe, OpenFlags.ReadWrite | OpenFlags.NonBlocking | OpenFlags.CloseOnExec), $"open {pipe}");
        Fill(reader);
        await using RealServer server = await RealServers.NbdkitFile(new RealServerOptions { Size = 4 << 20 });
        await using MountedNbdfuse mount = await MountedNbdfuse.StartAsync(new MountStart
        {
            Mode = [server.Uri],
            Options = ["-v"],
            Prefix = ["sh", "-c", "exec \"$@\" 2>\"$0\"", pipe],
        });
        using (MountedFile file = mount.Open(OpenFlags.ReadWrite | OpenFlags.Direct))
        {
            for (int round = 0; round < 3; round++)
            {
                byte[] data = PatternData.Create((ulong)round, 0, 1 << 20);
                file.Write(0, data);
                server.Kill();
                Task<byte[]> read = Task.Factory.StartNew(() => file.Read(0, data.Length), TaskCreationOptions.LongRunning);
                await server.RestartAsync();
                PatternData.AssertEqual(data, await Deadline.Within(read, "the read"));
                Assert.Equal(0, await Deadline.Within(Task.Run(file.Fsync), "the fsync"));
            }
        }

        Assert.Equal(0, await mount.UnmountAsync());

        // Not one byte found room, and none was taken out.
        Assert.Equal(-Errno.EAGAIN, Posix.Write(reader.Value, [0]));
    }

    private static void Fill(FileDescriptor pipe)
    {
        byte[] block = new byte[4096];
        int result;
        do
        {
            result = Posix.Write(pipe.Value, block);
        }
        while (result > 0);
        Assert.Equal(-Errno.EAGAIN, result);
    }
}
