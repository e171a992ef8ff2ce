using System.Buffers.Binary;
using NbdFuse.Block;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

public sealed class FuseBuffersTests
{
    private const int Large = 100 * 1024;
    private const int Small = 4096;

    // Of one buffer: the page of the headers and the pages of the payload.
    private const int LargePages = Large + FuseBuffers.HeaderPage;
    private const int SmallPages = Small + FuseBuffers.HeaderPage;

    private static int Rent(FuseBuffers buffers)
    {
        Assert.True(buffers.TryRent(out int index));
        return index;
    }

    private static void Fill(FuseBuffers buffers, int index) =>
        buffers.PrepareRequest(index, FuseBuffers.MaximumPayload).Fill(1);

    private static int LengthWord(FuseBuffers buffers, int index) =>
        BinaryPrimitives.ReadInt32LittleEndian(buffers.Request(index, sizeof(int)));

    [Fact]
    public void Lowest_free_buffer_is_taken_whatever_was_returned_last()
    {
        using FuseBuffers buffers = new(130);
        Assert.Equal(Enumerable.Range(0, 130), Enumerable.Range(0, 130).Select(_ => Rent(buffers)).ToArray());
        Assert.False(buffers.TryRent(out _));
        foreach (int index in new[] { 70, 3, 129, 64 })
        {
            buffers.Return(index);
        }

        Assert.Equal(4, buffers.Free);
        Assert.Equal([3, 64, 70, 129], new[] { Rent(buffers), Rent(buffers), Rent(buffers), Rent(buffers) });
    }

    [Fact]
    public void Pinned_buffers_have_their_pages_from_the_start_and_keep_them()
    {
        using FuseBuffers buffers = new(8);
        Assert.Equal(0, buffers.ResidentBytes);
        buffers.Pin(2);
        long pinned = 2 * (FuseBuffers.MaximumPayload + FuseBuffers.HeaderPage);
        long small = 6 * (FuseBuffers.SmallPayload + FuseBuffers.HeaderPage);
        Assert.Equal(pinned + small, buffers.ResidentBytes);

        // Large payloads take the pinned ones, small requests are moved out of them, and trimming leaves them alone.
        int index = Rent(buffers);
        Assert.Equal(0, index);
        Fill(buffers, index);
        index = buffers.MoveSmall(index, FuseBuffers.WriteHeader + Small, Small);
        Assert.Equal(2, index);
        buffers.Return(index);
        Assert.Equal(0, Rent(buffers));
        Assert.Equal(0, buffers.MoveSmall(0, FuseBuffers.WriteHeader + Large, Large));
        Assert.Equal(1, Rent(buffers));
        buffers.Return(0);
        buffers.Return(1);
        Assert.Equal(0, buffers.Trim(8));
        Assert.Equal(pinned + small, buffers.ResidentBytes);
    }

    [Fact]
    public void Small_request_moves_out_of_a_large_buffer_with_its_bytes()
    {
        using FuseBuffers buffers = new(8);
        for (int i = 0; i < 8; i++)
        {
            Assert.Equal(i, Rent(buffers));
        }

        Assert.Equal(6, buffers.MoveSmall(6, FuseBuffers.WriteHeader + Large, Large));
        buffers.Return(5);
        buffers.Return(6);
        Assert.Equal(6, Rent(buffers));
        byte[] request = FakeKernel.Pattern(FuseBuffers.WriteHeader + Small, 1);
        request.CopyTo(buffers.PrepareRequest(6, FuseBuffers.MaximumPayload));
        Assert.Equal(5, buffers.MoveSmall(6, request.Length, Small));
        Assert.Equal(request, buffers.Request(5, request.Length).ToArray());
        Assert.Equal(0, LengthWord(buffers, 6));

        // No other is free now: it stays where it is.
        Assert.Equal(6, Rent(buffers));
        Assert.Equal(6, buffers.MoveSmall(6, request.Length, Small));
    }

    [Fact]
    public void Trim_gives_back_the_pages_of_free_large_buffers_only()
    {
        using FuseBuffers buffers = new(32);
        for (int i = 0; i < 32; i++)
        {
            int index = Rent(buffers);
            Fill(buffers, index);
            buffers.MoveSmall(index, FuseBuffers.WriteHeader + FuseBuffers.MaximumPayload, FuseBuffers.MaximumPayload);
        }

        Assert.True(buffers.ResidentBytes >= 32 << 20);
        for (int i = 0; i < 31; i++)
        {
            buffers.Return(i);
        }

        Assert.Equal(32 - FuseBuffers.Kept - 8, buffers.Trim(8));
        Assert.Equal(1, buffers.Trim(int.MaxValue));
        Assert.InRange(buffers.ResidentBytes, 5L << 20, 6L << 20);
        Assert.Equal(1, buffers.Request(31, FuseBuffers.WriteHeader)[^1]);
        buffers.Return(31);
        Assert.Equal(0, buffers.Trim(int.MaxValue));
        Assert.InRange(buffers.ResidentBytes, 0, 5L << 20);
    }

    [Fact]
    public void Returned_buffer_shows_no_request_to_a_successor()
    {
        using FuseBuffers buffers = new(1);
        int index = Rent(buffers);
        Fill(buffers, index);
        Assert.NotEqual(0, LengthWord(buffers, index));
        buffers.Return(index);
        Assert.Equal(0, LengthWord(buffers, index));
    }

    [Fact]
    public void Interrupted_write_shows_no_request_to_a_successor_while_it_is_in_flight()
    {
        using FakeKernel kernel = new(new FuseSessionOptions { InterruptAfterMs = 0 });
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong write = kernel.SendWrite(0, new byte[512]);
        kernel.Barrier();
        Assert.NotEqual(0, kernel.OnLoop(() => LengthWord(kernel.Buffers, 0)));
        kernel.Send(FuseOpcode.Interrupt, BitConverter.GetBytes(write), unique: write | 1);
        Assert.Equal(Errno.EINTR, kernel.Answer(write).Error);
        Assert.Equal(0, kernel.OnLoop(() => LengthWord(kernel.Buffers, 0)));
        kernel.OnLoop(kernel.Device.LetGo);
    }

    [Fact]
    public void Mixed_payloads_make_no_more_buffers_large_than_large_requests_are_in_flight()
    {
        const int Depth = 50;
        const int MostLarge = 8;
        using FakeKernel kernel = new(
            new FuseSessionOptions { TrimAfterMs = int.MaxValue }, FakeKernel.DefaultInfo with { Size = 1 << 20 }, capacity: 64);
        List<BlockRequest> held = [];
        kernel.OnLoop(() => kernel.Device.Intercept = request =>
        {
            held.Add(request);
            return true;
        });
        byte[] large = new byte[Large];
        byte[] small = new byte[Small];
        Random random = new(5);
        for (int i = 0; i < 1500; i++)
        {
            bool isLarge = random.Next(10) == 0 && kernel.OnLoop(() => held.Count(request => request.Length == Large)) < MostLarge;
            kernel.SendWrite(0, isLarge ? large : small);
            kernel.Barrier();
            if (kernel.OnLoop(() => held.Count) == Depth)
            {
                int victim = random.Next(Depth);
                kernel.OnLoop(() =>
                {
                    held[victim].Complete(0);
                    held.RemoveAt(victim);
                });
                Assert.Equal(0, kernel.Receive().Error);
            }
        }

        Assert.InRange(kernel.Buffers.ResidentBytes, 0, ((MostLarge + 1 + FuseBuffers.Kept) * LargePages) + (Depth * SmallPages));
        kernel.OnLoop(() => held.ForEach(request => request.Complete(0)));
    }

    [Fact]
    public void Burst_of_large_payloads_gives_its_memory_back_when_nothing_follows()
    {
        const int Depth = 60;
        using FakeKernel kernel = new(
            new FuseSessionOptions { TrimAfterMs = 20 }, FakeKernel.DefaultInfo with { Size = 1 << 20 }, capacity: 64);
        kernel.OnLoop(() => kernel.Device.Holds = true);
        byte[] large = new byte[Large];
        for (int i = 0; i < Depth; i++)
        {
            kernel.SendWrite(0, large);
        }

        kernel.Barrier();
        Assert.True(kernel.Buffers.ResidentBytes >= Depth * Large);
        kernel.OnLoop(kernel.Device.LetGo);
        for (int i = 0; i < Depth; i++)
        {
            Assert.Equal(0, kernel.Receive().Error);
        }

        Assert.True(
            SpinWait.SpinUntil(
                () => kernel.Buffers.ResidentBytes <= (FuseBuffers.Kept * LargePages) + (2 * SmallPages), FakeKernel.TimeoutMs),
            "the memory of the burst is still in use");
    }
}
