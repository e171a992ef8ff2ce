using System.Globalization;
using System.Text.RegularExpressions;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Client.Handshake;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transports;

public sealed partial class CommandTransportTests
{
    private static readonly NbdTransportOptions s_hasty = new() { CommandExitTimeout = TimeSpan.FromMilliseconds(100) };

    [Fact]
    public async Task A_server_on_stdin_and_stdout_is_negotiated_with_and_reaped_at_the_end()
    {
        string nbdkit = Requires.Tool("nbdkit", "--version");
        var logger = new CapturingLogger();
        await using (NbdTransport transport = NbdTransport.Create(new CommandTarget([nbdkit, "-s", "memory", "1M"]), logger: logger))
        {
            NegotiatedSocket connection = await Deadline.Within(transport.OpenAsync(new NbdHandshakeOptions()), "the handshake");
            Assert.Equal(1ul << 20, connection.Negotiated.Export.Size);
            NbdConnectException error = await Assert.ThrowsAsync<NbdConnectException>(() => transport.ConnectAsync());
            Assert.Equal(NbdConnectFailure.CannotReopen, error.Reason);
            connection.Socket.Dispose();
        }

        AssertReaped(logger);
    }

    [Fact]
    public async Task A_connection_that_is_still_held_does_not_keep_the_command_alive()
    {
        string nbdkit = Requires.Tool("nbdkit", "--version");
        var logger = new CapturingLogger();
        NbdTransport transport = NbdTransport.Create(new CommandTarget([nbdkit, "-s", "memory", "1M"]), logger: logger);
        using FileDescriptor socket = await Deadline.Within(transport.ConnectAsync(), "the connection");
        await Deadline.Within(transport.DisposeAsync().AsTask(), "the end of the command");
        AssertReaped(logger);
    }

    [Fact]
    public async Task A_command_that_ignores_the_end_and_SIGTERM_is_killed_and_reaped()
    {
        var logger = new CapturingLogger();
        NbdTransport transport = NbdTransport.Create(
            new CommandTarget(["sh", "-c", "trap '' TERM; exec sleep 1000"]), s_hasty, logger);
        using FileDescriptor socket = await Deadline.Within(transport.ConnectAsync(), "the connection");
        await Deadline.Within(transport.DisposeAsync().AsTask(), "the end of the command");
        AssertReaped(logger);
        Assert.Contains(logger.Entries, entry => entry.Id == 1106 && entry.Text.Contains("SIGKILL", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_command_that_is_not_found_is_named(bool activated)
    {
        string[] command = ["nbdfuse-test-no-such-program", "x"];
        NbdConnectException error = await FailsAsync(activated ? new SocketActivationTarget(command) : new CommandTarget(command));
        Assert.Equal(NbdConnectFailure.CommandNotStarted, error.Reason);
        Assert.Contains("nbdfuse-test-no-such-program", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_command_that_ends_early_is_reported_with_its_exit_code(bool activated)
    {
        string[] command = ["sh", "-c", "exit 43"];
        NbdConnectException error = await FailsAsync(activated ? new SocketActivationTarget(command) : new CommandTarget(command));
        Assert.Equal(NbdConnectFailure.CommandExited, error.Reason);
        Assert.Contains("exit status 43", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_command_inherits_no_descriptor_of_ours(bool activated)
    {
        PosixException.Check(Posix.Pipe2(out int reader, out int writer), "pipe");
        using FileDescriptor first = FileDescriptor.Own(reader);
        using FileDescriptor second = FileDescriptor.Own(writer);

        // High, so that the shell has no descriptor of its own there; inheritable, as a careless library leaves it.
        using FileDescriptor leak = FileDescriptor.OwnOrThrow(Posix.DupAbove(reader, 200), "dup");
        PosixException.Check(Posix.SetCloseOnExec(leak.Value, enable: false), "make it inheritable");
        string[] command = ["sh", "-c", $"if [ -e /proc/$$/fd/{leak.Value} ]; then exit 51; else exit 52; fi"];
        NbdConnectException error = await FailsAsync(activated ? new SocketActivationTarget(command) : new CommandTarget(command));
        Assert.Contains("exit status 52", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_socket_activated_server_takes_several_connections_and_leaves_nothing_behind()
    {
        string nbdkit = Requires.Tool("nbdkit", "--version");
        var logger = new CapturingLogger();
        string path;
        await using (NbdTransport transport = NbdTransport.Create(
            new SocketActivationTarget([nbdkit, "memory", "1M"]), logger: logger))
        {
            NegotiatedSocket first = await Deadline.Within(transport.OpenAsync(new NbdHandshakeOptions()), "the first handshake");
            NegotiatedSocket second = await Deadline.Within(transport.OpenAsync(new NbdHandshakeOptions()), "the second handshake");
            path = SocketPath().Match(logger.Entries.First(entry => entry.Id == 1101).Text).Value;
            Assert.True(File.Exists(path));
            PosixException.Check(Posix.Stat(Path.GetDirectoryName(path)!, out FileStatus status), "stat");
            Assert.Equal(0x1C0u, status.Mode & 0x1FF);
            Assert.Equal(1ul << 20, second.Negotiated.Export.Size);
            first.Socket.Dispose();
            second.Socket.Dispose();
        }

        AssertReaped(logger);
        Assert.False(Directory.Exists(Path.GetDirectoryName(path)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_transport_that_was_never_used_ends_without_having_started_anything(bool activated)
    {
        var logger = new CapturingLogger();
        string[] command = ["sh", "-c", "exit 1"];
        await NbdTransport.Create(activated ? new SocketActivationTarget(command) : new CommandTarget(command), logger: logger).DisposeAsync();
        Assert.Empty(logger.Entries);
    }

    private static async Task<NbdConnectException> FailsAsync(NbdTarget target)
    {
        await using NbdTransport transport = NbdTransport.Create(target);
        NbdConnectException error = await Assert.ThrowsAsync<NbdConnectException>(
            () => Deadline.Within(transport.OpenAsync(new NbdHandshakeOptions()), "the failure"));
        Assert.DoesNotContain('\n', error.Message);
        return error;
    }

    private static void AssertReaped(CapturingLogger logger)
    {
        string started = Assert.Single(logger.Entries, entry => entry.Id == 1104).Text;
        Assert.Single(logger.Entries, entry => entry.Id == 1105);
        int pid = int.Parse(ProcessId().Match(started).Groups[1].Value, CultureInfo.InvariantCulture);

        // A child that was not reaped stays, as a zombie of ours.
        Assert.False(
            File.Exists($"/proc/{pid}/stat") && File.ReadAllText($"/proc/{pid}/stat").Contains($" {Environment.ProcessId} ", StringComparison.Ordinal),
            $"process {pid} is still our child");
    }

    [GeneratedRegex("process ([0-9]+)$")]
    private static partial Regex ProcessId();

    [GeneratedRegex("/[^ ]*/socket")]
    private static partial Regex SocketPath();
}
