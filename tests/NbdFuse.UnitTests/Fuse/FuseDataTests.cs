using System.Runtime.InteropServices;
using NbdFuse.Block;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

public sealed class FuseDataTests
{
    private const int Size = FakeKernel.Size;

    [Fact]
    public void Read_inside_the_file_is_answered_in_full()
    {
        using FakeKernel kernel = new();
        byte[] content = FakeKernel.Pattern(Size, 1);
        kernel.OnLoop(() => content.CopyTo(kernel.Device.Content));
        (int error, byte[] body) = kernel.Answer(kernel.SendRead(512, 16384));
        Assert.Equal(0, error);
        Assert.Equal(content[512..(512 + 16384)], body);
    }

    [Theory]
    [InlineData(Size - 100, 4096, 100)]
    [InlineData(Size - 4096, 4096, 4096)]
    [InlineData(Size, 4096, 0)]
    [InlineData(Size + 8192, 4096, 0)]
    [InlineData(0, 0, 0)]
    public void Read_at_the_end_is_cut_at_the_true_size(long offset, int size, int expected)
    {
        using FakeKernel kernel = new();
        (int error, byte[] body) = kernel.Answer(kernel.SendRead(offset, size));
        Assert.Equal(0, error);
        Assert.Equal(expected, body.Length);
    }

    [Fact]
    public void Write_is_stored_and_answered_with_its_length()
    {
        using FakeKernel kernel = new();
        byte[] data = FakeKernel.Pattern(8192, 2);
        (int error, byte[] body) = kernel.Answer(kernel.SendWrite(4096, data));
        Assert.Equal(0, error);
        Assert.Equal(8192u, MemoryMarshal.Read<FuseWriteOut>(body).Size);
        Assert.Equal(data, kernel.OnLoop(() => kernel.Device.Content.Slice(4096, 8192).ToArray()));
    }

    [Fact]
    public void Write_across_the_end_stores_what_fits_and_says_so()
    {
        using FakeKernel kernel = new();
        byte[] data = FakeKernel.Pattern(4096, 3);
        (int error, byte[] body) = kernel.Answer(kernel.SendWrite(Size - 1000, data));
        Assert.Equal(0, error);
        Assert.Equal(1000u, MemoryMarshal.Read<FuseWriteOut>(body).Size);
        Assert.Equal(data[..1000], kernel.OnLoop(() => kernel.Device.Content[^1000..].ToArray()));
    }

    [Theory]
    [InlineData(Size)]
    [InlineData(Size + 4096)]
    [InlineData(long.MaxValue)]
    public void Write_at_or_past_the_end_finds_no_space(long offset)
    {
        using FakeKernel kernel = new();
        Assert.Equal(Errno.ENOSPC, kernel.Answer(kernel.SendWrite(offset, new byte[512])).Error);
        Assert.Empty(kernel.Log());
    }

    [Fact]
    public void Write_to_a_read_only_device_is_refused()
    {
        using FakeKernel kernel = new(info: FakeKernel.DefaultInfo with { IsReadOnly = true });
        Assert.Equal(Errno.EROFS, kernel.Answer(kernel.SendWrite(0, new byte[512])).Error);
        Assert.Equal(Errno.EROFS, kernel.Ask(FuseOpcode.Open, new FuseOpenIn { Flags = 2 }).Error);
        Assert.Equal(0, kernel.Ask(FuseOpcode.Open, new FuseOpenIn { Flags = 0 }).Error);
        Assert.Equal(Errno.EROFS, kernel.Ask(FuseOpcode.Fallocate, new FuseFallocateIn { Length = 4096, Mode = 3 }).Error);
        Assert.Empty(kernel.Log());
    }

    [Theory]
    [InlineData(3ul, 0x1000u, true)]
    [InlineData(3ul, 0x101000u, true)]
    [InlineData(3ul, 0u, false)]
    [InlineData(1ul, 0x1000u, false)]
    public void Synchronous_write_is_forced_to_the_medium_when_the_page_cache_is_bypassed(ulong handle, uint flags, bool expected)
    {
        using FakeKernel kernel = new();
        kernel.Answer(kernel.SendWrite(0, new byte[512], handle, flags));
        Assert.Equal(expected ? BlockRequestFlags.Fua : BlockRequestFlags.None, Assert.Single(kernel.Log()).Flags);
    }

    [Fact]
    public void Fsync_always_flushes_the_device()
    {
        using FakeKernel kernel = new();
        Assert.Equal(0, kernel.Ask(FuseOpcode.Fsync, new FuseFsyncIn()).Error);
        Assert.Equal(0, kernel.Ask(FuseOpcode.Fsync, new FuseFsyncIn { FsyncFlags = 1 }).Error);
        Assert.Equal([BlockOperation.Flush, BlockOperation.Flush], kernel.Log().Select(entry => entry.Operation));
    }

    [Fact]
    public void Fsync_is_answered_only_after_the_device_has_flushed()
    {
        using FakeKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong fsync = kernel.Send(FuseOpcode.Fsync, new FuseFsyncIn());
        kernel.Barrier();
        kernel.OnLoop(kernel.Device.LetGo);
        Assert.Equal(0, kernel.Answer(fsync).Error);
    }

    [Fact]
    public void Fsync_reports_the_error_of_the_device()
    {
        using FakeKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Error = Errno.EIO);
        Assert.Equal(Errno.EIO, kernel.Ask(FuseOpcode.Fsync, new FuseFsyncIn()).Error);
    }

    [Theory]
    [InlineData(512)]
    [InlineData(100_000)]
    public void Error_that_the_kernel_would_refuse_becomes_an_io_error(int error)
    {
        using FakeKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Error = error);
        Assert.Equal(Errno.EIO, kernel.Answer(kernel.SendRead(0, 512)).Error);
    }

    [Fact]
    public void Close_flushes_once_after_writes_and_not_without_them()
    {
        using FakeKernel kernel = new();
        FuseFlushIn close = new() { Handle = 1 };
        Assert.Equal(0, kernel.Ask(FuseOpcode.Flush, close).Error);
        Assert.Empty(kernel.Log());
        kernel.Answer(kernel.SendWrite(0, new byte[512]));
        Assert.Equal(0, kernel.Ask(FuseOpcode.Flush, close).Error);
        Assert.Equal(0, kernel.Ask(FuseOpcode.Flush, close).Error);
        Assert.Equal(0, kernel.Ask(FuseOpcode.Release, new FuseReleaseIn { Handle = 1 }).Error);
        Assert.Equal([BlockOperation.Write, BlockOperation.Flush], kernel.Log().Select(entry => entry.Operation));
    }

    [Fact]
    public void Close_of_a_handle_for_reading_does_not_flush()
    {
        using FakeKernel kernel = new();
        kernel.Answer(kernel.SendWrite(0, new byte[512]));
        Assert.Equal(0, kernel.Ask(FuseOpcode.Flush, new FuseFlushIn { Handle = 0 }).Error);
        Assert.Equal([BlockOperation.Write], kernel.Log().Select(entry => entry.Operation));
    }

    [Fact]
    public void Close_after_a_failed_flush_flushes_again()
    {
        using FakeKernel kernel = new();
        kernel.Answer(kernel.SendWrite(0, new byte[512]));
        kernel.OnLoop(() => kernel.Device.Error = Errno.EIO);
        Assert.Equal(Errno.EIO, kernel.Ask(FuseOpcode.Flush, new FuseFlushIn { Handle = 1 }).Error);
        kernel.OnLoop(() => kernel.Device.Error = 0);
        Assert.Equal(0, kernel.Ask(FuseOpcode.Release, new FuseReleaseIn { Handle = 1 }).Error);
        Assert.Equal(2, kernel.Log().Count(entry => entry.Operation == BlockOperation.Flush));
    }

    [Fact]
    public void Write_completed_after_the_flush_began_is_not_counted_as_flushed()
    {
        using FakeKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong fsync = kernel.Send(FuseOpcode.Fsync, new FuseFsyncIn());
        ulong write = kernel.SendWrite(0, new byte[512]);
        kernel.Barrier();
        kernel.OnLoop(() =>
        {
            kernel.Device.LetGo();
            kernel.Device.Holds = false;
        });
        Assert.Equal([fsync, write], new[] { kernel.Receive().Unique, kernel.Receive().Unique });
        Assert.Equal(0, kernel.Ask(FuseOpcode.Flush, new FuseFlushIn { Handle = 1 }).Error);
        Assert.Equal(2, kernel.Log().Count(entry => entry.Operation == BlockOperation.Flush));
    }

    [Theory]
    [InlineData(3u, BlockOperation.WriteZeroes, BlockRequestFlags.None)]
    [InlineData(0x10u, BlockOperation.WriteZeroes, BlockRequestFlags.NoHole)]
    [InlineData(0x11u, BlockOperation.WriteZeroes, BlockRequestFlags.NoHole)]
    public void Fallocate_zeroes_the_range_and_never_trims(uint mode, BlockOperation operation, BlockRequestFlags flags)
    {
        using FakeKernel kernel = new();
        FuseFallocateIn allocate = new() { Offset = 4096, Length = 8192, Mode = mode };
        Assert.Equal(0, kernel.Ask(FuseOpcode.Fallocate, allocate).Error);
        Assert.Equal((operation, 4096L, 8192L, flags), Assert.Single(kernel.Log()));
    }

    [Fact]
    public void Fallocate_punching_trims_when_compatibility_is_asked_for()
    {
        using FakeKernel kernel = new(new FuseSessionOptions { Punch = PunchMode.Trim });
        Assert.Equal(0, kernel.Ask(FuseOpcode.Fallocate, new FuseFallocateIn { Length = 4096, Mode = 3 }).Error);
        Assert.Equal(BlockOperation.Trim, Assert.Single(kernel.Log()).Operation);
    }

    [Theory]
    [InlineData(0u, 0ul, 4096ul, Errno.EOPNOTSUPP)]
    [InlineData(1u, 0ul, 4096ul, Errno.EOPNOTSUPP)]
    [InlineData(2u, 0ul, 4096ul, Errno.EOPNOTSUPP)]
    [InlineData(8u, 0ul, 4096ul, Errno.EOPNOTSUPP)]
    [InlineData(3u, (ulong)Size, 4096ul, Errno.ENOSPC)]
    [InlineData(0x10u, (ulong)Size - 4096, 8192ul, Errno.ENOSPC)]
    [InlineData(0x10u, ulong.MaxValue, 1ul, Errno.EINVAL)]
    [InlineData(3u, 0ul, ulong.MaxValue, Errno.EINVAL)]
    public void Fallocate_that_cannot_be_done_is_refused(uint mode, ulong offset, ulong length, int expected)
    {
        using FakeKernel kernel = new();
        FuseFallocateIn allocate = new() { Offset = offset, Length = length, Mode = mode };
        Assert.Equal(expected, kernel.Ask(FuseOpcode.Fallocate, allocate).Error);
        Assert.Empty(kernel.Log());
    }

    [Fact]
    public void Fallocate_punching_across_the_end_stops_there()
    {
        using FakeKernel kernel = new();
        FuseFallocateIn allocate = new() { Offset = Size - 4096, Length = long.MaxValue - Size, Mode = 3 };
        Assert.Equal(0, kernel.Ask(FuseOpcode.Fallocate, allocate).Error);
        Assert.Equal(4096, Assert.Single(kernel.Log()).Length);
    }

    [Theory]
    [InlineData(3u, 100ul, 0, 100ul)]
    [InlineData(4u, 100ul, 0, (ulong)Size)]
    [InlineData(3u, (ulong)Size, Errno.ENXIO, 0ul)]
    [InlineData(4u, (ulong)Size + 1, Errno.ENXIO, 0ul)]
    [InlineData(9u, 0ul, Errno.EINVAL, 0ul)]
    public void Lseek_finds_data_everywhere_and_a_hole_at_the_end(uint whence, ulong offset, int error, ulong expected)
    {
        using FakeKernel kernel = new();
        (int got, byte[] body) = kernel.Ask(FuseOpcode.Lseek, new FuseLseekIn { Offset = offset, Whence = whence });
        Assert.Equal(error, got);
        if (error == 0)
        {
            Assert.Equal(expected, MemoryMarshal.Read<FuseLseekOut>(body).Offset);
        }
    }

    [Fact]
    public void Full_queue_stops_reading_and_goes_on_when_room_is_made()
    {
        using FakeKernel kernel = new(capacity: 2);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        List<ulong> expected = kernel.FillBeyondSpares();

        // A getattr behind them is not answered either: nothing is read while there is no room.
        ulong behind = kernel.Send(FuseOpcode.Getattr, new FuseGetattrIn());
        Assert.Equal(2, kernel.OnLoop(() => kernel.Queue.InFlight));
        kernel.OnLoop(() =>
        {
            kernel.Device.Holds = false;
            kernel.Device.LetGo();
        });
        List<ulong> answered = [];
        for (int i = 0; i <= expected.Count; i++)
        {
            answered.Add(kernel.Receive().Unique);
        }

        Assert.Equal(expected, answered.Where(unique => unique != behind));
        Assert.Equal(2, kernel.FreeBuffers);
    }

    [Fact]
    public void Full_queue_still_answers_what_needs_no_slot_and_keeps_the_order_of_the_others()
    {
        using FakeKernel kernel = new(capacity: 2);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        List<ulong> expected = [];
        for (int i = 0; i < 6; i++)
        {
            expected.Add(kernel.SendRead(i * 512, 512));
            kernel.Send(FuseOpcode.Forget, new byte[8]);
            kernel.Barrier();
        }

        Assert.Equal(2, kernel.OnLoop(() => kernel.Queue.InFlight));
        kernel.OnLoop(() =>
        {
            kernel.Device.Holds = false;
            kernel.Device.LetGo();
        });
        Assert.Equal(expected, expected.Select(_ => kernel.Receive().Unique).ToArray());
        Assert.Equal(2, kernel.FreeBuffers);
        Assert.Equal([0, 512, 1024, 1536, 2048, 2560], kernel.Log().Select(entry => entry.Offset));
    }

    [Fact]
    public void Unflushed_writes_are_told_until_a_flush_has_succeeded()
    {
        using FakeKernel kernel = new();
        Assert.False(kernel.Session.HasUnflushedWrites);
        Assert.Equal(0, kernel.Answer(kernel.SendWrite(0, new byte[512])).Error);
        Assert.True(kernel.Session.HasUnflushedWrites);
        kernel.OnLoop(() => kernel.Device.Error = Errno.EIO);
        Assert.Equal(Errno.EIO, kernel.Ask(FuseOpcode.Fsync, new FuseFsyncIn()).Error);
        Assert.True(kernel.Session.HasUnflushedWrites);
        kernel.OnLoop(() => kernel.Device.Error = 0);
        Assert.Equal(0, kernel.Ask(FuseOpcode.Fsync, new FuseFsyncIn()).Error);
        Assert.False(kernel.Session.HasUnflushedWrites);
    }

    [Fact]
    public void Payload_delivered_by_another_thread_is_the_only_answer()
    {
        using FakeKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            Thread mover = new(() =>
            {
                byte[] frame = new byte[request.Sink!.HeaderRoom + (int)request.Length];
                Array.Fill(frame, (byte)0x5A);
                bool delivered = request.Sink.TryDeliver(request, frame);
                kernel.OnLoop(() => request.Complete(delivered ? 0 : Errno.EIO));
            });
            mover.Start();
            return true;
        });
        (int error, byte[] body) = kernel.Answer(kernel.SendRead(0, 4096));
        Assert.Equal(0, error);
        Assert.Equal(4096, body.Length);
        Assert.All(body, value => Assert.Equal(0x5A, value));
        SpinWait.SpinUntil(() => kernel.OnLoop(() => kernel.Queue.IsIdle), FakeKernel.TimeoutMs);
        kernel.Barrier();
    }

    [Fact]
    public void Payload_in_the_buffer_of_the_request_is_delivered_from_there()
    {
        using FakeKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            request.Buffer.Span.Fill(0x77);
            bool delivered = request.Sink!.TryDeliver(request, default);
            request.Complete(delivered ? 0 : Errno.EIO);
            return true;
        });
        (int error, byte[] body) = kernel.Answer(kernel.SendRead(0, 4096));
        Assert.Equal(0, error);
        Assert.Equal(Enumerable.Repeat((byte)0x77, 4096), body);
        kernel.Barrier();
    }

    [Fact]
    public void Payload_in_pieces_of_foreign_memory_is_delivered_in_order()
    {
        using FakeKernel kernel = new();
        byte[] first = GC.AllocateArray<byte>(1096, pinned: true);
        byte[] second = GC.AllocateArray<byte>(3000, pinned: true);
        Array.Fill(first, (byte)1);
        Array.Fill(second, (byte)2);
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            bool delivered = request.Sink!.TryDeliverPieces(request, [first, second]);
            request.Complete(delivered ? 0 : Errno.EIO);
            return true;
        });
        (int error, byte[] body) = kernel.Answer(kernel.SendRead(0, 4096));
        Assert.Equal(0, error);
        Assert.Equal([.. first, .. second], body);
        kernel.Barrier();
    }

    [Fact]
    public void More_pieces_than_one_call_takes_are_left_to_the_buffer()
    {
        using FakeKernel kernel = new();
        byte[] piece = GC.AllocateArray<byte>(64, pinned: true);
        bool? delivered = null;
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            delivered = request.Sink!.TryDeliverPieces(request, [.. Enumerable.Repeat<ReadOnlyMemory<byte>>(piece, 64)]);
            return false;
        });
        (int error, byte[] body) = kernel.Answer(kernel.SendRead(0, 4096));
        Assert.False(delivered);
        Assert.Equal(0, error);
        Assert.Equal(4096, body.Length);
    }

    [Fact]
    public void Payload_of_the_wrong_length_is_not_delivered()
    {
        using FakeKernel kernel = new();
        bool? delivered = null;
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            delivered = request.Sink!.TryDeliver(request, new byte[16 + 100]);
            return false;
        });
        (int error, byte[] body) = kernel.Answer(kernel.SendRead(0, 4096));
        Assert.False(delivered);
        Assert.Equal(0, error);
        Assert.Equal(4096, body.Length);
    }

    [Fact]
    public void Requests_in_steady_state_allocate_nothing()
    {
        const int Rounds = 2000;
        using FakeKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Records = false);
        byte[] data = new byte[4096];
        long before = 0;
        long after = 0;
        int seen = 0;
        kernel.OnLoop(() => kernel.Device.Intercept = _ =>
        {
            seen++;
            if (seen == Rounds / 2)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }
            else if (seen == Rounds)
            {
                after = GC.GetAllocatedBytesForCurrentThread();
            }

            return false;
        });
        for (int i = 0; i < Rounds; i += 2)
        {
            kernel.Answer(kernel.SendRead(4096, 4096));
            kernel.Answer(kernel.SendWrite(8192, data));
        }

        Assert.Equal(Rounds, seen);
        Assert.Equal(0, after - before);
    }
}
