using System.Buffers;
using System.Text;
using Microsoft.Extensions.Logging;
using NbdFuse.Protocol;

namespace NbdFuse.Server;

/// <summary>
/// The transmission phase of one connection. Requests are executed in the order of their arrival, so that overlapping ones
/// keep it; all that have arrived together are answered by one send.
/// </summary>
internal sealed partial class ServerTransmission : IDisposable
{
    // A payload that is too long but no attack is skipped and answered; a longer one ends the connection.
    private const uint MaximumSkip = 2 * NbdLimits.MaxPayloadBytes;

    // Payload buffers above this go back to the pool after use.
    private const int KeptPayload = 1 << 20;

    private readonly NbdServerExport _export;
    private readonly IBackend _backend;
    private readonly bool _structured;
    private readonly bool _extended;
    private readonly bool _hasStatus;
    private readonly WireReader _reader;
    private readonly WireWriter _writer;
    private readonly ILogger _logger;
    private readonly long _id;
    private byte[] _payload = [];

    public ServerTransmission(
        NbdServerExport export,
        bool structured,
        bool extended,
        bool hasStatus,
        WireReader reader,
        WireWriter writer,
        ILogger logger,
        long id)
    {
        _export = export;
        _backend = export.Backend;
        _structured = structured;
        _extended = extended;
        _hasStatus = hasStatus;
        _reader = reader;
        _writer = writer;
        _logger = logger;
        _id = id;
    }

    /// <summary>Serves until the client disconnects.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        while (true)
        {
            if (_reader.Buffered.Length < HeaderSize)
            {
                await _writer.FlushAsync(cancellation).ConfigureAwait(false);
                if (!await _reader.FillAsync(HeaderSize, cancellation).ConfigureAwait(false))
                {
                    return;
                }
            }

            NbdExtendedRequestHeader request = ReadHeader();
            if (request.Command == NbdCommand.Disc)
            {
                await _writer.FlushAsync(cancellation).ConfigureAwait(false);
                return;
            }

            if (request.HasPayload)
            {
                bool more = request.Command switch
                {
                    NbdCommand.Write => await WriteAsync(request, cancellation).ConfigureAwait(false),
                    NbdCommand.BlockStatus => await FilteredStatusAsync(request, cancellation).ConfigureAwait(false),
                    _ => await RefusePayloadAsync(request, cancellation).ConfigureAwait(false),
                };
                if (!more)
                {
                    return;
                }
            }
            else
            {
                Execute(in request);
            }

            if (_writer.Pending >= WireWriter.Threshold)
            {
                await _writer.FlushAsync(cancellation).ConfigureAwait(false);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => ReleasePayload();

    private async ValueTask<bool> WriteAsync(NbdExtendedRequestHeader request, CancellationToken cancellation)
    {
        int length = (int)request.Length;
        NbdError error = CheckWrite(in request, out string message);
        if (error != NbdError.None)
        {
            // The payload follows whether we like the request or not.
            Answer(in request, error, message);
            return await _reader.SkipAsync(length, cancellation).ConfigureAwait(false);
        }

        bool fua = (request.Flags & NbdCommandFlags.Fua) != 0;
        if (length <= _reader.Buffered.Length)
        {
            error = length == 0 ? NbdError.None : _backend.Write((long)request.Offset, _reader.Buffered[..length], fua);
            _reader.Consume(length);
        }
        else
        {
            // The rest may take long: those who have been served need not wait for it.
            await _writer.FlushAsync(cancellation).ConfigureAwait(false);
            Memory<byte> payload = ObtainPayload(length);
            if (!await _reader.ReadAsync(payload, cancellation).ConfigureAwait(false))
            {
                return false;
            }

            error = _backend.Write((long)request.Offset, payload.Span, fua);
            if (length > KeptPayload)
            {
                ReleasePayload();
            }
        }

        Answer(in request, error, "the backend failed to write");
        return true;
    }

    private void Execute(in NbdExtendedRequestHeader request)
    {
        switch (request.Command)
        {
            case NbdCommand.Read:
                Read(in request);
                break;

            case NbdCommand.Flush:
                Answer(in request, Flush(in request, out string message), message);
                break;

            case NbdCommand.Trim:
                Answer(in request, Trim(in request, out message), message);
                break;

            case NbdCommand.WriteZeroes:
                Answer(in request, Zero(in request, out message), message);
                break;

            case NbdCommand.Cache:
                Answer(in request, Cache(in request, out message), message);
                break;

            case NbdCommand.BlockStatus:
                BlockStatus(in request, _hasStatus);
                break;

            default:
                Answer(in request, NbdError.Inval, "unknown command");
                break;
        }
    }

    private NbdError CheckWrite(in NbdExtendedRequestHeader request, out string message)
    {
        NbdError error = CheckMutation(in request, NbdCommandFlags.Fua, out message);
        if (error == NbdError.None && request.Length > MaximumPayload)
        {
            message = $"a WRITE may have {MaximumPayload} bytes";
            return NbdError.Inval;
        }

        return error;
    }

    private uint MaximumPayload => Math.Min(_export.BlockSizes.Maximum, NbdLimits.MaxPayloadBytes);

    private NbdError CheckMutation(in NbdExtendedRequestHeader request, NbdCommandFlags allowed, out string message)
    {
        if (_export.IsReadOnly)
        {
            message = "the export is read-only";
            return NbdError.Perm;
        }

        // Past the end, a WRITE or WRITE_ZEROES gets ENOSPC (proto.md, "Error values").
        return CheckRange(in request, allowed, request.Command == NbdCommand.Trim ? NbdError.Inval : NbdError.NoSpc, out message);
    }

    private NbdError CheckRange(in NbdExtendedRequestHeader request, NbdCommandFlags allowed, NbdError pastEnd, out string message)
    {
        // FUA is tolerated on every command (proto.md, "Command flags").
        // A payload where there may be none has been refused already.
        if ((request.Flags & ~(allowed | NbdCommandFlags.PayloadLen | NbdCommandFlags.Fua)) != 0)
        {
            message = "a flag that this command does not have";
            return NbdError.Inval;
        }

        ulong size = (ulong)_backend.Size;
        if (request.Offset > size || request.Length > size - request.Offset)
        {
            message = $"the range ends after the export's {size} bytes";
            return pastEnd;
        }

        uint minimum = _export.BlockSizes.Minimum;
        if ((request.Offset | request.Length) % minimum != 0)
        {
            message = $"offset and length must be multiples of {minimum}";
            return NbdError.Inval;
        }

        message = string.Empty;
        return NbdError.None;
    }

    private NbdError Flush(in NbdExtendedRequestHeader request, out string message)
    {
        message = "the backend failed to flush";
        if (request.Offset != 0 || request.Length != 0 || (request.Flags & ~NbdCommandFlags.Fua) != 0)
        {
            message = "FLUSH has neither offset, length nor flags";
            return NbdError.Inval;
        }

        return _backend.Flush();
    }

    private NbdError Trim(in NbdExtendedRequestHeader request, out string message)
    {
        NbdError error = CheckMutation(in request, NbdCommandFlags.Fua, out message);
        if (error != NbdError.None || request.Length == 0)
        {
            return error;
        }

        message = "the backend failed to trim";
        return _backend.Trim((long)request.Offset, (long)request.Length, (request.Flags & NbdCommandFlags.Fua) != 0);
    }

    private NbdError Zero(in NbdExtendedRequestHeader request, out string message)
    {
        NbdError error = CheckMutation(
            in request, NbdCommandFlags.Fua | NbdCommandFlags.NoHole | NbdCommandFlags.FastZero, out message);
        if (error != NbdError.None || request.Length == 0)
        {
            return error;
        }

        message = "the backend failed to write zeroes";
        return _backend.Zero(
            (long)request.Offset,
            (long)request.Length,
            noHole: (request.Flags & NbdCommandFlags.NoHole) != 0,
            fast: (request.Flags & NbdCommandFlags.FastZero) != 0,
            fua: (request.Flags & NbdCommandFlags.Fua) != 0);
    }

    private NbdError Cache(in NbdExtendedRequestHeader request, out string message)
    {
        NbdError error = CheckRange(in request, NbdCommandFlags.None, NbdError.Inval, out message);
        if (error != NbdError.None || request.Length == 0)
        {
            return error;
        }

        message = "the backend failed to read ahead";
        return _backend.Cache((long)request.Offset, (long)request.Length);
    }

    private void Read(in NbdExtendedRequestHeader request)
    {
        NbdError error = CheckRange(
            in request, _structured ? NbdCommandFlags.Df : NbdCommandFlags.None, NbdError.Inval, out string message);
        if (error == NbdError.None && request.Length > MaximumPayload)
        {
            error = NbdError.Overflow;
            message = $"a READ may have {MaximumPayload} bytes";
        }

        if (error != NbdError.None)
        {
            Answer(in request, error, message);
            return;
        }

        int mark = _writer.Pending;
        error = _structured ? ReadChunks(in request) : ReadSimple(in request);
        if (error != NbdError.None)
        {
            // Nothing of the reply has left the buffer yet.
            _writer.RewindTo(mark);
            Answer(in request, error, "the backend failed to read");
        }
    }

    private NbdError ReadSimple(in NbdExtendedRequestHeader request)
    {
        Span<byte> frame = _writer.GetSpan(NbdSimpleReplyHeader.Size + (int)request.Length);
        NbdSimpleReplyHeader.Write(frame, 0, request.Cookie);
        _writer.Advance(frame.Length);
        return request.Length == 0
            ? NbdError.None
            : _backend.Read((long)request.Offset, frame[NbdSimpleReplyHeader.Size..]);
    }

    private NbdError ReadChunks(in NbdExtendedRequestHeader request)
    {
        if (request.Length == 0)
        {
            Chunk(in request, NbdReplyType.None, NbdReplyFlags.Done, 0);
            return NbdError.None;
        }

        bool whole = (request.Flags & NbdCommandFlags.Df) != 0;
        long offset = (long)request.Offset;
        long end = offset + (long)request.Length;
        while (offset < end)
        {
            long length = _backend.NextExtent(offset, end - offset, out bool isHole);
            if (whole && length != end - offset)
            {
                isHole = false;
                length = end - offset;
            }

            NbdReplyFlags flags = offset + length == end ? NbdReplyFlags.Done : NbdReplyFlags.None;
            if (isHole)
            {
                NbdOffsetHoleChunk.Write(
                    Chunk(in request, NbdReplyType.OffsetHole, flags, NbdOffsetHoleChunk.Size), (ulong)offset, (uint)length);
            }
            else
            {
                Span<byte> payload = Chunk(
                    in request, NbdReplyType.OffsetData, flags, NbdOffsetDataChunk.Size + (int)length);
                NbdOffsetDataChunk.Write(payload, (ulong)offset);
                NbdError error = _backend.Read(offset, payload[NbdOffsetDataChunk.Size..]);
                if (error != NbdError.None)
                {
                    return error;
                }
            }

            offset += length;
        }

        return NbdError.None;
    }

    private void Answer(in NbdExtendedRequestHeader request, NbdError error, string message)
    {
        if (error != NbdError.None && _logger.IsEnabled(LogLevel.Debug))
        {
            Log.RequestFailed(
                _logger, _id, request.Command.ToString(), request.Offset, request.Length, error.ToString(), message);
        }

        if (error != NbdError.None && _structured)
        {
            // A READ must be answered by chunks, others may be; only a chunk has room for the reason.
            byte[] text = Encoding.UTF8.GetBytes(message);
            NbdErrorChunk.WriteError(
                Chunk(in request, NbdReplyType.Error, NbdReplyFlags.Done, NbdErrorChunk.GetSize(text.Length, withOffset: false)),
                (uint)error,
                text);
            return;
        }

        if (_extended)
        {
            Chunk(in request, NbdReplyType.None, NbdReplyFlags.Done, 0);
            return;
        }

        NbdSimpleReplyHeader.Write(_writer.GetSpan(NbdSimpleReplyHeader.Size), (uint)error, request.Cookie);
        _writer.Advance(NbdSimpleReplyHeader.Size);
    }

    private Memory<byte> ObtainPayload(int length)
    {
        if (_payload.Length < length)
        {
            ReleasePayload();
            _payload = ArrayPool<byte>.Shared.Rent(length);
        }

        return _payload.AsMemory(0, length);
    }

    private void ReleasePayload()
    {
        if (_payload.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_payload);
            _payload = [];
        }
    }
}
