using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Cli;
using NbdFuse.Client;
using NbdFuse.Fuse;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>What is left when a fault of the program ends its event loop.</summary>
public sealed class DeadLoopTests
{
    [Fact]
    public async Task Loop_that_fails_gives_its_users_errors_frees_the_mountpoint_and_is_told()
    {
        Requires.Fuse();
        await using RealServer server = await RealServers.Nbdkit("--filter=delay", "memory", "1M", "delay-read=300");
        using var directory = new TempDirectory();
        MountTarget target = MountTarget.Resolve(Directory.CreateDirectory(directory["mnt"]).FullName);
        NbdfuseArguments arguments = NbdfuseArgumentParser.Parse(["-P", directory["pid"], target.Path, server.Uri]);
        NbdExport export = await NbdExport.OpenAsync(arguments.Target!, new NbdExportOptions(), NullLogger.Instance);
        var options = new FuseMountOptions();
        using var signals = new TerminationSignals(() => Assert.Fail("no signal was sent"));
        await using var mounted = new MountedExport(
            export, FuseMounter.Mount(target, options), arguments, options, NullLoggerFactory.Instance);
        mounted.Start();
        Task<int> serving = MountCommand.ServeAsync(mounted, target, arguments, signals, NullLogger.Instance, TextWriter.Null);
        await Deadline.Until(() => File.Exists(directory["pid"]) || serving.IsCompleted, "the file to be usable");

        // By another process: a thread of this one could not be ended should the test fail.
        Task<ToolResult> read = Tool.RunAsync("dd", $"if={target.FilePath}", "of=/dev/null", "bs=4096", "count=1", "iflag=direct");
        mounted.Loop.Post(() => throw new InvalidOperationException("made by the test"));

        NbdException error = await Assert.ThrowsAsync<NbdException>(() => Deadline.Within(serving, "the mount to end"));
        Assert.Contains("made by the test", error.Message, StringComparison.Ordinal);
        Assert.NotEqual(0, (await Deadline.Within(read, "the reader to get an error")).ExitCode);
        Assert.False(MountedNbdfuse.IsMounted(target.Path));
    }
}
