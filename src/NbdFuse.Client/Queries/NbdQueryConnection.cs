using Microsoft.Extensions.Logging;
using NbdFuse.Client.Transmission;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>
/// A connection in the transmission phase on which one request is made at a time, and waited for. Understands simple, structured
/// and extended replies. Not thread-safe.
/// </summary>
internal sealed class NbdQueryConnection : IDisposable
{
    // Bytes of descriptors that are read at once: a whole chunk of them may have 16 MiB.
    private const int DescriptorBuffer = 64 * 1024;

    // What a server may send in answer to one request: a chunk of the most descriptors for each of some contexts.
    private const int MaxReplyBytes = 256 << 20;

    private readonly HandshakeChannel _channel;
    private readonly TimeSpan _timeout;
    private readonly byte[] _descriptors = new byte[DescriptorBuffer];
    private ulong _lastCookie;
    private NbdCommand _command;
    private ulong _offset;
    private ulong _length;

    /// <summary>Takes over the conversation; the socket stays the caller's.</summary>
    public NbdQueryConnection(NegotiatedSocket opened, TimeSpan timeout, CancellationToken cancellationToken)
    {
        _timeout = timeout;
        _channel = new HandshakeChannel(opened.Socket, timeout, MaxReplyBytes, cancellationToken) { Conversation = "answering" };
        Negotiated = opened.Negotiated;
    }

    /// <summary>What was negotiated.</summary>
    public NbdNegotiated Negotiated { get; }

    /// <summary>Size of the export in bytes.</summary>
    public ulong Size => Negotiated.Export.Size;

    /// <summary>Offsets and lengths are multiples of this, in bytes.</summary>
    public uint MinimumBlock => Negotiated.Export.BlockSizes?.Minimum ?? NbdLimits.DefaultMinimumBlock;

    /// <inheritdoc/>
    public void Dispose() => _channel.Dispose();

    /// <summary>Leaves politely; a server that is gone already is no error.</summary>
    public void Disconnect(ILogger logger)
    {
        Span<byte> request = stackalloc byte[NbdExtendedRequestHeader.Size];
        request = request[..HandshakeSession.WriteDisconnect(request, Negotiated.ExtendedHeaders)];
        try
        {
            _channel.Write(request);
        }
        catch (NbdConnectException e)
        {
            Log.AbortFailed(logger, e.Message);
        }
    }

    /// <summary>Reads from offset 0 on.</summary>
    /// <returns>The bytes: fewer than asked for at the end of the export.</returns>
    public byte[] ReadStart(int maximum)
    {
        // Whole blocks; what comes too much is cut.
        ulong block = MinimumBlock;
        ulong length = Math.Min(((ulong)maximum + block - 1) / block, Size / block) * block;
        byte[] data = new byte[length];
        if (length > 0)
        {
            Read(data);
        }

        return data.Length > maximum ? data[..maximum] : data;
    }

    /// <summary>Asks for the status of a range.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes, more than 0.</param>
    /// <param name="contextId">The context whose extents are wanted; those of others are checked and dropped.</param>
    /// <param name="take">Takes the extents, in order, from the offset on; the last one may reach past the range.</param>
    /// <exception cref="NbdRequestException">The server answered with an error.</exception>
    public void BlockStatus(ulong offset, ulong length, uint contextId, Action<NbdBlockExtent> take)
    {
        ulong cookie = Send(NbdCommand.BlockStatus, offset, length);
        List<uint> seen = [];
        NbdRequestException? failure = null;
        QueryChunk chunk;
        do
        {
            chunk = ReadChunk(cookie);
            if (chunk.IsError)
            {
                failure ??= ReadError(chunk);
            }
            else if (chunk.Type == (Negotiated.ExtendedHeaders ? NbdReplyType.BlockStatusExt : NbdReplyType.BlockStatus))
            {
                ReadExtents(chunk, length, seen, contextId, take);
            }
            else if (chunk.Type != NbdReplyType.None)
            {
                throw Unexpected(chunk);
            }
        }
        while (!chunk.IsDone);

        if (failure is not null)
        {
            throw failure;
        }

        if (seen.Count != Negotiated.MetaContexts.Count)
        {
            throw new NbdProtocolException(
                "proto.md, NBD_REPLY_TYPE_BLOCK_STATUS: exactly one chunk for each metadata context",
                $"{seen.Count} of {Negotiated.MetaContexts.Count} contexts came");
        }
    }

    private void ReadExtents(QueryChunk chunk, ulong requested, List<uint> seen, uint contextId, Action<NbdBlockExtent> take)
    {
        bool extended = Negotiated.ExtendedHeaders;
        if (!NbdBlockStatusChunk.IsValidLength(chunk.Length, extended))
        {
            throw new NbdProtocolException(
                $"proto.md, NBD_REPLY_TYPE_BLOCK_STATUS: whole extents, 1 to {NbdLimits.MaxBlockStatusExtents} of them",
                $"a block status chunk of {chunk.Length} bytes");
        }

        int headerSize = NbdBlockStatusChunk.HeaderSize(extended);
        Span<byte> header = stackalloc byte[NbdBlockStatusChunk.HeaderSize(extended: true)];
        header = header[..headerSize];
        _channel.ReadExactly(header);
        if (!NbdBlockStatusChunk.TryReadHeader(header, extended, (int)chunk.Length, out uint id))
        {
            throw new NbdProtocolException(
                "extension-ext-header, NBD_REPLY_TYPE_BLOCK_STATUS_EXT: the count of extents agrees with the length",
                $"another count in a block status chunk of {chunk.Length} bytes");
        }

        NbdMetaContext context = RequireContext(id, seen);
        seen.Add(id);
        var check = default(NbdBlockStatusCheck);
        int left = (int)chunk.Length - headerSize;
        int size = NbdBlockStatusChunk.DescriptorSize(extended);
        while (left > 0)
        {
            Span<byte> piece = _descriptors.AsSpan(0, Math.Min(left, DescriptorBuffer));
            _channel.ReadExactly(piece);
            left -= piece.Length;
            for (; !piece.IsEmpty; piece = piece[size..])
            {
                NbdBlockExtent extent = NbdBlockStatusChunk.ReadDescriptor(piece, extended);
                if (check.Add(extent, requested, one: false, NbdMetaContextNames.IsBase(context.Name)) is string rule)
                {
                    throw new NbdProtocolException(
                        $"proto.md, NBD_REPLY_TYPE_BLOCK_STATUS: {rule}",
                        $"an extent of {extent.Length} bytes with status {extent.Status} after {check.Covered} of {requested} bytes");
                }

                if (id == contextId)
                {
                    take(extent);
                }
            }
        }
    }

    private NbdMetaContext RequireContext(uint id, List<uint> seen)
    {
        foreach (NbdMetaContext context in Negotiated.MetaContexts)
        {
            if (context.Id == id)
            {
                return !seen.Contains(id) ? context : throw new NbdProtocolException(
                    "proto.md, NBD_REPLY_TYPE_BLOCK_STATUS: exactly one chunk for each metadata context", $"a second chunk of context {id}");
            }
        }

        throw new NbdProtocolException(
            "proto.md, NBD_REPLY_TYPE_BLOCK_STATUS: the context is one that was negotiated", $"a chunk of the unknown context {id}");
    }

    private void Read(Span<byte> destination)
    {
        ulong length = (ulong)destination.Length;
        ulong cookie = Send(NbdCommand.Read, 0, length);
        if (!Negotiated.StructuredReplies)
        {
            NbdError error = ReadSimple(cookie);
            if (error != NbdError.None)
            {
                throw Failed(error, default);
            }

            _channel.ReadExactly(destination);
            return;
        }

        ReadFragments pieces = new();
        NbdRequestException? failure = null;
        QueryChunk chunk;
        do
        {
            chunk = ReadChunk(cookie);
            if (chunk.IsError)
            {
                failure ??= ReadError(chunk);
            }
            else if (chunk.Type is NbdReplyType.OffsetData or NbdReplyType.OffsetHole)
            {
                ReadContent(chunk, destination, pieces);
            }
            else if (chunk.Type != NbdReplyType.None)
            {
                throw Unexpected(chunk);
            }
        }
        while (!chunk.IsDone);

        if (failure is not null)
        {
            throw failure;
        }

        if (!pieces.Covers(0, destination.Length))
        {
            throw new NbdProtocolException("proto.md, NBD_CMD_READ: the chunks cover all of the range", "a READ was answered with a gap");
        }
    }

    private void ReadContent(QueryChunk chunk, Span<byte> destination, ReadFragments pieces)
    {
        const string Rule = "proto.md, Structured reply types: a chunk lies inside its READ, is not empty, and overlaps no other";
        bool isHole = chunk.Type == NbdReplyType.OffsetHole;
        if (isHole ? chunk.Length != NbdOffsetHoleChunk.Size : chunk.Length <= NbdOffsetDataChunk.Size)
        {
            throw new NbdProtocolException(Rule, $"a chunk of type {(ushort)chunk.Type} and {chunk.Length} bytes");
        }

        Span<byte> head = stackalloc byte[NbdOffsetHoleChunk.Size];
        head = head[..(isHole ? NbdOffsetHoleChunk.Size : NbdOffsetDataChunk.Size)];
        _channel.ReadExactly(head);
        _ = NbdOffsetDataChunk.TryRead(head, out NbdOffsetDataChunk data);
        ulong length = chunk.Length - NbdOffsetDataChunk.Size;
        if (isHole)
        {
            _ = NbdOffsetHoleChunk.TryRead(head, out NbdOffsetHoleChunk hole);
            length = hole.Length;
        }

        ulong room = (ulong)destination.Length;
        if (length == 0 || data.Offset > room || length > room - data.Offset
            || !pieces.TryAdd((long)data.Offset, (long)(data.Offset + length), ReadFragments.Limit(destination.Length)))
        {
            throw new NbdProtocolException(Rule, $"{length} bytes at {data.Offset} answered a READ of {destination.Length} bytes");
        }

        Span<byte> place = destination.Slice((int)data.Offset, (int)length);
        if (isHole)
        {
            place.Clear();
        }
        else
        {
            _channel.ReadExactly(place);
        }
    }

    private ulong Send(NbdCommand command, ulong offset, ulong length)
    {
        ulong cookie = ++_lastCookie;
        Span<byte> request = stackalloc byte[NbdExtendedRequestHeader.Size];
        if (Negotiated.ExtendedHeaders)
        {
            NbdExtendedRequestHeader.Write(request, NbdCommandFlags.None, command, cookie, offset, length);
        }
        else
        {
            request = request[..NbdRequestHeader.Size];
            NbdRequestHeader.Write(request, NbdCommandFlags.None, command, cookie, offset, checked((uint)length));
        }

        (_command, _offset, _length) = (command, offset, length);
        _channel.Restart(_timeout, MaxReplyBytes);
        _channel.Awaited = $"the reply to {Name()}";
        _channel.Write(request);
        return cookie;
    }

    private NbdError ReadSimple(ulong cookie)
    {
        Span<byte> raw = stackalloc byte[NbdSimpleReplyHeader.Size];
        _channel.ReadExactly(raw);
        if (!NbdSimpleReplyHeader.TryRead(raw, out NbdSimpleReplyHeader header))
        {
            throw BadMagic(raw);
        }

        RequireCookie(header.Cookie, cookie);
        return (NbdError)NbdErrors.Normalize(header.Error);
    }

    private QueryChunk ReadChunk(ulong cookie)
    {
        Span<byte> raw = stackalloc byte[NbdExtendedReplyHeader.Size];
        raw = raw[..(Negotiated.ExtendedHeaders ? NbdExtendedReplyHeader.Size : NbdSimpleReplyHeader.Size)];
        _channel.ReadExactly(raw);
        if (Negotiated.ExtendedHeaders)
        {
            if (!NbdExtendedReplyHeader.TryRead(raw, out NbdExtendedReplyHeader extended))
            {
                throw BadMagic(raw);
            }

            RequireCookie(extended.Cookie, cookie);
            if (extended.Offset != _offset)
            {
                throw new NbdProtocolException(
                    "extension-ext-header, Extended reply chunk message: the offset must match the request",
                    $"offset {extended.Offset} in the reply to a request at {_offset}");
            }

            return Require(new QueryChunk(extended.Flags, extended.Type, extended.Length));
        }

        // The two kinds of reply differ in length: the magic of the shorter one tells.
        if (NbdSimpleReplyHeader.TryRead(raw, out NbdSimpleReplyHeader simple))
        {
            RequireCookie(simple.Cookie, cookie);
            if (simple.Error == 0 || _command == NbdCommand.Read)
            {
                throw new NbdProtocolException(
                    "proto.md, Structured reply chunk message: what has a payload, and every READ, is answered by chunks",
                    $"a simple reply to {Name()}");
            }

            throw Failed((NbdError)NbdErrors.Normalize(simple.Error), default);
        }

        Span<byte> whole = stackalloc byte[NbdStructuredReplyHeader.Size];
        raw.CopyTo(whole);
        _channel.ReadExactly(whole[raw.Length..]);
        if (!NbdStructuredReplyHeader.TryRead(whole, out NbdStructuredReplyHeader header))
        {
            throw BadMagic(whole);
        }

        RequireCookie(header.Cookie, cookie);
        return Require(new QueryChunk(header.Flags, header.Type, header.Length));
    }

    private QueryChunk Require(QueryChunk chunk) =>
        chunk.Type == NbdReplyType.None && (chunk.Length != 0 || !chunk.IsDone)
            ? throw new NbdProtocolException(
                "proto.md, NBD_REPLY_TYPE_NONE: empty and the last one", $"a NONE chunk of {chunk.Length} bytes answered {Name()}")
            : chunk;

    private NbdRequestException ReadError(QueryChunk chunk)
    {
        if (chunk.Length > NbdLimits.MaxErrorChunkBytes)
        {
            throw new NbdProtocolException(
                "proto.md, NBD_REPLY_TYPE_ERROR: a message of at most 4096 bytes", $"an error chunk of {chunk.Length} bytes");
        }

        ReadOnlySpan<byte> payload = _channel.ReadPayload((int)chunk.Length).Span;
        if (!NbdErrorChunk.TryRead(chunk.Type, payload, out NbdErrorChunk error) || error.Error == 0)
        {
            throw new NbdProtocolException(
                "proto.md, NBD_REPLY_TYPE_ERROR: an error that is not 0, and a message of the length it names",
                $"a malformed error chunk of {chunk.Length} bytes");
        }

        return Failed((NbdError)NbdErrors.Normalize(error.Error), error.Message);
    }

    private NbdRequestException Failed(NbdError error, ReadOnlySpan<byte> text)
    {
        string words = NbdText.Sanitize(text, 512);
        string says = words.Length == 0 ? string.Empty : $"; the server says: {words}";
        return new NbdRequestException(
            error, $"the server failed {Name()} of {_length} bytes at {_offset}: {Native.Errno.Describe((int)error)}{says}");
    }

    private static void RequireCookie(ulong seen, ulong expected)
    {
        if (seen != expected)
        {
            throw new NbdProtocolException(
                "proto.md, Transmission: a reply names a command in flight", $"no command has the cookie 0x{seen:x16}");
        }
    }

    private NbdProtocolException BadMagic(ReadOnlySpan<byte> raw) => new(
        Negotiated.ExtendedHeaders
            ? "extension-ext-header: every reply begins with the magic 0x6e8a278c"
            : "proto.md, Transmission: a reply begins with its magic",
        $"a reply of {Convert.ToHexStringLower(raw)}");

    private NbdProtocolException Unexpected(QueryChunk chunk) => new(
        "proto.md, Structured reply types: a chunk has a type that is defined for its command",
        $"a chunk of type {(ushort)chunk.Type} answered {Name()}");

    private string Name() => _command == NbdCommand.Read ? "NBD_CMD_READ" : "NBD_CMD_BLOCK_STATUS";
}
