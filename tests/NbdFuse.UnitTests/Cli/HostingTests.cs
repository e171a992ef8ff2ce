using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Cli;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Cli;

/// <summary>Readiness, pidfile and the form of log lines. They change the environment: one class, so not in parallel.</summary>
public sealed class HostingTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public void Dispose()
    {
        Environment.SetEnvironmentVariable("NOTIFY_SOCKET", null);
        _directory.Dispose();
    }

    [Fact]
    public void The_pidfile_holds_the_number_and_nothing_else()
    {
        string path = Path.Combine(_directory.Path, "pid");
        File.WriteAllText(path, "something that was there before and is longer");

        PidFile.Check(path);
        PidFile.Write(path);

        Assert.Equal(Environment.ProcessId.ToString(CultureInfo.InvariantCulture), File.ReadAllText(path));
    }

    [Fact]
    public void A_pidfile_in_a_missing_directory_is_refused_early()
    {
        string path = Path.Combine(_directory.Path, "missing", "pid");

        Assert.Contains("mkdir", Assert.Throws<IOException>(() => PidFile.Check(path)).Message, StringComparison.Ordinal);
        Assert.Throws<IOException>(() => PidFile.Write(path));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Readiness_reaches_the_socket_that_systemd_names(bool isAbstract)
    {
        string name = isAbstract ? $"@nbdfuse-test-{Guid.NewGuid():N}" : Path.Combine(_directory.Path, "notify");
        using var systemd = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        systemd.Bind(new UnixDomainSocketEndPoint(isAbstract ? '\0' + name[1..] : name));
        systemd.ReceiveTimeout = 10_000;
        Environment.SetEnvironmentVariable("NOTIFY_SOCKET", name);

        SystemdNotifier.Notify("READY=1\nSTATUS=x", NullLogger.Instance);

        byte[] buffer = new byte[100];
        int length = systemd.Receive(buffer);
        Assert.Equal("READY=1\nSTATUS=x", Encoding.UTF8.GetString(buffer, 0, length));
    }

    [Fact]
    public async Task Loop_that_does_not_answer_is_not_vouched_for()
    {
        var asked = new System.Collections.Concurrent.BlockingCollection<Action>();
        using var beats = new SemaphoreSlim(0);
        await using (SystemdWatchdog.Start(
            TimeSpan.FromMilliseconds(1),
            action =>
            {
                asked.Add(action);
                return true;
            },
            state =>
            {
                Assert.Equal("WATCHDOG=1", state);
                beats.Release();
            }))
        {
            for (int i = 0; i < 3; i++)
            {
                // Only one question is under way, and there is no beat before its answer.
                Action answer = await Deadline.Within(Task.Run(asked.Take), "the question");
                Assert.Equal(0, beats.CurrentCount);
                Assert.Empty(asked);
                answer();
                await Deadline.Within(beats.WaitAsync(), "the beat");
            }
        }
    }

    [Fact]
    public async Task Watchdog_ends_with_the_loop()
    {
        int beats = 0;
        await using (SystemdWatchdog.Start(TimeSpan.FromMilliseconds(1), _ => false, _ => beats++))
        {
        }

        Assert.Equal(0, beats);
    }

    [Theory]
    [InlineData("30000000", null, 15_000)]
    [InlineData("30000000", "", 15_000)]
    [InlineData("30000000", "own", 15_000)]
    [InlineData("30000000", "1", 0)]
    [InlineData("0", null, 0)]
    [InlineData("-1", null, 0)]
    [InlineData("x", null, 0)]
    [InlineData(null, null, 0)]
    public void Watchdog_beats_twice_in_the_time_that_systemd_gives_this_process(string? microseconds, string? pid, int expectedMs)
    {
        pid = pid == "own" ? Environment.ProcessId.ToString(CultureInfo.InvariantCulture) : pid;
        TimeSpan? expected = expectedMs == 0 ? null : TimeSpan.FromMilliseconds(expectedMs);
        Assert.Equal(expected, SystemdWatchdog.Interval(microseconds, pid));
    }

    [Theory]
    [InlineData("128\n", true, "512")]
    [InlineData("512\n", true, "512\n")]
    [InlineData("4096\n", true, "4096\n")]
    [InlineData("x", false, "x")]
    [InlineData(null, false, null)]
    public void Reading_ahead_by_the_kernel_is_raised_and_never_lowered(string? before, bool expected, string? after)
    {
        string file = Path.Combine(Directory.CreateDirectory(Path.Combine(_directory.Path, "class/bdi/0:77")).FullName, "read_ahead_kb");
        if (before is not null)
        {
            File.WriteAllText(file, before);
        }

        Assert.Equal(expected, KernelReadAhead.TryRaise("0:77", 512, _directory.Path));
        Assert.Equal(after, File.Exists(file) ? File.ReadAllText(file) : null);
        Assert.False(KernelReadAhead.TryRaise(null, 512, _directory.Path));
    }

    [Fact]
    public void A_systemd_that_is_gone_is_no_error()
    {
        Environment.SetEnvironmentVariable("NOTIFY_SOCKET", Path.Combine(_directory.Path, "nobody"));

        Assert.Null(Record.Exception(() => SystemdNotifier.Notify("READY=1", NullLogger.Instance)));
    }

    [Fact]
    public void Standard_error_is_the_journal_only_when_device_and_inode_match()
    {
        Assert.Equal(0, Posix.Fstat(2, out FileStatus status));

        Assert.True(CommandLogging.IsJournal($"{status.Device}:{status.Inode}"));
        Assert.False(CommandLogging.IsJournal($"{status.Device}:{status.Inode + 1}"));
        Assert.False(CommandLogging.IsJournal($"{status.Device + 1}:{status.Inode}"));
        Assert.False(CommandLogging.IsJournal(null));
        Assert.False(CommandLogging.IsJournal("x"));
        Assert.False(CommandLogging.IsJournal("1:2:3"));
    }

    [Theory]
    [InlineData(LogLevel.Warning, "nbdfuse: warning: a b: why\n")]
    [InlineData(LogLevel.Error, "nbdfuse: error: a b: why\n")]
    [InlineData(LogLevel.Information, "nbdfuse: a b: why\n")]
    [InlineData(LogLevel.Debug, "nbdfuse: debug: a b: why\n")]
    public void A_log_line_is_one_line(LogLevel level, string expected)
    {
        Assert.Equal(expected, Format(level, debug: false));
    }

    [Fact]
    public void Debug_adds_the_exception_to_a_log_line()
    {
        Assert.Contains("System.IO.IOException: why", Format(LogLevel.Error, debug: true), StringComparison.Ordinal);
    }

    private static string Format(LogLevel level, bool debug)
    {
        using var writer = new StringWriter();
        var entry = new LogEntry<string>(level, "category", default, "a\nb", new IOException("why"), (state, _) => state);
        new CommandLogFormatter(new CommandLogOptions(LogVerbosity.Normal, debug)).Write(in entry, null, writer);
        return writer.ToString();
    }
}
