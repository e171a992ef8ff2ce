using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

public sealed partial class FuseSession
{
    private const int InHeaderSize = FuseSlotRecord.HeaderBytes;
    private const ulong ResendBit = FuseSlotRecord.ResendBit;

    /// <summary>Decodes and starts one request.</summary>
    /// <returns>True when the buffer stays in use.</returns>
    private bool Dispatch(int buffer, int length)
    {
        ReadOnlySpan<byte> message = _buffers.Request(buffer, length);
        if (length < InHeaderSize)
        {
            // Without a header there is no number to answer to.
            LogMalformed(_logger, 0, length);
            return false;
        }

        FuseInHeader header = MemoryMarshal.Read<FuseInHeader>(message);
        if (header.Length != length)
        {
            return Malformed(header, buffer, length);
        }

        ReadOnlySpan<byte> body = message[InHeaderSize..];
        if (_negotiation is null && header.Opcode != FuseOpcode.Init)
        {
            return Fail(header, buffer, Errno.EIO);
        }

        if (_options.Mount.AllowRoot && header.Uid != 0 && header.Uid != _processUid && IsForOwner(header.Opcode))
        {
            return Fail(header, buffer, Errno.EACCES);
        }

        switch (header.Opcode)
        {
            case FuseOpcode.Read:
                return Read(header, body, buffer);
            case FuseOpcode.Write:
                return Write(header, body, buffer);
            case FuseOpcode.Fsync:
                return Fsync(header, body, buffer);
            case FuseOpcode.Flush:
                return Flush(header, body, buffer);
            case FuseOpcode.Fallocate:
                return Fallocate(header, body, buffer);
            case FuseOpcode.Lseek:
                return Lseek(header, body, buffer);
            case FuseOpcode.Interrupt:
                return Interrupt(header, body, buffer);
            case FuseOpcode.Init:
                return Init(header, body, buffer);
            case FuseOpcode.Getattr:
                return GetAttributes(header, buffer);
            case FuseOpcode.Setattr:
                return SetAttributes(header, body, buffer);
            case FuseOpcode.Open:
                return Open(header, body, buffer);
            case FuseOpcode.Release:
                return Release(header, body, buffer);
            case FuseOpcode.Statfs:
                return StatFs(header, buffer);
            case FuseOpcode.Lookup:
                return Lookup(header, body, buffer);
            case FuseOpcode.Opendir:
                return OpenDirectory(header, buffer);
            case FuseOpcode.Readdir:
                return ReadDirectory(header, body, buffer);
            case FuseOpcode.Releasedir or FuseOpcode.Fsyncdir or FuseOpcode.Destroy:
                return Succeed(header, buffer);
            case FuseOpcode.Forget or FuseOpcode.BatchForget or FuseOpcode.NotifyReply:
                // Nothing is counted by node, and these have no answer.
                return false;
            case FuseOpcode.Ioctl:
                // "Not a terminal" is what a regular file says.
                return Fail(header, buffer, Errno.ENOTTY);
            case FuseOpcode.Create or FuseOpcode.Mknod or FuseOpcode.Mkdir or FuseOpcode.Unlink or FuseOpcode.Rmdir or
                FuseOpcode.Rename or FuseOpcode.Rename2 or FuseOpcode.Link or FuseOpcode.Symlink or FuseOpcode.Tmpfile:
                return Fail(header, buffer, _readOnly ? Errno.EROFS : Errno.EPERM);
            default:
                // The kernel remembers it and does not ask again.
                return Fail(header, buffer, Errno.ENOSYS);
        }
    }

    // Those that need a handle were let in when it was opened (libfuse makes the same exceptions).
    private static bool IsForOwner(FuseOpcode opcode) => opcode is not (
        FuseOpcode.Init or FuseOpcode.Read or FuseOpcode.Write or FuseOpcode.Fsync or FuseOpcode.Flush or FuseOpcode.Release or
        FuseOpcode.Readdir or FuseOpcode.Fsyncdir or FuseOpcode.Releasedir or FuseOpcode.NotifyReply or FuseOpcode.Interrupt or
        FuseOpcode.Forget or FuseOpcode.BatchForget or FuseOpcode.Destroy);

    private static bool HasReply(FuseOpcode opcode) =>
        opcode is not (FuseOpcode.Forget or FuseOpcode.BatchForget or FuseOpcode.NotifyReply or FuseOpcode.Interrupt);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryBody<T>(ReadOnlySpan<byte> body, out T value)
        where T : unmanaged => MemoryMarshal.TryRead(body, out value);

    private bool Malformed(in FuseInHeader header, int buffer, int length)
    {
        LogMalformed(_logger, (uint)header.Opcode, length);
        return HasReply(header.Opcode) && Fail(header, buffer, Errno.EINVAL);
    }

    private bool Succeed(in FuseInHeader header, int buffer)
    {
        Answer(buffer, header.Unique, 0);
        return false;
    }

    private bool Fail(in FuseInHeader header, int buffer, int error)
    {
        Answer(buffer, header.Unique, error);
        return false;
    }

    private bool Succeed<T>(in FuseInHeader header, int buffer, in T body)
        where T : unmanaged
    {
        AnswerWith(buffer, header.Unique, body, Unsafe.SizeOf<T>());
        return false;
    }

    private void AnswerWith<T>(int buffer, ulong unique, in T body, int bodyLength)
        where T : unmanaged
    {
        Span<byte> reply = _buffers.Reply(buffer, FuseBuffers.ReplyHeader + Unsafe.SizeOf<T>());
        WriteOutHeader(reply, FuseBuffers.ReplyHeader + bodyLength, 0, unique);
        MemoryMarshal.Write(reply[FuseBuffers.ReplyHeader..], in body);
        Send(reply[..(FuseBuffers.ReplyHeader + bodyLength)]);
    }

    private void Answer(int buffer, ulong unique, int error)
    {
        Span<byte> reply = _buffers.Reply(buffer, FuseBuffers.ReplyHeader);
        WriteOutHeader(reply, FuseBuffers.ReplyHeader, error, unique);
        Send(reply);
    }

    private static void WriteOutHeader(Span<byte> destination, int length, int error, ulong unique)
    {
        // Beyond 511 the kernel refuses the answer, and the caller would wait for ever.
        FuseOutHeader header = new()
        {
            Length = (uint)length,
            Error = error is < 0 or > 511 ? -Errno.EIO : -error,
            Unique = unique,
        };
        MemoryMarshal.Write(destination, in header);
    }

    private void Send(ReadOnlySpan<byte> reply)
    {
        if (_ended)
        {
            return;
        }

        int result = Posix.Write(_fd, reply);
        if (result < 0 && !IsGone(result))
        {
            Interlocked.Increment(ref _failedReplies);
            LogRefused(_logger, -result);
        }
    }

    // ENOENT: the request is gone (its caller was killed, or the connection aborted). ENODEV, EPERM: unmounted.
    private static bool IsGone(int result) =>
        result is -Errno.ENOENT or -Errno.ENODEV or -Errno.EPERM or -Errno.ENOTCONN or -Errno.ECONNABORTED or -Errno.EPIPE;
}
