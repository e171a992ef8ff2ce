using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using NbdFuse.Block;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

/// <summary>What a dead process has left in its buffers, and what the next one makes of it.</summary>
public sealed class FuseLeftTests
{
    private const int Capacity = 4;
    private const int Count = Capacity + FuseSession.SpareBuffers;
    private const ulong Sent = 1UL << 63;

    [Fact]
    public void Record_is_what_the_kernel_writes_and_no_answer_overwrites_it()
    {
        Assert.Equal(FuseSlotRecord.Bytes, Unsafe.SizeOf<FuseSlotRecord>());
        Assert.Equal(FuseSlotRecord.HeaderBytes, Unsafe.SizeOf<FuseInHeader>());
        Assert.Equal(FuseBuffers.HeaderPage - FuseBuffers.ReplyHeader, FuseBuffers.RequestOffset + FuseSlotRecord.Bytes);
        foreach ((string field, Type type, string same, int start) in new[]
        {
            (nameof(FuseSlotRecord.Length), typeof(FuseInHeader), nameof(FuseInHeader.Length), 0),
            (nameof(FuseSlotRecord.Opcode), typeof(FuseInHeader), nameof(FuseInHeader.Opcode), 0),
            (nameof(FuseSlotRecord.Unique), typeof(FuseInHeader), nameof(FuseInHeader.Unique), 0),
            (nameof(FuseSlotRecord.Offset), typeof(FuseReadIn), nameof(FuseReadIn.Offset), FuseSlotRecord.HeaderBytes),
            (nameof(FuseSlotRecord.Offset), typeof(FuseWriteIn), nameof(FuseWriteIn.Offset), FuseSlotRecord.HeaderBytes),
            (nameof(FuseSlotRecord.Size), typeof(FuseReadIn), nameof(FuseReadIn.Size), FuseSlotRecord.HeaderBytes),
            (nameof(FuseSlotRecord.Size), typeof(FuseWriteIn), nameof(FuseWriteIn.Size), FuseSlotRecord.HeaderBytes),
        })
        {
            Assert.Equal(start + (int)Marshal.OffsetOf(type, same), (int)Marshal.OffsetOf<FuseSlotRecord>(field));
        }
    }

    [Fact]
    public void Record_of_a_request_in_flight_is_found_and_ends_with_its_answer()
    {
        using FakeKernel kernel = new();
        kernel.OnLoop(() => kernel.Device.Holds = true);
        ulong write = kernel.SendWrite(512, new byte[1024]);
        kernel.Barrier();
        FuseSlotRecord record = kernel.OnLoop(() => kernel.Buffers.Record(0));
        Assert.Equal((FuseOpcode.Write, write, 512UL, 1024U), (record.Opcode, record.Unique, record.Offset, record.Size));
        Assert.Equal((uint)(FuseBuffers.WriteHeader + 1024), record.Length);
        Assert.True(record.HasReply);
        kernel.OnLoop(kernel.Device.LetGo);
        Assert.Equal(0, kernel.Answer(write).Error);
        kernel.Barrier();
        Assert.Equal(0U, kernel.OnLoop(() => kernel.Buffers.Record(0)).Length);
    }

    [Fact]
    public void Buffers_of_a_dead_process_are_taken_over_with_their_requests_and_bytes()
    {
        using FuseBuffers dead = new(Count);
        byte[] data = FakeKernel.Pattern(4096, 1);
        Leave(dead, 3, Write(20, 0, data));
        Leave(dead, 1, Write(22 | Sent, 4096, data));
        Leave(dead, 5, Write(18, 8192, data));

        // Nothing was read here, and nothing sensible there.
        dead.PrepareRequest(2, 4096)[10] = 1;
        BitConverter.GetBytes(int.MaxValue).CopyTo(dead.PrepareRequest(4, 4096));
        using FuseBuffers next = FuseBuffers.Adopt(Copy(dead), Count)!;
        next.PinAll(64 * 1024);
        Assert.Equal([5, 3, 1], next.Left.ToArray());
        Assert.Equal(Count - 3, next.Free);
        Assert.Equal(Write(20, 0, data), next.Request(3, FuseBuffers.WriteHeader + data.Length).ToArray());
        Assert.Equal(0U, next.Record(4).Length);
        Assert.Null(FuseBuffers.Adopt(Copy(dead), Count + 1));
    }

    [Fact]
    public void What_was_left_is_asked_for_and_executed_once_in_its_order()
    {
        using FuseBuffers dead = new(Count);
        byte[] data = FakeKernel.Pattern(4096, 2);
        Leave(dead, 0, Read(14 | Sent, 0, 4096));
        Leave(dead, 2, Write(12, 0, data));

        // A process that was killed while it moved a request leaves it twice.
        Leave(dead, 7, Write(12, 0, data));
        Leave(dead, 4, Message(FuseOpcode.Forget, 0, BitConverter.GetBytes(1UL)));
        Leave(dead, 5, Message(FuseOpcode.Interrupt, 13, BitConverter.GetBytes(12UL)));
        using FakeKernel kernel = Next(dead, out FuseSavedState state);
        using (state)
        {
            kernel.Session.BeginReading();
            Assert.Equal((13UL, 0), Question(kernel));
            Assert.Equal((15 | Sent, 0), Question(kernel));
            Assert.Equal(0, kernel.Answer(12).Error);
            Assert.Equal(data, kernel.Answer(14 | Sent).Body);
            kernel.Barrier();
            Assert.Equal([BlockOperation.Write, BlockOperation.Read], kernel.Log().Select(entry => entry.Operation));
            Assert.Equal(Count, kernel.OnLoop(() => kernel.Buffers.Free));
            Assert.All(Enumerable.Range(0, Count), index => Assert.Equal(0U, kernel.OnLoop(() => kernel.Buffers.Record(index)).Length));
        }
    }

    [Fact]
    public void More_than_there_is_room_for_waits_for_room_and_comes_before_what_is_new()
    {
        using FuseBuffers dead = new(Count);
        for (int i = 0; i < Count; i++)
        {
            Leave(dead, i, Read((ulong)(i + 1) * 2, i * 512, 512));
        }

        using FakeKernel kernel = Next(dead, out FuseSavedState state);
        using (state)
        {
            kernel.OnLoop(() => kernel.Device.Holds = true);
            kernel.SendRead(0, 512);
            kernel.Session.BeginReading();
            kernel.OnLoop(() => { });

            // As many as may wait, and no more, are taken from there at first.
            Assert.Equal(Capacity, kernel.Log().Length);
            kernel.OnLoop(() => kernel.Device.Holds = false);
            kernel.OnLoop(kernel.Device.LetGo);
            List<ulong> answered = [];
            while (answered.Count <= Count)
            {
                (ulong unique, int error, byte[] body) = kernel.Receive();
                Assert.Equal(0, error);
                if ((unique & 1) == 0)
                {
                    Assert.Equal(512, body.Length);
                    answered.Add(unique);
                }
            }

            Assert.Equal(Enumerable.Range(0, Count).Select(i => (long)i * 512), kernel.Log().Take(Count).Select(entry => entry.Offset));
            Assert.Equal(Count, kernel.OnLoop(() => kernel.Buffers.Free));
        }
    }

    [Fact]
    public void Session_that_is_aborted_answers_also_what_it_has_not_taken_yet()
    {
        using FuseBuffers dead = new(Count);
        Leave(dead, 1, Read(6, 0, 512));
        using FakeKernel kernel = Next(dead, out FuseSavedState state);
        using (state)
        {
            kernel.Session.Abort(Errno.EIO);
            Assert.Equal(Errno.EIO, kernel.Answer(6).Error);
        }
    }

    private static FakeKernel Next(FuseBuffers dead, out FuseSavedState state)
    {
        state = FuseSavedState.Create();
        state.SaveNegotiation(FuseNegotiation.Negotiate(45, 131072, FuseInitFlags.MaxPages, new FuseMountOptions(), Capacity));
        return new FakeKernel(
            new FuseSessionOptions { SavedState = state, Hold = true },
            capacity: Capacity,
            initialise: false,
            buffers: FuseBuffers.Adopt(Copy(dead), Count));
    }

    private static FileDescriptor Copy(FuseBuffers buffers) => FileDescriptor.OwnOrThrow(Posix.Dup(buffers.Descriptor.Value), "dup");

    private static (ulong Unique, int Error) Question(FakeKernel kernel)
    {
        (ulong unique, int error, byte[] body) = kernel.Receive();
        Assert.Empty(body);
        return (unique, error);
    }

    private static void Leave(FuseBuffers buffers, int index, byte[] message) =>
        message.CopyTo(buffers.PrepareRequest(index, FuseBuffers.MaximumPayload));

    private static byte[] Read(ulong unique, long offset, int size)
    {
        byte[] body = new byte[Unsafe.SizeOf<FuseReadIn>()];
        MemoryMarshal.Write(body, new FuseReadIn { Offset = (ulong)offset, Size = (uint)size });
        return Message(FuseOpcode.Read, unique, body);
    }

    private static byte[] Write(ulong unique, long offset, byte[] data)
    {
        byte[] body = new byte[Unsafe.SizeOf<FuseWriteIn>() + data.Length];
        MemoryMarshal.Write(body, new FuseWriteIn { Handle = 1, Offset = (ulong)offset, Size = (uint)data.Length, Flags = 1 });
        data.CopyTo(body, Unsafe.SizeOf<FuseWriteIn>());
        return Message(FuseOpcode.Write, unique, body);
    }

    private static byte[] Message(FuseOpcode opcode, ulong unique, byte[] body)
    {
        byte[] message = new byte[FuseSlotRecord.HeaderBytes + body.Length];
        MemoryMarshal.Write(message, new FuseInHeader
        {
            Length = (uint)message.Length,
            Opcode = opcode,
            Unique = unique,
            NodeId = FakeKernel.Root,
            Pid = 1,
        });
        body.CopyTo(message, FuseSlotRecord.HeaderBytes);
        return message;
    }
}
