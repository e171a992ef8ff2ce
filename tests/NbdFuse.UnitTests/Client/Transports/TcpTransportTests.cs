using System.Net;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transports;

public sealed class TcpTransportTests
{
    private static readonly IPAddress s_other = IPAddress.Parse("127.0.0.2");

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    [InlineData("localhost")]
    public async Task A_server_is_reached_by_address_or_name(string host)
    {
        IPAddress address = host == "localhost" ? IPAddress.Loopback : IPAddress.Parse(host);
        using Listener listener = ListenOrSkip(address);
        await using NbdTransport transport = NbdTransport.Create(new TcpTarget(host, listener.Port));
        using FileDescriptor socket = await Deadline.Within(transport.ConnectAsync(), "the connection");
        using FileDescriptor accepted = listener.Accept();
        Assert.Equal(1, Posix.Send(accepted.Value, [42]));
        byte[] buffer = new byte[1];
        Assert.NotEqual(0, Posix.Poll(socket.Value, PollEvents.In, 30_000));
        Assert.Equal(1, Posix.Recv(socket.Value, buffer));
        Assert.Equal(42, buffer[0]);
    }

    [Fact]
    public async Task Rule01_the_socket_has_NODELAY_keepalive_and_a_user_timeout_and_does_not_block()
    {
        using Listener listener = Listener.Tcp(IPAddress.Loopback);
        var options = new NbdTransportOptions
        {
            KeepAliveIdle = TimeSpan.FromSeconds(11),
            KeepAliveInterval = TimeSpan.FromSeconds(3),
            KeepAliveCount = 7,
            UserTimeout = TimeSpan.FromSeconds(21),
        };
        await using NbdTransport transport = NbdTransport.Create(new TcpTarget("127.0.0.1", listener.Port), options);
        using FileDescriptor socket = await Deadline.Within(transport.ConnectAsync(), "the connection");
        Assert.Equal(1, Get(socket, SocketConstants.IPPROTO_TCP, SocketConstants.TCP_NODELAY));
        Assert.Equal(1, Get(socket, SocketConstants.SOL_SOCKET, SocketConstants.SO_KEEPALIVE));
        Assert.Equal(11, Get(socket, SocketConstants.IPPROTO_TCP, SocketConstants.TCP_KEEPIDLE));
        Assert.Equal(3, Get(socket, SocketConstants.IPPROTO_TCP, SocketConstants.TCP_KEEPINTVL));
        Assert.Equal(7, Get(socket, SocketConstants.IPPROTO_TCP, SocketConstants.TCP_KEEPCNT));
        Assert.Equal(21_000, Get(socket, SocketConstants.IPPROTO_TCP, SocketConstants.TCP_USER_TIMEOUT));
        Assert.Equal(1, Posix.GetCloseOnExec(socket.Value));
        Assert.Equal(-Errno.EAGAIN, Posix.Recv(socket.Value, new byte[1]));
    }

    [Fact]
    public async Task A_dead_first_address_of_a_name_is_passed_over()
    {
        using Listener listener = Listener.Tcp(IPAddress.Loopback);
        await using NbdTransport transport = Create(listener.Port, [s_other, IPAddress.Loopback]);
        using FileDescriptor socket = await Deadline.Within(transport.ConnectAsync(), "the connection");
        using FileDescriptor accepted = listener.Accept();
    }

    [Fact]
    public async Task A_silent_first_address_takes_only_its_share_of_the_time()
    {
        using Listener listener = Listener.Tcp(IPAddress.Loopback);
        using Listener silent = Listener.Tcp(s_other, listener.Port, backlog: 0);
        silent.Fill();
        await using NbdTransport transport = Create(
            listener.Port, [s_other, IPAddress.Loopback], new NbdTransportOptions { ConnectTimeout = TimeSpan.FromSeconds(4) });
        using FileDescriptor socket = await Deadline.Within(transport.ConnectAsync(), "the connection");
        using FileDescriptor accepted = listener.Accept();
    }

    [Fact]
    public async Task A_server_that_does_not_answer_meets_the_deadline()
    {
        using Listener silent = Listener.Tcp(s_other, backlog: 0);
        silent.Fill();
        await using NbdTransport transport = NbdTransport.Create(
            new TcpTarget("127.0.0.2", silent.Port), new NbdTransportOptions { ConnectTimeout = TimeSpan.FromMilliseconds(200) });
        NbdConnectException error = await FailsAsync(transport, NbdConnectFailure.ConnectTimeout);
        Assert.Contains("127.0.0.2", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_connect_can_be_cancelled()
    {
        using Listener silent = Listener.Tcp(s_other, backlog: 0);
        silent.Fill();
        await using NbdTransport transport = NbdTransport.Create(new TcpTarget("127.0.0.2", silent.Port));
        using var cancellation = new CancellationTokenSource();
        Task<FileDescriptor> connecting = transport.ConnectAsync(cancellation.Token);
        cancellation.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Deadline.Within(connecting, "the cancellation"));
    }

    [Fact]
    public async Task Nobody_listening_is_an_error_with_address_cause_and_remedy()
    {
        int port;
        using (Listener gone = Listener.Tcp(IPAddress.Loopback))
        {
            port = gone.Port;
        }

        await using NbdTransport transport = NbdTransport.Create(new TcpTarget("127.0.0.1", port));
        NbdConnectException error = await FailsAsync(transport, NbdConnectFailure.Refused);
        Assert.Equal(
            $"connect to 127.0.0.1:{port}: Connection refused (ECONNREFUSED); is the server running?", error.Message);
    }

    [Fact]
    public async Task Different_errors_of_several_addresses_are_all_told()
    {
        using Listener silent = Listener.Tcp(s_other, backlog: 0);
        silent.Fill();
        await using NbdTransport transport = Create(
            silent.Port, [s_other, IPAddress.Loopback], new NbdTransportOptions { ConnectTimeout = TimeSpan.FromMilliseconds(400) });
        NbdConnectException error = await FailsAsync(transport, NbdConnectFailure.Refused);
        Assert.Contains("127.0.0.2: ", error.Message, StringComparison.Ordinal);
        Assert.Contains("ETIMEDOUT", error.Message, StringComparison.Ordinal);
        Assert.Contains("127.0.0.1: ", error.Message, StringComparison.Ordinal);
        Assert.Contains("ECONNREFUSED", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_name_without_addresses_is_reported_as_that()
    {
        await using NbdTransport transport = Create(1, []);
        await FailsAsync(transport, NbdConnectFailure.NameNotResolved);
    }

    [Fact]
    public async Task A_resolver_that_hangs_meets_the_deadline()
    {
        await using NbdTransport transport = NbdTransport.Create(
            new TcpTarget("name", 1),
            new NbdTransportOptions
            {
                ConnectTimeout = TimeSpan.FromMilliseconds(100),
                Resolve = (_, _) => new TaskCompletionSource<IPAddress[]>().Task,
            });
        await FailsAsync(transport, NbdConnectFailure.NameNotResolved);
    }

    [Fact]
    public async Task A_name_is_resolved_once_and_again_only_when_its_addresses_are_dead()
    {
        using Listener first = Listener.Tcp(IPAddress.Loopback);
        int port = first.Port;
        int lookUps = 0;
        IPAddress current = IPAddress.Loopback;
        await using NbdTransport transport = NbdTransport.Create(
            new TcpTarget("name", port),
            new NbdTransportOptions
            {
                Resolve = (_, _) =>
                {
                    lookUps++;
                    return Task.FromResult(new[] { current });
                },
            });
        (await Deadline.Within(transport.ConnectAsync(), "the first connection")).Dispose();
        (await Deadline.Within(transport.ConnectAsync(), "the second connection")).Dispose();
        Assert.Equal(1, lookUps);

        first.Dispose();
        using Listener moved = Listener.Tcp(s_other, port);
        current = s_other;
        (await Deadline.Within(transport.ConnectAsync(), "the connection to the new address")).Dispose();
        Assert.Equal(2, lookUps);
    }

    [Fact]
    public async Task A_further_connection_goes_to_the_server_of_the_first_or_nowhere()
    {
        using Listener first = Listener.Tcp(IPAddress.Loopback);
        using Listener other = Listener.Tcp(s_other, first.Port);
        await using NbdTransport transport = Create(first.Port, [IPAddress.Loopback, s_other]);
        (await Deadline.Within(transport.ConnectAsync(), "the first connection")).Dispose();
        (await Deadline.Within(transport.ConnectAgainAsync(), "the second connection")).Dispose();
        first.Dispose();
        NbdConnectException error = await Assert.ThrowsAsync<NbdConnectException>(() => transport.ConnectAgainAsync());
        Assert.Equal(NbdConnectFailure.Refused, error.Reason);
    }

    private static NbdTransport Create(int port, IPAddress[] addresses, NbdTransportOptions? options = null) =>
        NbdTransport.Create(
            new TcpTarget("name", port),
            (options ?? new NbdTransportOptions()) with { Resolve = (_, _) => Task.FromResult(addresses) });

    private static Listener ListenOrSkip(IPAddress address)
    {
        try
        {
            return Listener.Tcp(address);
        }
        catch (PosixException e) when (e.Errno is Errno.EADDRNOTAVAIL or Errno.EAFNOSUPPORT)
        {
            Requires.Missing("ipv6", e.Message);
            throw;
        }
    }

    private static int Get(FileDescriptor socket, int level, int name)
    {
        PosixException.Check(Posix.GetSockOptInt(socket.Value, level, name, out int value), "getsockopt");
        return value;
    }

    private static async Task<NbdConnectException> FailsAsync(NbdTransport transport, NbdConnectFailure reason)
    {
        NbdConnectException error = await Assert.ThrowsAsync<NbdConnectException>(
            () => Deadline.Within(transport.ConnectAsync(), "the failure"));
        Assert.Equal(reason, error.Reason);
        return error;
    }
}
