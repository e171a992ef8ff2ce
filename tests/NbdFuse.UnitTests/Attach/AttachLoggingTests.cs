using Microsoft.Extensions.Logging;
using NbdFuse.Cli;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Attach;

/// <summary>The log of a process that serves a device.</summary>
public sealed class AttachLoggingTests
{
    private static readonly CommandLogOptions Options = new(LogVerbosity.Normal, Debug: false);

    [Fact]
    public void Lines_have_time_and_level_and_the_waiting_user_sees_warnings_without_the_time()
    {
        using var directory = new TempDirectory();
        string path = directory["log"];
        using (AttachLogging logging = AttachLogging.ToFile(path, Options))
        {
            using ILoggerFactory loggers = logging.Factory(LogLevel.Information);
            ILogger logger = loggers.CreateLogger("x");
            AttachLog.DriverChosen(logger, "fuse", "because");
            AttachLog.Warning(logger, "two\nlines");
            logging.Flush();
            Assert.Equal(2, File.ReadAllLines(path).Length);
        }

        string log = File.ReadAllText(path);
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ nbdfuse: driver fuse: because\n", log);
        Assert.Equal("nbdfuse: warning: two lines\n", AttachLogging.ForTerminal(log, all: false));
        Assert.Equal("nbdfuse: driver fuse: because\nnbdfuse: warning: two lines\n", AttachLogging.ForTerminal(log, all: true));

        // What is no line of ours, as the last words of the runtime, is shown in any case.
        Assert.Equal("Unhandled exception.\n", AttachLogging.ForTerminal("Unhandled exception.\n", all: false));
    }

    [Fact]
    public void File_never_grows_beyond_its_bound_and_the_newest_lines_are_kept()
    {
        using var directory = new TempDirectory();
        var file = new AttachLogFile(directory["log"], maximum: 1000);
        for (int i = 0; i < 100; i++)
        {
            file.Write(System.Text.Encoding.UTF8.GetBytes($"{i,99}\n"));
        }

        Assert.Equal("log log.old", string.Join(" ", Directory.GetFiles(directory.Path).Select(Path.GetFileName).Order()));
        Assert.All(Directory.GetFiles(directory.Path), path => Assert.InRange(new FileInfo(path).Length, 1, 1000));
        Assert.Equal(99, int.Parse(File.ReadLines(directory["log"]).Last()));
        Assert.Equal(80, int.Parse(File.ReadLines(directory["log.old"]).First()));
    }

    [Fact]
    public async Task Writer_never_waits_for_a_sink_that_hangs_and_tells_what_was_dropped()
    {
        using var blocked = new ManualResetEventSlim();
        using var entered = new ManualResetEventSlim();
        List<string> written = [];
        using var writer = new AttachLogWriter(
            bytes =>
            {
                entered.Set();
                blocked.Wait();
                lock (written)
                {
                    written.Add(System.Text.Encoding.UTF8.GetString(bytes));
                }
            },
            length: 4);
        writer.Write("first\n");
        entered.Wait();
        await Deadline.Within(
            Task.Run(() =>
            {
                for (int i = 0; i < 100; i++)
                {
                    writer.Write($"line {i}\n");
                }
            }),
            "the lines to be taken or dropped");
        blocked.Set();
        writer.Flush();
        writer.Write("last\n");
        writer.Flush();

        lock (written)
        {
            Assert.Equal(["first\n", "nbdfuse: warning: 96 messages were dropped\n", "line 0\n", "line 1\n", "line 2\n", "line 3\n", "last\n"], written.ToArray());
        }
    }
}
