using System.Buffers.Binary;
using System.Text;
using NbdFuse.Native;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Handshake;

/// <summary>The server's end of a socket pair, driven byte by byte by a test's script.</summary>
internal sealed class ScriptedPeer : IDisposable
{
    public const NbdHandshakeFlags Modern = NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes;

    private const int TimeoutMilliseconds = 60_000;

    private readonly FileDescriptor _socket;

    private ScriptedPeer(FileDescriptor socket) => _socket = socket;

    /// <summary>Bytes per write: 1 sends each byte on its own.</summary>
    public int WriteSize { get; set; } = int.MaxValue;

    /// <summary>Gets a copy of all that is written.</summary>
    public Stream? Copy { get; set; }

    /// <summary>All bytes written so far.</summary>
    public long Sent { get; private set; }

    /// <summary>All bytes that the client has sent so far.</summary>
    public MemoryStream Received { get; } = new();

    public static ScriptedPeer Create(out FileDescriptor client)
    {
        PosixException.Check(
            Posix.SocketPair(SocketConstants.AF_UNIX, SocketConstants.SOCK_STREAM | SocketConstants.SOCK_NONBLOCK, out int ours, out int theirs),
            "socketpair");
        client = FileDescriptor.Own(theirs);
        return new ScriptedPeer(FileDescriptor.Own(ours));
    }

    /// <summary>Plays on an accepted connection.</summary>
    public static ScriptedPeer Over(FileDescriptor socket) => new(socket);

    /// <summary>Writes until done; false when the client has gone.</summary>
    public bool TrySend(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int result = Posix.Send(_socket.Value, bytes[..Math.Min(bytes.Length, WriteSize)]);
            if (result == -Errno.EAGAIN)
            {
                Assert.NotEqual(0, Posix.Poll(_socket.Value, PollEvents.Out, TimeoutMilliseconds));
                continue;
            }

            if (result < 0)
            {
                return false;
            }

            Sent += result;
            Copy?.Write(bytes[..result]);
            bytes = bytes[result..];
        }

        return true;
    }

    public void Send(params ReadOnlySpan<byte> bytes) => Assert.True(TrySend(bytes), "the client has closed the connection");

    public byte[] Read(int count)
    {
        byte[] result = new byte[count];
        int filled = 0;
        while (filled < count)
        {
            int read = Receive(result.AsSpan(filled));
            Assert.True(read > 0, $"the client closed after {filled} of {count} bytes");
            filled += read;
        }

        return result;
    }

    /// <summary>The client has closed and sent nothing more.</summary>
    public void ExpectEnd()
    {
        byte[] rest = new byte[256];
        int read = Receive(rest);
        Assert.True(read <= 0, $"the client sent more: {Convert.ToHexStringLower(rest.AsSpan(0, Math.Max(read, 0)))}");
    }

    public void Close() => _socket.Dispose();

    public void SendGreeting(NbdHandshakeFlags flags)
    {
        Span<byte> greeting = stackalloc byte[NbdNewstyleGreeting.Size];
        NbdNewstyleGreeting.Write(greeting, flags);
        Send(greeting);
    }

    public uint ReadClientFlags() => BinaryPrimitives.ReadUInt32BigEndian(Read(NbdClientGreeting.Size));

    /// <summary>Greets as a server of today, and reads the client flags.</summary>
    public void Greet(NbdHandshakeFlags flags = Modern)
    {
        SendGreeting(flags);
        ReadClientFlags();
    }

    /// <summary>Greets, and refuses or grants structured replies.</summary>
    public void Begin(NbdOptionReplyType structured = NbdOptionReplyType.Ack)
    {
        Greet();
        ExpectOption(NbdOption.StructuredReply);
        Reply(NbdOption.StructuredReply, structured);
    }

    public (NbdOption Option, byte[] Data) ReadOption()
    {
        Assert.True(NbdOptionHeader.TryRead(Read(NbdOptionHeader.Size), out NbdOptionHeader header), "no option magic");
        return (header.Option, Read(checked((int)header.Length)));
    }

    public byte[] ExpectOption(NbdOption option)
    {
        (NbdOption seen, byte[] data) = ReadOption();
        Assert.Equal(option, seen);
        return data;
    }

    /// <summary>The polite end: NBD_OPT_ABORT without data, answered, then the close.</summary>
    public void ExpectAbort()
    {
        Assert.Empty(ExpectOption(NbdOption.Abort));
        Reply(NbdOption.Abort, NbdOptionReplyType.Ack);
        ExpectEnd();
    }

    public void Reply(NbdOption option, NbdOptionReplyType type, params ReadOnlySpan<byte> data)
    {
        byte[] message = new byte[NbdOptionReplyHeader.Size + data.Length];
        NbdOptionReplyHeader.Write(message, option, type, (uint)data.Length);
        data.CopyTo(message.AsSpan(NbdOptionReplyHeader.Size));
        Send(message);
    }

    public void Refuse(NbdOption option, NbdOptionReplyType type, string text = "") =>
        Reply(option, type, Encoding.UTF8.GetBytes(text));

    public void Info(NbdOption option, byte[] data) => Reply(option, NbdOptionReplyType.Info, data);

    /// <summary>A writable export with flush.</summary>
    public void InfoExport(
        NbdOption option = NbdOption.Go,
        ulong size = 1 << 20,
        NbdTransmissionFlags flags = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush) =>
        Info(option, Wire.Export(size, flags));

    public void Ack(NbdOption option = NbdOption.Go) => Reply(option, NbdOptionReplyType.Ack);

    public void Dispose() => _socket.Dispose();

    private int Receive(Span<byte> destination)
    {
        int result;
        while ((result = Posix.Recv(_socket.Value, destination)) == -Errno.EAGAIN)
        {
            Assert.NotEqual(0, Posix.Poll(_socket.Value, PollEvents.In, TimeoutMilliseconds));
        }

        if (result > 0)
        {
            Received.Write(destination[..result]);
        }

        return result;
    }
}
