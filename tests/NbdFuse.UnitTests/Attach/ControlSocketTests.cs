using System.Net.Sockets;
using System.Text;
using NbdFuse.Attach.Control;
using NbdFuse.Native;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Attach;

/// <summary>The control socket, with clients of every kind.</summary>
public sealed class ControlSocketTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Request_is_answered_and_the_socket_belongs_to_its_owner_alone()
    {
        using var directory = new TempDirectory();
        await using var server = new ControlServer(directory["s"], request => Task.FromResult(
            new ControlReply { Ok = true, Message = $"{request.Request} {request.Force}" }));

        Assert.True(Posix.Stat(directory["s"], out FileStatus status) >= 0);
        Assert.Equal(0x180u, status.Mode & 0xFFF);
        ControlReply? reply = await ControlClient.AskAsync(
            directory["s"], new ControlRequest { Request = ControlRequest.Detach, Force = true }, Patience);
        Assert.Equal("detach True", reply?.Message);
        Assert.True(reply?.Ok);
    }

    [Theory]
    [InlineData("\n")]
    [InlineData("{\n")]
    [InlineData("null\n")]
    [InlineData("[1,2]\n")]
    [InlineData("\"status\"\n")]
    [InlineData("{\"version\":\"x\"}\n")]
    [InlineData("{\"version\":1,\"request\":7}\n")]
    [InlineData("{\"version\":99,\"request\":\"status\"}\n")]
    [InlineData("\0\x01\xff\n")]
    public async Task Nonsense_is_answered_with_a_failure_and_never_reaches_the_daemon(string line)
    {
        using var directory = new TempDirectory();
        bool reached = false;
        await using var server = new ControlServer(directory["s"], _ =>
        {
            reached = true;
            return Task.FromResult(new ControlReply { Ok = true });
        });

        string answer = await SendAsync(directory["s"], Encoding.Latin1.GetBytes(line));
        Assert.Contains("\"ok\":false", answer, StringComparison.Ordinal);
        Assert.EndsWith("\n", answer, StringComparison.Ordinal);
        Assert.False(reached);
    }

    [Fact]
    public async Task Endless_line_is_cut_off_and_deep_nesting_refused()
    {
        using var directory = new TempDirectory();
        await using var server = new ControlServer(directory["s"], _ => Task.FromResult(new ControlReply { Ok = true }));

        Assert.Contains("\"ok\":false", await SendAsync(directory["s"], new byte[1024]), StringComparison.Ordinal);
        Assert.Contains(
            "\"ok\":false", await SendAsync(directory["s"], [.. Enumerable.Repeat((byte)'[', 1000), (byte)'\n']), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Silent_clients_keep_nobody_waiting_and_the_oldest_are_dropped()
    {
        using var directory = new TempDirectory();
        await using var server = new ControlServer(
            directory["s"], _ => Task.FromResult(new ControlReply { Ok = true }), TimeSpan.FromHours(1));
        List<Socket> silent = [];
        try
        {
            for (int i = 0; i < ControlServer.MaximumSilent * 2; i++)
            {
                silent.Add(new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified));
                await silent[i].ConnectAsync(new UnixDomainSocketEndPoint(directory["s"]));
            }

            ControlReply? reply = await ControlClient.AskAsync(directory["s"], new ControlRequest { Request = "status" }, Patience);
            Assert.True(reply?.Ok);
            Assert.Equal(0, await Deadline.Within(silent[0].ReceiveAsync(new byte[1]), "the oldest to be dropped"));
        }
        finally
        {
            silent.ForEach(socket => socket.Dispose());
        }
    }

    [Fact]
    public async Task Clients_are_answered_while_another_waits_and_the_end_does_not_wait_for_silent_ones()
    {
        using var directory = new TempDirectory();
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var server = new ControlServer(
            directory["s"],
            async request =>
            {
                if (request.Force)
                {
                    reached.SetResult();
                    await release.Task;
                }

                return new ControlReply { Ok = true };
            },
            TimeSpan.FromHours(1));
        using var silent = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await silent.ConnectAsync(new UnixDomainSocketEndPoint(directory["s"]));
        Task<ControlReply?> slow = ControlClient.AskAsync(directory["s"], new ControlRequest { Force = true }, Patience);
        await Deadline.Within(reached.Task, "the slow request to arrive");
        for (int i = 0; i < 20; i++)
        {
            Assert.True((await ControlClient.AskAsync(directory["s"], new ControlRequest(), Patience))?.Ok);
        }

        Assert.False(slow.IsCompleted);
        Task end = server.DisposeAsync().AsTask();
        release.SetResult();
        await Deadline.Within(end, "the end");
        Assert.True((await slow)?.Ok);
    }

    [Fact]
    public async Task Failure_of_the_daemon_is_told_to_the_client()
    {
        using var directory = new TempDirectory();
        await using var server = new ControlServer(directory["s"], _ => throw new IOException("the disk is on fire"));

        ControlReply? reply = await ControlClient.AskAsync(directory["s"], new ControlRequest { Request = "status" }, Patience);
        Assert.False(reply!.Ok);
        Assert.Equal("the disk is on fire", reply.Message);
    }

    [Fact]
    public async Task Client_gets_nothing_from_a_socket_that_nobody_serves_or_that_talks_nonsense()
    {
        using var directory = new TempDirectory();
        var request = new ControlRequest { Request = "status" };
        Assert.Null(await ControlClient.AskAsync(directory["none"], request, Patience));

        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(directory["s"]));
        listener.Listen();
        Task<ControlReply?> asking = ControlClient.AskAsync(directory["s"], request, Patience);
        using Socket client = await listener.AcceptAsync();
        await client.SendAsync("certainly\n"u8.ToArray());
        Assert.Null(await Deadline.Within(asking, "the client to give up"));
    }

    private static async Task<string> SendAsync(string path, byte[] data)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(path));
        await socket.SendAsync(data);
        using var stream = new NetworkStream(socket);
        using var reader = new StreamReader(stream);
        return await Deadline.Within(reader.ReadToEndAsync(), "the answer");
    }
}
