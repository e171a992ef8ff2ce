using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transports;

public sealed class LocalTransportTests
{
    [Fact]
    public async Task A_unix_socket_is_reached_by_its_path()
    {
        using var directory = new TempDirectory();
        await ReachAsync(directory["s"]);
    }

    [Fact]
    public Task An_abstract_unix_socket_is_reached_by_its_name() => ReachAsync($"\0nbdfuse test {Guid.NewGuid()}");

    [Fact]
    public async Task A_vsock_address_is_reached()
    {
        Listener listener;
        try
        {
            listener = new Listener(SocketAddresses.ForVsock(SocketConstants.VMADDR_CID_LOCAL, SocketConstants.VMADDR_PORT_ANY));
        }
        catch (PosixException e)
        {
            Requires.Missing("vsock", $"there is no loopback of vsock: {e.Message}");
            throw;
        }

        using (listener)
        {
            await using NbdTransport transport = NbdTransport.Create(
                new VsockTarget(SocketConstants.VMADDR_CID_LOCAL, (uint)listener.Port));
            using FileDescriptor socket = await Deadline.Within(transport.ConnectAsync(), "the connection");
            using FileDescriptor accepted = listener.Accept();
        }
    }

    [Fact]
    public async Task A_vsock_address_without_a_server_is_an_error_and_no_hang()
    {
        await using NbdTransport transport = NbdTransport.Create(
            new VsockTarget(SocketConstants.VMADDR_CID_LOCAL, 4_000_000_000),
            new NbdTransportOptions { ConnectTimeout = TimeSpan.FromSeconds(3) });
        await Assert.ThrowsAsync<NbdConnectException>(() => Deadline.Within(transport.ConnectAsync(), "the failure"));
    }

    [Fact]
    public async Task A_missing_socket_is_an_error_with_path_cause_and_remedy()
    {
        using var directory = new TempDirectory();
        NbdConnectException error = await FailsAsync(directory["none"], NbdConnectFailure.Unreachable);
        Assert.Equal(
            $"connect to unix socket {directory["none"]}: No such file or directory (ENOENT); is the server running, and is the path right?",
            error.Message);
    }

    [Fact]
    public async Task A_socket_that_its_server_left_behind_is_refused()
    {
        using var directory = new TempDirectory();
        Listener.Unix(directory["s"]).Dispose();
        await FailsAsync(directory["s"], NbdConnectFailure.Refused);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(108)]
    public async Task A_path_that_no_socket_can_have_is_an_error(int length)
    {
        NbdConnectException error = await FailsAsync(new string('x', length), NbdConnectFailure.Unreachable);
        Assert.DoesNotContain("Parameter", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_full_backlog_is_waited_for()
    {
        using var directory = new TempDirectory();
        using Listener listener = Listener.Unix(directory["s"], backlog: 0);
        listener.Fill();
        await using NbdTransport transport = NbdTransport.Create(new UnixTarget(directory["s"]));
        Task<FileDescriptor> connecting = transport.ConnectAsync();
        using FileDescriptor first = listener.Accept();
        using FileDescriptor socket = await Deadline.Within(connecting, "the connection");
    }

    [Fact]
    public async Task A_backlog_that_stays_full_meets_the_deadline()
    {
        using var directory = new TempDirectory();
        using Listener listener = Listener.Unix(directory["s"], backlog: 0);
        listener.Fill();
        await using NbdTransport transport = NbdTransport.Create(
            new UnixTarget(directory["s"]), new NbdTransportOptions { ConnectTimeout = TimeSpan.FromMilliseconds(100) });
        NbdConnectException error = await Assert.ThrowsAsync<NbdConnectException>(
            () => Deadline.Within(transport.ConnectAsync(), "the failure"));
        Assert.Equal(NbdConnectFailure.ConnectTimeout, error.Reason);
    }

    private static async Task ReachAsync(string path)
    {
        using Listener listener = Listener.Unix(path);
        await using NbdTransport transport = NbdTransport.Create(new UnixTarget(path));
        using FileDescriptor first = await Deadline.Within(transport.ConnectAsync(), "the first connection");
        using FileDescriptor second = await Deadline.Within(transport.ConnectAsync(), "the second connection");
        using FileDescriptor accepted = listener.Accept();
        Assert.Equal(-Errno.EAGAIN, Posix.Recv(first.Value, new byte[1]));
        Assert.Equal(1, Posix.GetCloseOnExec(first.Value));
    }

    private static async Task<NbdConnectException> FailsAsync(string path, NbdConnectFailure reason)
    {
        await using NbdTransport transport = NbdTransport.Create(new UnixTarget(path));
        NbdConnectException error = await Assert.ThrowsAsync<NbdConnectException>(
            () => Deadline.Within(transport.ConnectAsync(), "the failure"));
        Assert.Equal(reason, error.Reason);
        return error;
    }
}
