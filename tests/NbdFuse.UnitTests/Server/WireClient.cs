using System.Net;
using System.Net.Sockets;
using System.Text;
using NbdFuse.Protocol;
using NbdFuse.TestKit;

namespace NbdFuse.UnitTests.Server;

/// <summary>A client that sends what the test wants, one frame at a time.</summary>
internal sealed class WireClient : IDisposable
{
    private readonly Socket _socket;
    private ulong _lastCookie;

    private WireClient(Socket socket) => _socket = socket;

    public NbdHandshakeFlags ServerFlags { get; private set; }

    /// <summary>Connects, and answers the greeting.</summary>
    public static async Task<WireClient> ConnectAsync(
        EndPoint endPoint, NbdClientFlags flags = NbdClientFlags.FixedNewstyle | NbdClientFlags.NoZeroes)
    {
        WireClient client = await ConnectRawAsync(endPoint);
        NbdNewstyleGreeting.TryRead(await client.ReceiveAsync(NbdNewstyleGreeting.Size), out NbdNewstyleGreeting greeting);
        client.ServerFlags = greeting.Flags;
        byte[] answer = new byte[NbdClientGreeting.Size];
        NbdClientGreeting.Write(answer, flags);
        await client.SendAsync(answer);
        return client;
    }

    /// <summary>Connects, and says nothing.</summary>
    public static async Task<WireClient> ConnectRawAsync(EndPoint endPoint)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(endPoint);
        return new WireClient(socket);
    }

    /// <summary>Connects and enters transmission of the default export.</summary>
    public static async Task<WireClient> OpenAsync(EndPoint endPoint, bool structured = true, string name = "")
    {
        WireClient client = await ConnectAsync(endPoint);
        if (structured)
        {
            await client.SendOptionAsync(NbdOption.StructuredReply);
            Xunit.Assert.Equal(NbdOptionReplyType.Ack, (await client.ReadOptionReplyAsync()).Header.Type);
        }

        await client.GoAsync(name);
        return client;
    }

    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await Deadline.Within(_socket.SendAsync(bytes).AsTask(), "the server to take bytes")..];
        }
    }

    public async Task<byte[]> ReceiveAsync(int count)
    {
        byte[] data = new byte[count];
        for (int have = 0; have < count;)
        {
            int received = await Deadline.Within(_socket.ReceiveAsync(data.AsMemory(have)).AsTask(), "the server's bytes");
            have += received > 0 ? received : throw new EndOfStreamException($"closed after {have} of {count} bytes");
        }

        return data;
    }

    /// <summary>True when the server has closed without sending anything more.</summary>
    public async Task<bool> IsClosedAsync()
    {
        try
        {
            return await Deadline.Within(_socket.ReceiveAsync(new byte[1].AsMemory()).AsTask(), "the server to close") == 0;
        }
        catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionReset)
        {
            return true;
        }
    }

    public Task SendOptionAsync(NbdOption option, byte[]? data = null, uint? length = null)
    {
        data ??= [];
        byte[] frame = new byte[NbdOptionHeader.Size + data.Length];
        NbdOptionHeader.Write(frame, option, length ?? (uint)data.Length);
        data.CopyTo(frame, NbdOptionHeader.Size);
        return SendAsync(frame);
    }

    public async Task<(NbdOptionReplyHeader Header, byte[] Data)> ReadOptionReplyAsync()
    {
        Xunit.Assert.True(NbdOptionReplyHeader.TryRead(await ReceiveAsync(NbdOptionReplyHeader.Size), out NbdOptionReplyHeader header));
        return (header, await ReceiveAsync((int)header.Length));
    }

    /// <summary>Reads replies until the final one, which is the last of the list.</summary>
    public async Task<List<(NbdOptionReplyHeader Header, byte[] Data)>> ReadOptionRepliesAsync()
    {
        var replies = new List<(NbdOptionReplyHeader Header, byte[] Data)>();
        do
        {
            replies.Add(await ReadOptionReplyAsync());
        }
        while (replies[^1].Header.Type != NbdOptionReplyType.Ack && !replies[^1].Header.IsError);
        return replies;
    }

    public static byte[] GoData(string name, params NbdInfoType[] infos)
    {
        byte[] data = new byte[NbdOptionData.GoSize(name, infos.Length)];
        NbdOptionData.WriteGo(data, name, infos);
        return data;
    }

    public async Task<(ulong Size, NbdTransmissionFlags Flags)> GoAsync(string name)
    {
        await SendOptionAsync(NbdOption.Go, GoData(name));
        List<(NbdOptionReplyHeader Header, byte[] Data)> replies = await ReadOptionRepliesAsync();
        Xunit.Assert.Equal(NbdOptionReplyType.Ack, replies[^1].Header.Type);
        foreach ((_, byte[] data) in replies)
        {
            if (NbdInfoReply.TryReadExport(data, out ulong size, out NbdTransmissionFlags flags))
            {
                return (size, flags);
            }
        }

        throw new InvalidDataException("The server sent no NBD_INFO_EXPORT.");
    }

    public async Task<ulong> SendRequestAsync(
        NbdCommand command, long offset = 0, uint length = 0, NbdCommandFlags flags = NbdCommandFlags.None, byte[]? payload = null)
    {
        ulong cookie = ++_lastCookie;
        byte[] frame = new byte[NbdRequestHeader.Size + (payload?.Length ?? 0)];
        NbdRequestHeader.Write(frame, flags, command, cookie, (ulong)offset, length);
        payload?.CopyTo(frame, NbdRequestHeader.Size);
        await SendAsync(frame);
        return cookie;
    }

    /// <summary>Sends a request and expects its simple reply.</summary>
    public async Task<NbdError> SimpleAsync(
        NbdCommand command, long offset = 0, uint length = 0, NbdCommandFlags flags = NbdCommandFlags.None, byte[]? payload = null)
    {
        ulong cookie = await SendRequestAsync(command, offset, length, flags, payload);
        return await ReadSimpleAsync(cookie);
    }

    public async Task<NbdError> ReadSimpleAsync(ulong cookie)
    {
        byte[] frame = await ReceiveAsync(NbdSimpleReplyHeader.Size);
        Xunit.Assert.True(NbdSimpleReplyHeader.TryRead(frame, out NbdSimpleReplyHeader reply), Convert.ToHexString(frame));
        Xunit.Assert.Equal(cookie, reply.Cookie);
        return (NbdError)reply.Error;
    }

    public Task<NbdError> WriteAsync(long offset, byte[] data, NbdCommandFlags flags = NbdCommandFlags.None) =>
        SimpleAsync(NbdCommand.Write, offset, (uint)data.Length, flags, data);

    public async Task<byte[]> ReadSimpleDataAsync(long offset, int length)
    {
        Xunit.Assert.Equal(NbdError.None, await SimpleAsync(NbdCommand.Read, offset, (uint)length));
        return await ReceiveAsync(length);
    }

    /// <summary>Reads all chunks of one structured reply.</summary>
    public async Task<List<(NbdStructuredReplyHeader Header, byte[] Payload)>> ReadChunksAsync(ulong cookie)
    {
        var chunks = new List<(NbdStructuredReplyHeader Header, byte[] Payload)>();
        do
        {
            Xunit.Assert.True(NbdStructuredReplyHeader.TryRead(
                await ReceiveAsync(NbdStructuredReplyHeader.Size), out NbdStructuredReplyHeader header));
            Xunit.Assert.Equal(cookie, header.Cookie);
            chunks.Add((header, await ReceiveAsync((int)header.Length)));
        }
        while ((chunks[^1].Header.Flags & NbdReplyFlags.Done) == 0);
        return chunks;
    }

    /// <summary>Reads the single error chunk that answers a request.</summary>
    public async Task<(NbdError Error, string Message)> ReadErrorAsync(ulong cookie)
    {
        (NbdStructuredReplyHeader header, byte[] payload) = Xunit.Assert.Single(await ReadChunksAsync(cookie));
        Xunit.Assert.Equal(NbdReplyType.Error, header.Type);
        Xunit.Assert.True(NbdErrorChunk.TryRead(header.Type, payload, out NbdErrorChunk chunk));
        return ((NbdError)chunk.Error, Encoding.UTF8.GetString(chunk.Message));
    }

    public void Dispose() => _socket.Dispose();
}
