using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

public sealed partial class FuseSession
{
    // Writes that have been acknowledged, and how many of those a completed Flush covers. Kept per file, not per handle:
    // handles carry only what they are told (see HandleWritable), so that another process can go on with them.
    private long _writes;
    private long _flushedWrites;

    private bool Read(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        if (!TryBody(body, out FuseReadIn read) || read.Size > FuseBuffers.MaximumPayload || read.Offset > long.MaxValue)
        {
            return Malformed(header, buffer, body.Length + InHeaderSize);
        }

        if (header.NodeId != _fileNode)
        {
            return Fail(header, buffer, Errno.EISDIR);
        }

        // The only short READ is the one that crosses the end: any other would shrink the kernel's idea of the file.
        long length = Math.Min(read.Size, _size - (long)read.Offset);
        if (length <= 0)
        {
            return Succeed(header, buffer);
        }

        if (!TryRent(header, buffer, out BlockRequest? request))
        {
            return false;
        }

        request.Operation = BlockOperation.Read;
        request.Offset = (long)read.Offset;
        request.Length = length;
        request.Buffer = _buffers.Payload(buffer, (int)length);
        request.Sink = this;
        _queue.Submit(request, _arrivedMs);
        return true;
    }

    private bool Write(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        int inSize = FuseBuffers.WriteHeader - InHeaderSize;
        if (!TryBody(body, out FuseWriteIn write) || write.Size > body.Length - inSize || write.Offset > long.MaxValue)
        {
            return Malformed(header, buffer, body.Length + InHeaderSize);
        }

        if (header.NodeId != _fileNode)
        {
            return Fail(header, buffer, Errno.EISDIR);
        }

        if (_readOnly)
        {
            return Fail(header, buffer, Errno.EROFS);
        }

        if (write.Size == 0)
        {
            return Succeed(header, buffer, default(FuseWriteOut));
        }

        // As a block device: what fits is written, and nothing fits at the end.
        long length = Math.Min(write.Size, _size - (long)write.Offset);
        if (length <= 0)
        {
            return Fail(header, buffer, Errno.ENOSPC);
        }

        if (!TryRent(header, buffer, out BlockRequest? request))
        {
            return false;
        }

        request.Operation = BlockOperation.Write;
        request.Offset = (long)write.Offset;
        request.Length = length;
        request.Buffer = _buffers.Payload(buffer, (int)length);

        // Through the page cache an FSYNC follows a synchronous write; past it nothing does.
        bool synchronous = (Posix.FromNativeOpenFlags((int)write.Flags) & OpenFlags.DataSync) != 0;
        if (synchronous && (write.Handle & HandleUncached) != 0)
        {
            request.Flags = BlockRequestFlags.Fua;
        }

        _states[request.Tag].Written = (int)length;
        NoteChange(request.Offset, request.Length);
        _queue.Submit(request, _arrivedMs);
        return true;
    }

    private bool Fsync(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        if (!TryBody(body, out FuseFsyncIn _))
        {
            return Malformed(header, buffer, body.Length + InHeaderSize);
        }

        return header.NodeId == _fileNode ? StartFlush(header, buffer) : Succeed(header, buffer);
    }

    private bool Flush(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        if (!TryBody(body, out FuseFlushIn flush))
        {
            return Malformed(header, buffer, body.Length + InHeaderSize);
        }

        // Not while the server is away: see FreeCloses. An fsync does wait, and the end of the mount flushes, or says what is lost.
        if (!NeedsFlush(flush.Handle) || IsDeviceStalled)
        {
            return Succeed(header, buffer);
        }

        Tick();
        return StartFlush(header, buffer);
    }

    private bool Release(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        if (!TryBody(body, out FuseReleaseIn release))
        {
            return Malformed(header, buffer, body.Length + InHeaderSize);
        }

        // A shared mapping outlives its descriptor: what it wrote came after the FLUSH of the close.
        return NeedsFlush(release.Handle) ? StartFlush(header, buffer) : Succeed(header, buffer);
    }

    private bool NeedsFlush(ulong handle) => (handle & HandleWritable) != 0 && _writes != _flushedWrites;

    private bool StartFlush(in FuseInHeader header, int buffer)
    {
        if (!TryRent(header, buffer, out BlockRequest? request))
        {
            return false;
        }

        request.Operation = BlockOperation.Flush;
        _states[request.Tag].WritesBefore = _writes;
        _queue.Submit(request, _arrivedMs);
        return true;
    }

    private bool Fallocate(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        if (!TryBody(body, out FuseFallocateIn allocate) || allocate.Offset > long.MaxValue || allocate.Length > long.MaxValue)
        {
            return Malformed(header, buffer, body.Length + InHeaderSize);
        }

        if (header.NodeId != _fileNode)
        {
            return Fail(header, buffer, Errno.EISDIR);
        }

        if (_readOnly)
        {
            return Fail(header, buffer, Errno.EROFS);
        }

        BlockOperation operation;
        BlockRequestFlags flags = BlockRequestFlags.None;
        bool keepsSize = (allocate.Mode & Posix.FallocateKeepSize) != 0;
        switch ((int)allocate.Mode)
        {
            case Posix.FallocatePunchHole | Posix.FallocateKeepSize:
                // Callers rely on zeroes behind a punched hole: loop devices write zeroes by it.
                operation = _options.Punch == PunchMode.Trim ? BlockOperation.Trim : BlockOperation.WriteZeroes;
                break;
            case Posix.FallocateZeroRange:
            case Posix.FallocateZeroRange | Posix.FallocateKeepSize:
                operation = BlockOperation.WriteZeroes;
                flags = BlockRequestFlags.NoHole;
                break;
            default:
                // Reserving space (mode 0) can't be promised for a device; the C library falls back to writing.
                return Fail(header, buffer, Errno.EOPNOTSUPP);
        }

        long offset = (long)allocate.Offset;
        long length = (long)allocate.Length;
        if (offset >= _size || (!keepsSize && length > _size - offset))
        {
            return Fail(header, buffer, Errno.ENOSPC);
        }

        if (!TryRent(header, buffer, out BlockRequest? request))
        {
            return false;
        }

        request.Operation = operation;
        request.Flags = flags;
        request.Offset = offset;
        request.Length = Math.Min(length, _size - offset);
        NoteChange(request.Offset, request.Length);
        _queue.Submit(request, _arrivedMs);
        return true;
    }

    private bool Lseek(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        if (!TryBody(body, out FuseLseekIn seek))
        {
            return Malformed(header, buffer, body.Length + InHeaderSize);
        }

        ulong size = (ulong)_size;
        return (int)seek.Whence switch
        {
            _ when header.NodeId != _fileNode => Fail(header, buffer, Errno.EISDIR),
            Posix.SeekData or Posix.SeekHole when seek.Offset >= size => Fail(header, buffer, Errno.ENXIO),
            Posix.SeekData or Posix.SeekHole when KnowsHoles =>
                Search(header, buffer, (long)seek.Offset, (int)seek.Whence == Posix.SeekHole),

            // Everything is data, up to the hole that every file has at its end.
            Posix.SeekData => Succeed(header, buffer, new FuseLseekOut { Offset = seek.Offset }),
            Posix.SeekHole => Succeed(header, buffer, new FuseLseekOut { Offset = size }),
            _ => Fail(header, buffer, Errno.EINVAL),
        };
    }
}
