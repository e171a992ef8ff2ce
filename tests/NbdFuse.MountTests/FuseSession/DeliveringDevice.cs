using NbdFuse.Block;
using NbdFuse.Native;
using Xunit;

namespace NbdFuse.MountTests;

/// <summary>A read-only device that hands payloads to the front end itself, from memory or through a pipe.</summary>
internal sealed class DeliveringDevice : IBlockDevice, IAsyncDisposable
{
    private const int PipeBytes = 1 << 20;

    private readonly byte[] _content;
    private readonly FileDescriptor? _reader;
    private readonly FileDescriptor? _writer;
    private readonly byte[] _frame = new byte[PipeBytes + 16];

    public DeliveringDevice(byte[] content, bool byPipe)
    {
        _content = content;
        Info = new BlockDeviceInfo { Size = content.Length, IsReadOnly = true };
        if (byPipe)
        {
            PosixException.Check(Posix.Pipe2(out int reader, out int writer), "pipe");
            _reader = FileDescriptor.Own(reader);
            _writer = FileDescriptor.Own(writer);
            PosixException.Check(Posix.FcntlSetPipeSize(writer, PipeBytes), "enlarge a pipe");
        }
    }

    public BlockDeviceInfo Info { get; }

    public int Delivered { get; private set; }

    public void Submit(BlockRequest request)
    {
        if (request.Operation != BlockOperation.Read)
        {
            request.Complete(0);
            return;
        }

        IPayloadSink sink = request.Sink!;
        Span<byte> payload = _content.AsSpan((int)request.Offset, (int)request.Length);
        Span<byte> frame = _frame.AsSpan(0, sink.HeaderRoom + payload.Length);
        payload.CopyTo(frame[sink.HeaderRoom..]);
        bool delivered;
        if (_writer is null)
        {
            delivered = sink.TryDeliver(request, frame);
        }
        else if (frame.Length > PipeBytes / 2)
        {
            delivered = false;
        }
        else
        {
            sink.WriteHeader(request, frame);
            Assert.Equal(frame.Length, Posix.Write(_writer.Value, frame));
            delivered = sink.TryDeliverFromPipe(request, _reader!.Value, payload.Length);
            Assert.True(delivered);
        }

        if (delivered)
        {
            Delivered++;
        }
        else
        {
            payload.CopyTo(request.Buffer.Span);
        }

        request.Complete(0);
    }

    public void EndTurn()
    {
    }

    public ValueTask DisposeAsync()
    {
        _reader?.Dispose();
        _writer?.Dispose();
        return ValueTask.CompletedTask;
    }
}
