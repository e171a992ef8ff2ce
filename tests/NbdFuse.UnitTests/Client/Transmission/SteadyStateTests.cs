using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transmission;

public sealed class SteadyStateTests : ITurnHook, IBlockCompletion
{
    private const int Depth = 32;
    private const int Windows = 4;
    private readonly byte[] _buffer = GC.AllocateArray<byte>(Depth * 128 * 1024, pinned: true);
    private readonly TaskCompletionSource<long> _allocated = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private RequestQueue? _queue;
    private BlockOperation _operation;
    private int _length;
    private long _window;
    private long _least = long.MaxValue;
    private long _last;
    private long _submitted;
    private long _ended;
    private int _errors;
    private long _before;

    bool ITurnHook.WantsSpin => false;

    [Theory]
    [InlineData(BlockOperation.Read, 4096, 0, true)]
    [InlineData(BlockOperation.Read, 4096, 0, false)]
    [InlineData(BlockOperation.Write, 4096, 0, true)]
    [InlineData(BlockOperation.Write, 4096, 0, false)]
    [InlineData(BlockOperation.Write, 1000, 0, true)]
    [InlineData(BlockOperation.Read, 128 * 1024, 0, true)]
    [InlineData(BlockOperation.Read, 128 * 1024, 1, true)]
    [InlineData(BlockOperation.Read, 128 * 1024, 1, false)]
    [InlineData(BlockOperation.Write, 128 * 1024, 1, true)]
    [InlineData(BlockOperation.BlockStatus, 128 * 1024, 0, true)]
    [InlineData(BlockOperation.BlockStatus, 128 * 1024, 0, false)]
    public async Task Nothing_is_allocated_on_the_loop_per_request(BlockOperation operation, int length, int movers, bool extended)
    {
        (_operation, _length) = (operation, length);
        _window = length > 65536 ? 1000 : 4000;
        _last = (Windows + 1) * _window;
        using var directory = new TempDirectory();
        string socket = directory["nbd.sock"];
        using var backend = new MemoryExport(16 << 20);
        await using var server = new NbdServer(new NbdServerOptions { Exports = [new NbdServerExport { Backend = backend, BlockSizes = new(512, 4096, 1 << 20) }] });
        await server.StartAsync(new UnixDomainSocketEndPoint(socket));
        NbdExport export = await NbdExport.OpenAsync(
            new UnixTarget(socket), new NbdExportOptions { Movers = movers, ExtendedHeaders = extended }, NullLogger.Instance);
        using var loop = new EventLoop("test loop", new EventLoopOptions { SpinMicroseconds = 0 });
        loop.Failed += e => _allocated.TrySetException(e);
        var ready = new ReadyList();
        _queue = new RequestQueue(DeviceStack.Build(new TimingLayer(export), ready, Depth), ready, new RequestQueueOptions { Capacity = Depth });
        export.Start(loop);
        loop.AddTurnHook(this);
        loop.Start();
        try
        {
            Assert.Equal(0, await Deadline.Within(_allocated.Task, "the requests to end"));
            Assert.Equal(0, _errors);
            Assert.Equal(extended, export.Negotiated.ExtendedHeaders);
        }
        finally
        {
            await export.DisposeAsync();
        }
    }

    void ITurnHook.OnTurnEnd()
    {
        do
        {
            _queue!.Ready.Run();
            while (_submitted < _last && _queue.TryRent(out BlockRequest? request))
            {
                request.Operation = _operation;
                request.Offset = _submitted++ % 100 * _length;
                request.Length = _length;
                if (_operation != BlockOperation.BlockStatus)
                {
                    request.Buffer = _buffer.AsMemory(request.Tag * _length, _length);
                }

                request.Owner = this;
                _queue.Submit(request, 0);
            }

            _queue.EndTurn();
        }
        while (!_queue.Ready.IsEmpty);
    }

    bool IBlockCompletion.OnCompleted(BlockRequest request, long state)
    {
        _errors += request.Error == 0 ? 0 : 1;
        _queue!.Return(request);
        if (++_ended % _window == 0)
        {
            // The runtime itself allocates now and then; what requests cost shows in every window.
            long now = GC.GetAllocatedBytesForCurrentThread();
            _least = _ended == _window ? _least : Math.Min(_least, now - _before);
            _before = now;
            if (_ended == _last)
            {
                _allocated.SetResult(_least);
            }
        }

        return false;
    }
}
