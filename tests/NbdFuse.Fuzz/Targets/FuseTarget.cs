using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Block;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuzz.Targets;

/// <summary>
/// A kernel that sends malformed requests. The input is a row of packets, each behind its length in 16 bits. Each is answered at
/// most once, and the session serves on, or ends by itself.
/// </summary>
internal sealed class FuseTarget : IFuzzTarget
{
    private const int HeaderBytes = 40;
    private const int Capacity = 16;
    private const ulong BarrierUnique = 0xba44_1e40;

    private readonly byte[] _answer = new byte[2 << 20];

    public string Name => "fuse";

    public IEnumerable<byte[]> Seeds
    {
        get
        {
            byte[] init = Packet(FuseOpcode.Init, 2, 0, new FuseInitIn { Major = 7, Minor = 45, MaxReadahead = 131072, Flags = 0x73fffffb });
            byte[] open = Packet(FuseOpcode.Open, 4, 1, new FuseOpenIn { Flags = 2 });
            byte[] read = Packet(FuseOpcode.Read, 6, 1, new FuseReadIn { Handle = 1, Offset = 4096, Size = 8192 });
            byte[] write = Packet(FuseOpcode.Write, 8, 1, new FuseWriteIn { Handle = 1, Offset = 512, Size = 1024 }, new byte[1024]);
            byte[] zero = Packet(FuseOpcode.Fallocate, 10, 1, new FuseFallocateIn { Handle = 1, Offset = 0, Length = 4096, Mode = 3 });
            byte[] sync = Packet(FuseOpcode.Fsync, 12, 1, new FuseFsyncIn { Handle = 1 });
            byte[] attributes = Packet(FuseOpcode.Setattr, 14, 1, new FuseSetattrIn { Valid = FuseSetattrValid.Size, Size = 65536 });
            byte[] interrupt = Packet(FuseOpcode.Interrupt, 17, 1, new FuseInterruptIn { Unique = 8 });
            byte[] seek = Packet(FuseOpcode.Lseek, 18, 1, new FuseLseekIn { Handle = 1, Offset = 100, Whence = 4 });
            byte[] forget = Packet(FuseOpcode.Forget, 20, 1, new FuseForgetIn { Lookups = 1 });
            byte[] forgets = Packet(FuseOpcode.BatchForget, 22, 1, new FuseBatchForgetIn { Count = 1 }, new byte[16]);
            byte[] lookup = Packet(FuseOpcode.Lookup, 24, 1, default(byte), "nbd\0"u8.ToArray());
            byte[] statfs = Packet(FuseOpcode.Statfs, 26, 1, default(byte));
            byte[] directory = Packet(FuseOpcode.Readdir, 28, 1, new FuseReadIn { Size = 4096 });
            byte[] attribute = Packet(FuseOpcode.Getxattr, 30, 1, 64UL, "user.x\0"u8.ToArray());
            byte[] release = Packet(FuseOpcode.Release, 32, 1, default(ulong), new byte[16]);
            yield return [.. init, .. open, .. read, .. write, .. sync, .. release];
            yield return [.. init, .. open, .. zero, .. attributes, .. read, .. interrupt, .. seek];
            yield return [.. init, .. lookup, .. statfs, .. directory, .. attribute, .. forget, .. forgets];
            yield return [.. read, .. init, .. init, .. write];
        }
    }

    public void Run(byte[] input)
    {
        PosixException.Check(
            Posix.SocketPair(
                SocketConstants.AF_UNIX,
                SocketConstants.SOCK_SEQPACKET | SocketConstants.SOCK_NONBLOCK | SocketConstants.SOCK_CLOEXEC,
                out int kernelEnd,
                out int deviceEnd),
            "make a socket pair");
        using FileDescriptor kernel = FileDescriptor.Own(kernelEnd);
        using FileDescriptor device = FileDescriptor.Own(deviceEnd);
        var info = new BlockDeviceInfo { Size = 65536, CanFlush = true, CanFua = true, CanTrim = true, CanWriteZeroes = true };
        var ready = new ReadyList();
        var queue = new RequestQueue(
            DeviceStack.Build(new MemoryBlockDevice(info), ready, Capacity, checkContract: true), ready, new RequestQueueOptions { Capacity = Capacity });
        using var buffers = new FuseBuffers(Capacity + FuseSession.SpareBuffers);
        Exception? failure = null;
        using (var loop = new EventLoop("fuzz", new EventLoopOptions { SpinMicroseconds = 0 }))
        {
            loop.Failed += error => failure = error;
            var session = new FuseSession(loop, device, queue, buffers, new FuseSessionOptions(), NullLogger.Instance);
            session.Start();
            loop.Start();
            Dictionary<ulong, int> open = [];
            foreach (byte[] packet in Packets(input))
            {
                ulong unique = packet.Length >= 16 ? BinaryPrimitives.ReadUInt64LittleEndian(packet.AsSpan(8)) : 0;
                if (unique != BarrierUnique && Send(kernel, packet, session))
                {
                    open[unique] = open.GetValueOrDefault(unique) + 1;
                    Receive(kernel, open, waitFor: null, session);
                }
            }

            if (Send(kernel, Packet(FuseOpcode.Init, BarrierUnique, 0, new FuseInitIn { Major = 7, Minor = 45 })[2..], session))
            {
                // INIT once more is refused; refused or not, it shows that all before it has been looked at.
                open[BarrierUnique] = 1;
                Receive(kernel, open, BarrierUnique, session);
            }

            loop.Stop();
            loop.Join();
        }

        if (failure is not null)
        {
            throw new FuzzFailureException("the loop died", failure);
        }
    }

    public void Dispose()
    {
    }

    private static bool Send(FileDescriptor kernel, byte[] packet, FuseSession session)
    {
        while (!session.Completion.IsCompleted)
        {
            int sent = Posix.Send(kernel.Value, packet);
            if (sent >= 0)
            {
                return true;
            }

            if (sent != -Errno.EAGAIN)
            {
                return false;
            }

            Posix.Poll(kernel.Value, PollEvents.Out, 100);
        }

        return false;
    }

    private void Receive(FileDescriptor kernel, Dictionary<ulong, int> open, ulong? waitFor, FuseSession session)
    {
        while (true)
        {
            int length = Posix.Recv(kernel.Value, _answer);
            if (length == -Errno.EAGAIN)
            {
                if (waitFor is null || session.Completion.IsCompleted)
                {
                    return;
                }

                Posix.Poll(kernel.Value, PollEvents.In, 100);
                continue;
            }

            if (length < 16)
            {
                throw new FuzzFailureException($"an answer of {length} bytes");
            }

            FuseOutHeader header = MemoryMarshal.Read<FuseOutHeader>(_answer);
            if (header.Length != length || header.Error is > 0 or <= -512)
            {
                throw new FuzzFailureException($"an answer of {length} bytes says length {header.Length}, error {header.Error}");
            }

            // Unique 0 would be a notification.
            if (header.Unique != 0 && (!open.TryGetValue(header.Unique, out int left) || left == 0))
            {
                throw new FuzzFailureException($"request {header.Unique} was answered more often than it was made");
            }

            open[header.Unique] = open.GetValueOrDefault(header.Unique) - 1;
            if (header.Unique == waitFor)
            {
                return;
            }
        }
    }

    private static IEnumerable<byte[]> Packets(byte[] input)
    {
        for (int at = 0; at + 2 <= input.Length;)
        {
            int length = Math.Min(BinaryPrimitives.ReadUInt16LittleEndian(input.AsSpan(at)), input.Length - at - 2);
            at += 2;
            if (length > 0)
            {
                // The kernel's own framing is never wrong: mostly the header says the true length.
                byte[] packet = input[at..(at + length)];
                if (length >= HeaderBytes && packet[^1] % 4 != 0)
                {
                    BinaryPrimitives.WriteUInt32LittleEndian(packet, (uint)length);
                }

                yield return packet;
            }

            at += length;
        }
    }

    private static byte[] Packet<T>(FuseOpcode opcode, ulong unique, ulong node, T body, byte[]? data = null)
        where T : unmanaged
    {
        data ??= [];
        int bodyBytes = typeof(T) == typeof(byte) ? 0 : Unsafe.SizeOf<T>();
        byte[] packet = new byte[2 + HeaderBytes + bodyBytes + data.Length];
        BinaryPrimitives.WriteUInt16LittleEndian(packet, (ushort)(packet.Length - 2));
        var header = new FuseInHeader { Length = (uint)(packet.Length - 2), Opcode = opcode, Unique = unique, NodeId = node, Pid = 1 };
        MemoryMarshal.Write(packet.AsSpan(2), in header);
        if (bodyBytes > 0)
        {
            MemoryMarshal.Write(packet.AsSpan(2 + HeaderBytes), in body);
        }

        data.CopyTo(packet, 2 + HeaderBytes + bodyBytes);
        return packet;
    }
}
