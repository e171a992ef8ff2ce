using System.Collections.Concurrent;
using System.Text;
using NbdFuse.Block;
using NbdFuse.Client.Transmission;
using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

/// <summary>One connection on a real loop; the test holds the server's end of the socket and says what it says.</summary>
internal sealed class ConnectionHarness : IConnectionOwner, ITurnHook, IAsyncDisposable
{
    private readonly EventLoop _loop = new("test loop", new EventLoopOptions { SpinMicroseconds = 0 });
    private readonly ReadyList _ready = new();
    private readonly FileDescriptor _server;
    private readonly TaskCompletionSource<NbdException> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _shutdown = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _lastTag;
    private int _endings;
    private int _failures;

    public ConnectionHarness(bool structured = true, bool splice = false, int sendBuffer = 0, uint? statusContext = null, bool extended = false)
    {
        PosixException.Check(
            Posix.SocketPair(SocketConstants.AF_UNIX, SocketConstants.SOCK_STREAM, out int client, out int server), "make a socket pair");
        _server = FileDescriptor.Own(server);
        if (sendBuffer > 0)
        {
            Posix.SetSockOpt(client, SocketConstants.SOL_SOCKET, SocketConstants.SO_SNDBUF, sendBuffer);
        }

        Connection = new NbdConnection(_loop, FileDescriptor.Own(client), new WireForm(structured, extended, statusContext), splice, this);
        _loop.Failed += e => _failed.TrySetException(e);
        _loop.AddTurnHook(this);
        Connection.Start();
        _loop.Start();
    }

    public NbdConnection Connection { get; }

    public bool WantsSpin => false;

    public Task Shutdown => _shutdown.Task;

    /// <summary>Requests that ended, each ending counted.</summary>
    public int Endings => Volatile.Read(ref _endings);

    public int ServerFd => _server.Value;

    public BlockRequest Make(
        BlockOperation operation, long offset = 0, long length = 0, BlockRequestFlags flags = 0, IPayloadSink? sink = null)
    {
        var request = new BlockRequest(_ready, _lastTag++)
        {
            Operation = operation,
            Offset = offset,
            Length = length,
            Flags = flags,
            Sink = sink,
            OwnerState = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously),
        };
        if (operation is BlockOperation.Read or BlockOperation.Write)
        {
            request.Buffer = GC.AllocateArray<byte>((int)length, pinned: true);
        }

        if (operation == BlockOperation.Write)
        {
            PatternData.Fill(request.Buffer.Span, 7, offset);
        }

        return request;
    }

    public BlockRequest Submit(
        BlockOperation operation, long offset = 0, long length = 0, BlockRequestFlags flags = 0, IPayloadSink? sink = null)
    {
        BlockRequest request = Make(operation, offset, length, flags, sink);
        Submit(request);
        return request;
    }

    /// <summary>Submits requests in one turn of the loop.</summary>
    public void Submit(params BlockRequest[] requests) => _loop.Post(() =>
    {
        foreach (BlockRequest request in requests)
        {
            Connection.Submit(request);
        }
    });

    public BlockRequest Read(long offset, long length, IPayloadSink? sink = null) =>
        Submit(BlockOperation.Read, offset, length, sink: sink);

    /// <summary>Runs something on the loop and waits for it.</summary>
    public async Task OnLoop(Action action)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Assert.True(_loop.Post(() =>
        {
            action();
            done.SetResult();
        }));
        await Deadline.Within(Task.WhenAny(done.Task, Faulted()), "the loop");
    }

    /// <summary>Waits for a request's end.</summary>
    /// <returns>Its error.</returns>
    public async Task<int> Ended(BlockRequest request)
    {
        Task<int> ended = ((TaskCompletionSource<int>)request.OwnerState!).Task;
        await Deadline.Within(Task.WhenAny(ended, Faulted()), "a request to end");
        return await ended;
    }

    public async Task AssertSucceeds(BlockRequest request)
    {
        Assert.Equal(0, await Ended(request));
        if (request.Operation == BlockOperation.Read)
        {
            PatternData.AssertEqual(PatternData.Create(7, request.Offset, (int)request.Length), request.Buffer.Span, request.Offset);
        }
    }

    /// <summary>Waits for the connection's death.</summary>
    public Task<NbdException> Failure() => Deadline.Within(_failed.Task, "the connection to fail");

    /// <summary>The server broke the rule, so the connection is dead and each request has ended once, with EIO.</summary>
    public async Task AssertViolation(string rule, params BlockRequest[] requests)
    {
        NbdProtocolException failure = Assert.IsType<NbdProtocolException>(await Failure());
        Assert.Contains(rule, failure.Rule, StringComparison.Ordinal);
        foreach (BlockRequest request in requests)
        {
            Assert.Equal(BlockErrno.EIO, await Ended(request));
        }

        Assert.Equal(1, Volatile.Read(ref _failures));

        // The hard disconnect reaches the server.
        await Task.Run(() =>
        {
            byte[] rest = new byte[65536];
            int got;
            do
            {
                Assert.NotEqual(0, Posix.Poll(ServerFd, PollEvents.In, 30_000));
                got = Posix.Recv(ServerFd, rest);
            }
            while (got > 0);
        });
    }

    public void Send(params byte[][] messages)
    {
        foreach (byte[] message in messages)
        {
            for (int done = 0; done < message.Length;)
            {
                int sent = Posix.Send(ServerFd, message.AsSpan(done));
                if (sent < 0)
                {
                    // The client has hung up on us already.
                    Assert.Equal(-Errno.EPIPE, sent);
                    return;
                }

                done += sent;
            }
        }
    }

    public byte[] Receive(int count)
    {
        byte[] data = new byte[count];
        for (int done = 0; done < count;)
        {
            Assert.True(Posix.Poll(ServerFd, PollEvents.In, 30_000) > 0, "The client sent nothing.");
            int got = Posix.Recv(ServerFd, data.AsSpan(done));
            Assert.True(got > 0, $"The client hung up after {done} of {count} bytes.");
            done += got;
        }

        return data;
    }

    public NbdRequestHeader NextRequest()
    {
        byte[] bytes = Receive(NbdRequestHeader.Size);
        Assert.True(NbdRequestHeader.TryRead(bytes, out NbdRequestHeader header), Convert.ToHexString(bytes));
        return header;
    }

    public ulong NextCookie() => NextRequest().Cookie;

    public void ExpectHangUp()
    {
        Assert.True(Posix.Poll(ServerFd, PollEvents.In, 30_000) > 0);
        Assert.Equal(0, Posix.Recv(ServerFd, new byte[1]));
    }

    /// <summary>The server's words, as they arrived.</summary>
    public ConcurrentQueue<(int Error, string Text)> ErrorTexts { get; } = [];

    /// <summary>Closes the server's sending side.</summary>
    public void HangUp() => Posix.Shutdown(ServerFd, SocketConstants.SHUT_WR);

    void ITurnHook.OnTurnEnd() => Connection.Flush();

    void IConnectionOwner.OnRequestEnded(BlockRequest request, int error)
    {
        Interlocked.Increment(ref _endings);

        // As an owner that has no other connection.
        error = error == NbdConnection.Lost ? BlockErrno.EIO : error;
        if (!((TaskCompletionSource<int>)request.OwnerState!).TrySetResult(error))
        {
            throw new InvalidOperationException("A request ended twice.");
        }
    }

    void IConnectionOwner.OnErrorText(BlockRequest request, int error, ReadOnlySpan<byte> text) =>
        ErrorTexts.Enqueue((error, Encoding.UTF8.GetString(text)));

    void IConnectionOwner.OnConnectionFailing()
    {
    }

    void IConnectionOwner.OnConnectionFailed(NbdConnection connection, NbdException reason)
    {
        Interlocked.Increment(ref _failures);

        // There is no fence here that would take what the server still has to say.
        Posix.Shutdown(connection.Descriptor, SocketConstants.SHUT_RDWR);
        _failed.TrySetResult(reason);
    }

    void IConnectionOwner.OnServerShutdown(NbdConnection connection) => _shutdown.SetResult();

    public async ValueTask DisposeAsync()
    {
        _loop.Stop();
        await Task.Run(_loop.Join);
        Exception? failure = _loop.Failure;
        Connection.Dispose();
        _loop.Dispose();
        _server.Dispose();
        Assert.Null(failure);
    }

    /// <summary>Ends only when the loop has died of an exception.</summary>
    private Task Faulted() => _failed.Task.ContinueWith(
        failed => failed.IsFaulted ? failed : Task.Delay(Timeout.Infinite), TaskScheduler.Default).Unwrap();
}
