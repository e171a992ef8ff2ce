using System.Text;
using NbdFuse.Protocol;

namespace NbdFuse.TestKit;

/// <content>The transmission phase.</content>
public sealed partial class NbdScript
{
    /// <summary>Waits for the next request, whichever it is.</summary>
    public async Task<ScriptedRequest> ReadRequest()
    {
        byte[] data = await ReceiveAsync(NbdRequestHeader.Size, "a request").ConfigureAwait(false);
        if (!NbdRequestHeader.TryRead(data, out NbdRequestHeader header))
        {
            throw new ScriptException($"Not the header of a request: {Convert.ToHexString(data)}");
        }

        if (header.Command == NbdCommand.Write && header.Length > NbdLimits.MaxPayloadBytes)
        {
            throw new ScriptException($"The client sends a WRITE of {header.Length} bytes.");
        }

        byte[] payload = header.Command == NbdCommand.Write
            ? await ReceiveAsync((int)header.Length, "the payload of a WRITE").ConfigureAwait(false)
            : [];
        return new ScriptedRequest(header, payload);
    }

    /// <summary>Waits for a request that must be of this kind.</summary>
    /// <param name="expected">The command.</param>
    public async Task<ScriptedRequest> ExpectRequest(NbdCommand expected)
    {
        ScriptedRequest request = await ReadRequest().ConfigureAwait(false);
        return request.Command == expected
            ? request
            : throw new ScriptException($"The client sent {request.Header} instead of {expected}.");
    }

    /// <summary>Waits for the polite end: NBD_CMD_DISC and then the close.</summary>
    public async Task ExpectDisconnect()
    {
        await ExpectRequest(NbdCommand.Disc).ConfigureAwait(false);
        await ExpectClose().ConfigureAwait(false);
    }

    /// <summary>Sends a simple reply.</summary>
    /// <param name="cookie">Cookie of the request.</param>
    /// <param name="error">Error number; 0 is success.</param>
    /// <param name="data">Data of a READ.</param>
    public Task SendSimpleReply(ulong cookie, uint error = 0, ReadOnlyMemory<byte> data = default)
    {
        byte[] reply = new byte[NbdSimpleReplyHeader.Size + data.Length];
        NbdSimpleReplyHeader.Write(reply, error, cookie);
        data.CopyTo(reply.AsMemory(NbdSimpleReplyHeader.Size));
        return SendAsync(reply);
    }

    /// <summary>Sends a chunk of a structured reply, legal or not.</summary>
    /// <param name="cookie">Cookie of the request.</param>
    /// <param name="type">Type of the chunk.</param>
    /// <param name="flags">Reply flags.</param>
    /// <param name="payload">Its payload.</param>
    public Task SendChunk(ulong cookie, NbdReplyType type, NbdReplyFlags flags, ReadOnlyMemory<byte> payload = default)
    {
        byte[] chunk = new byte[NbdStructuredReplyHeader.Size + payload.Length];
        NbdStructuredReplyHeader.Write(chunk, flags, type, cookie, (uint)payload.Length);
        payload.CopyTo(chunk.AsMemory(NbdStructuredReplyHeader.Size));
        return SendAsync(chunk);
    }

    /// <summary>Sends an OFFSET_DATA chunk.</summary>
    /// <param name="cookie">Cookie of the request.</param>
    /// <param name="offset">Offset in the export, in bytes.</param>
    /// <param name="data">The data.</param>
    /// <param name="done">Whether it is the last chunk.</param>
    public Task SendDataChunk(ulong cookie, long offset, ReadOnlyMemory<byte> data, bool done = false)
    {
        byte[] payload = new byte[NbdOffsetDataChunk.Size + data.Length];
        NbdOffsetDataChunk.Write(payload, (ulong)offset);
        data.CopyTo(payload.AsMemory(NbdOffsetDataChunk.Size));
        return SendChunk(cookie, NbdReplyType.OffsetData, Flag(done), payload);
    }

    /// <summary>Sends an OFFSET_HOLE chunk.</summary>
    /// <param name="cookie">Cookie of the request.</param>
    /// <param name="offset">Offset in the export, in bytes.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="done">Whether it is the last chunk.</param>
    public Task SendHoleChunk(ulong cookie, long offset, uint length, bool done = false)
    {
        byte[] payload = new byte[NbdOffsetHoleChunk.Size];
        NbdOffsetHoleChunk.Write(payload, (ulong)offset, length);
        return SendChunk(cookie, NbdReplyType.OffsetHole, Flag(done), payload);
    }

    /// <summary>Sends an ERROR chunk, or ERROR_OFFSET when there is an offset.</summary>
    /// <param name="cookie">Cookie of the request.</param>
    /// <param name="error">Error number.</param>
    /// <param name="message">Text for the user.</param>
    /// <param name="offset">Where it happened, in bytes.</param>
    /// <param name="done">Whether it is the last chunk.</param>
    public Task SendErrorChunk(ulong cookie, uint error, string message = "", long? offset = null, bool done = true)
    {
        byte[] text = Encoding.UTF8.GetBytes(message);
        byte[] payload = new byte[NbdErrorChunk.GetSize(text.Length, offset.HasValue)];
        if (offset is long at)
        {
            NbdErrorChunk.WriteErrorOffset(payload, error, text, (ulong)at);
        }
        else
        {
            NbdErrorChunk.WriteError(payload, error, text);
        }

        return SendChunk(cookie, offset is null ? NbdReplyType.Error : NbdReplyType.ErrorOffset, Flag(done), payload);
    }

    /// <summary>Sends a NONE chunk, which ends a reply.</summary>
    /// <param name="cookie">Cookie of the request.</param>
    public Task SendDoneChunk(ulong cookie) => SendChunk(cookie, NbdReplyType.None, NbdReplyFlags.Done);

    /// <summary>Answers one request well, from a disk that is an array.</summary>
    /// <param name="request">The request.</param>
    /// <param name="disk">The disk.</param>
    public Task AnswerAsync(ScriptedRequest request, byte[] disk)
    {
        switch (request.Command)
        {
            case NbdCommand.Read:
                ReadOnlyMemory<byte> data = disk.AsMemory((int)request.Offset, request.Length);
                return Structured
                    ? SendDataChunk(request.Cookie, request.Offset, data, done: true)
                    : SendSimpleReply(request.Cookie, 0, data);

            case NbdCommand.Write:
                request.Payload.CopyTo(disk, request.Offset);
                break;

            case NbdCommand.WriteZeroes:
                Array.Clear(disk, (int)request.Offset, request.Length);
                break;
        }

        return SendSimpleReply(request.Cookie);
    }

    /// <summary>Answers requests well until the client disconnects.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="filter">Asked first; true means that it has dealt with the request.</param>
    public async Task ServeAsync(byte[] disk, Func<ScriptedRequest, Task<bool>>? filter = null)
    {
        while (true)
        {
            ScriptedRequest request = await ReadRequest().ConfigureAwait(false);
            if (request.Command == NbdCommand.Disc)
            {
                return;
            }

            if (filter is null || !await filter(request).ConfigureAwait(false))
            {
                await AnswerAsync(request, disk).ConfigureAwait(false);
            }
        }
    }

    private static NbdReplyFlags Flag(bool done) => done ? NbdReplyFlags.Done : NbdReplyFlags.None;
}
