using System.Buffers.Binary;
using System.Net.Sockets;
using NbdFuse.Protocol;
using NbdFuse.TestKit;

namespace NbdFuse.Fuzz.Targets;

/// <summary>The server's half of a <see cref="SessionTarget"/>.</summary>
internal sealed class FaultySession(Socket socket, Decisions decisions, SessionForm form)
{
    /// <summary>Number of base:allocation.</summary>
    private const uint Context = 5;

    private readonly List<NbdExtendedRequestHeader> _requests = [];

    /// <summary>A status has been told that is not so.</summary>
    public bool HasLied { get; private set; }

    private int HeaderSize => form == SessionForm.Extended ? NbdExtendedReplyHeader.Size : NbdStructuredReplyHeader.Size;

    /// <summary>What the export is made of: 64 KiB each of data, of zeroes, of a hole, and of a hole of zeroes, and again.</summary>
    /// <param name="offset">Where, in bytes.</param>
    public static uint StatusAt(ulong offset) => (uint)(offset / 65536 % 4);

    /// <summary>Offers an export of this size, without a fault.</summary>
    /// <param name="size">Size in bytes.</param>
    public void ShakeHands(long size)
    {
        byte[] greeting = new byte[NbdNewstyleGreeting.Size];
        NbdNewstyleGreeting.Write(greeting, NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes);
        Send(greeting);
        Receive(NbdClientGreeting.Size);
        while (true)
        {
            NbdOptionHeader.TryRead(Receive(NbdOptionHeader.Size), out NbdOptionHeader header);
            Receive((int)header.Length);
            if (header.Option == NbdOption.Go)
            {
                byte[] export = new byte[NbdInfoReply.ExportBytes];
                NbdInfoReply.WriteExport(export, (ulong)size, NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush);
                Reply(header.Option, NbdOptionReplyType.Info, export);
                Reply(header.Option, NbdOptionReplyType.Ack, []);
                return;
            }

            if (header.Option == NbdOption.SetMetaContext && form != SessionForm.Simple)
            {
                byte[] context = new byte[NbdMetaContext.GetSize(NbdMetaContextNames.BaseAllocation)];
                NbdMetaContext.Write(context, Context, NbdMetaContextNames.BaseAllocation);
                Reply(header.Option, NbdOptionReplyType.MetaContext, context);
                Reply(header.Option, NbdOptionReplyType.Ack, []);
                continue;
            }

            bool agreed = (form == SessionForm.Structured && header.Option == NbdOption.StructuredReply)
                || (form == SessionForm.Extended && header.Option == NbdOption.ExtendedHeaders);
            Reply(header.Option, agreed ? NbdOptionReplyType.Ack : NbdOptionReplyType.ErrUnsup, []);
        }
    }

    /// <summary>Takes this many reads and questions, answers them, and hangs up.</summary>
    /// <param name="count">How many.</param>
    public void Answer(int count)
    {
        while (_requests.Count < count)
        {
            NbdExtendedRequestHeader header = ReadRequest();
            if (header.Command is not (NbdCommand.Read or NbdCommand.BlockStatus) || header.HasPayload)
            {
                throw new FuzzFailureException($"the client sent {header}");
            }

            _requests.Add(header);
        }

        List<(byte[] Header, byte[] Payload)> messages = [];
        List<NbdExtendedRequestHeader> waiting = [.. _requests];
        while (waiting.Count > 0)
        {
            int index = decisions.Next(waiting.Count);
            AddReply(messages, waiting[index]);
            waiting.RemoveAt(index);
        }

        using var stream = new MemoryStream();
        for (int i = 0; i < messages.Count; i++)
        {
            if (!Say(stream, messages, i))
            {
                break;
            }
        }

        byte[] bytes = stream.ToArray();
        for (int at = 0; at < bytes.Length;)
        {
            int piece = decisions.Next(3) == 1 ? 1 + decisions.Next(8192) : bytes.Length - at;
            piece = Math.Min(piece, bytes.Length - at);
            Send(bytes.AsSpan(at, piece));
            at += piece;
        }

        socket.Shutdown(SocketShutdown.Send);
        byte[] rest = new byte[4096];
        while (socket.Receive(rest) > 0)
        {
            // Until the client hangs up, too.
        }
    }

    private NbdExtendedRequestHeader ReadRequest()
    {
        NbdExtendedRequestHeader extended;
        if (form == SessionForm.Extended)
        {
            return NbdExtendedRequestHeader.TryRead(Receive(NbdExtendedRequestHeader.Size), out extended)
                ? extended
                : throw new FuzzFailureException("the client sent something that is no extended request");
        }

        return NbdRequestHeader.TryRead(Receive(NbdRequestHeader.Size), out NbdRequestHeader header)
            ? new NbdExtendedRequestHeader(header.Flags, header.Command, header.Cookie, header.Offset, header.Length)
            : throw new FuzzFailureException("the client sent something that is no request");
    }

    private void AddReply(List<(byte[] Header, byte[] Payload)> messages, NbdExtendedRequestHeader request)
    {
        uint error = decisions.Next(16) == 5 ? 5u : 0;
        if (form == SessionForm.Simple)
        {
            byte[] header = new byte[NbdSimpleReplyHeader.Size];
            NbdSimpleReplyHeader.Write(header, error, request.Cookie);
            messages.Add((header, error == 0 ? Data(request.Offset, (int)request.Length) : []));
            return;
        }

        if (request.Command == NbdCommand.BlockStatus)
        {
            AddStatus(messages, request, isLast: error == 0);
        }
        else
        {
            AddData(messages, request, isLast: error == 0);
        }

        if (error != 0)
        {
            byte[] chunk = Chunk(request, NbdReplyType.Error, isDone: true, NbdErrorChunk.HeaderSize, inHeader: NbdErrorChunk.HeaderSize);
            NbdErrorChunk.WriteError(chunk.AsSpan(HeaderSize), error, []);
            messages.Add((chunk, []));
        }
    }

    private void AddData(List<(byte[] Header, byte[] Payload)> messages, NbdExtendedRequestHeader request, bool isLast)
    {
        ulong at = request.Offset;
        ulong end = at + request.Length;
        while (at < end)
        {
            int length = (int)(end - at);
            if (decisions.Next(3) == 1)
            {
                length = 1 + decisions.Next(Math.Min(length, 65536));
            }

            bool isDone = at + (ulong)length == end && isLast;
            byte[] header = Chunk(request, NbdReplyType.OffsetData, isDone, length + NbdOffsetDataChunk.Size, inHeader: NbdOffsetDataChunk.Size);
            NbdOffsetDataChunk.Write(header.AsSpan(HeaderSize), at);
            messages.Add((header, Data(at, length)));
            at += (ulong)length;
        }
    }

    private void AddStatus(List<(byte[] Header, byte[] Payload)> messages, NbdExtendedRequestHeader request, bool isLast)
    {
        bool extended = form == SessionForm.Extended;
        ulong length = Math.Min(request.Length, 65536 - (request.Offset % 65536));
        byte[] payload = new byte[NbdBlockStatusChunk.GetSize(1, extended)];
        NbdBlockStatusChunk.Write(payload, Context, [new NbdBlockExtent(length, StatusAt(request.Offset))], extended);
        if (decisions.Next(4) == 1)
        {
            HasLied = true;
            payload[decisions.Next(payload.Length)] = decisions.NextByte();
        }

        NbdReplyType type = extended ? NbdReplyType.BlockStatusExt : NbdReplyType.BlockStatus;
        messages.Add((Chunk(request, type, isLast, payload.Length, inHeader: 0), payload));
    }

    /// <summary>Head of a chunk, with room for what of its payload is damaged with it.</summary>
    private byte[] Chunk(NbdExtendedRequestHeader request, NbdReplyType type, bool isDone, int payload, int inHeader)
    {
        byte[] header = new byte[HeaderSize + inHeader];
        NbdReplyFlags flags = isDone ? NbdReplyFlags.Done : NbdReplyFlags.None;
        if (form == SessionForm.Extended)
        {
            NbdExtendedReplyHeader.Write(header, flags, type, request.Cookie, request.Offset, (ulong)payload);
        }
        else
        {
            NbdStructuredReplyHeader.Write(header, flags, type, request.Cookie, (uint)payload);
        }

        return header;
    }

    // False: nothing is said after this.
    private bool Say(MemoryStream stream, List<(byte[] Header, byte[] Payload)> messages, int index)
    {
        (byte[] header, byte[] payload) = messages[index];
        switch (decisions.Next(24))
        {
            case 1:
                byte[] flipped = [.. header];
                int bit = decisions.Next(flipped.Length * 8);
                flipped[bit / 8] ^= (byte)(1 << (bit % 8));
                header = IsForeign(flipped, header) ? header : flipped;
                break;
            case 2:
                byte[] changed = [.. header];
                changed[decisions.Next(changed.Length)] = decisions.NextByte();
                header = IsForeign(changed, header) ? header : changed;
                break;
            case 3:
                // Is never said.
                return true;
            case 4:
                stream.Write(header);
                stream.Write(payload);
                break;
            case 5 when index + 1 < messages.Count:
                (messages[index + 1], (header, payload)) = ((header, payload), messages[index + 1]);
                break;
            case 6:
                stream.Write(header.AsSpan(0, decisions.Next(header.Length)));
                return false;
            case 7:
                stream.Write(header);
                stream.Write(payload.AsSpan(0, payload.Length / 2));
                return false;
            case 8:
                for (int i = decisions.Next(64); i >= 0; i--)
                {
                    stream.WriteByte(decisions.NextByte());
                }

                break;
            case 9:
                return false;
            default:
                break;
        }

        stream.Write(header);
        stream.Write(payload);
        return true;
    }

    /// <summary>
    /// Whether a header has been damaged into one for another read that is in flight: no client can see through that when the
    /// lengths agree.
    /// </summary>
    private bool IsForeign(byte[] changed, byte[] header) =>
        CookieOf(changed) != CookieOf(header) && _requests.Exists(request => request.Cookie == CookieOf(changed));

    // All kinds of reply have it in bytes 8 to 15.
    private static ulong CookieOf(byte[] header) => BinaryPrimitives.ReadUInt64BigEndian(header.AsSpan(8));

    private static byte[] Data(ulong offset, int length) => PatternData.Create(SessionTarget.Pattern, (long)offset, length);

    private void Reply(NbdOption option, NbdOptionReplyType type, byte[] data)
    {
        byte[] header = new byte[NbdOptionReplyHeader.Size];
        NbdOptionReplyHeader.Write(header, option, type, (uint)data.Length);
        Send(header);
        Send(data);
    }

    private void Send(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[socket.Send(bytes)..];
        }
    }

    private byte[] Receive(int count)
    {
        byte[] data = new byte[count];
        for (int have = 0; have < count;)
        {
            int got = socket.Receive(data.AsSpan(have));
            have += got > 0 ? got : throw new SocketException((int)SocketError.ConnectionReset);
        }

        return data;
    }
}
