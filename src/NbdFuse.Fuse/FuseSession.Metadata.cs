using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

public sealed partial class FuseSession
{
    // A handle is only bits, so that a process that takes the mount over needs to know nothing of it.
    private const ulong HandleWritable = 1;
    private const ulong HandleUncached = 2;
    private const ulong RootNode = 1;
    private const ulong FileInDirectory = 2;
    private const uint PermissionBits = 0x1FF;
    private const int DirentSize = 24;

    // What stat shows as the preferred size of I/O, and what i_blkbits is made from.
    private const int SmallestBlock = 4096;
    private const int LargestBlock = 1 << 20;

    private byte[] _fileName = [];
    private ulong _fileNode;
    private uint _processUid;
    private FuseAttr _file;
    private FuseAttr _directory;
    private bool _contentChanged;

    private void InitialiseNodes()
    {
        FuseMountOptions mount = _options.Mount;
        _processUid = Posix.GetEuid();
        uint uid = mount.Uid ?? _processUid;
        uint gid = mount.Gid ?? Posix.GetEgid();
        uint allowed = PermissionBits & ~(mount.Umask ?? 0);

        // As libfuse: a umask alone is the whole mode, not only what is taken away from the usual one.
        bool umaskOnly = mount.Umask is not null && mount.Mode is null;
        uint mode = umaskOnly ? allowed : (mount.Mode ?? (_readOnly ? 0x124u : 0x1B6u)) & allowed;
        _fileNode = _options.FileName is null ? RootNode : FileInDirectory;
        _fileName = Encoding.UTF8.GetBytes(_options.FileName ?? string.Empty);
        _file = new FuseAttr
        {
            Inode = _fileNode,
            Size = (ulong)_size,
            Blocks = BlocksTaken(),
            Mode = FileStatus.TypeRegular | mode,
            Links = 1,
            Uid = uid,
            Gid = gid,
            BlockSize = BitOperations.RoundUpToPowerOf2((uint)Math.Clamp(_queue.Info.PreferredBlock, SmallestBlock, LargestBlock)),
        };
        _directory = new FuseAttr
        {
            Inode = RootNode,
            Mode = FileStatus.TypeDirectory | (umaskOnly ? allowed : (_readOnly ? 0x16Du : 0x1EDu) & allowed),
            Links = 2,
            Uid = uid,
            Gid = gid,
            BlockSize = SmallestBlock,
        };
        Now(out ulong seconds, out uint nanoseconds);
        (_file.AccessTime, _file.AccessTimeNs) = (seconds, nanoseconds);
        (_file.ModifyTime, _file.ModifyTimeNs) = (seconds, nanoseconds);
        (_file.ChangeTime, _file.ChangeTimeNs) = (seconds, nanoseconds);
        (_directory.AccessTime, _directory.AccessTimeNs) = (seconds, nanoseconds);
        (_directory.ModifyTime, _directory.ModifyTimeNs) = (seconds, nanoseconds);
        (_directory.ChangeTime, _directory.ChangeTimeNs) = (seconds, nanoseconds);
    }

    private bool GetAttributes(in FuseInHeader header, int buffer)
    {
        ref FuseAttr node = ref Node(header.NodeId);
        if (Unsafe.IsNullRef(ref node))
        {
            return Fail(header, buffer, Errno.ENOENT);
        }

        return Succeed(header, buffer, Attributes(node));
    }

    private bool SetAttributes(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        if (!TryBody(body, out FuseSetattrIn set))
        {
            return Malformed(header, buffer, body.Length + InHeaderSize);
        }

        ref FuseAttr node = ref Node(header.NodeId);
        if (Unsafe.IsNullRef(ref node))
        {
            return Fail(header, buffer, Errno.ENOENT);
        }

        int error = CheckAttributes(header, set, node);
        if (error != 0)
        {
            return Fail(header, buffer, error);
        }

        ApplyAttributes(set, ref node);
        _options.SavedState?.SaveAttributes(_file, _directory);
        return Succeed(header, buffer, Attributes(node));
    }

    private int CheckAttributes(in FuseInHeader header, in FuseSetattrIn set, in FuseAttr node)
    {
        FuseSetattrValid valid = set.Valid;
        if (_readOnly)
        {
            return Errno.EROFS;
        }

        if ((valid & FuseSetattrValid.Size) != 0)
        {
            if (header.NodeId != _fileNode)
            {
                return Errno.EISDIR;
            }

            if (set.Size != (ulong)_size && !IsOpenTruncate(set))
            {
                return Errno.EINVAL;
            }
        }

        bool isOwner = header.Uid == 0 || header.Uid == node.Uid;
        FuseSetattrValid owned = FuseSetattrValid.Mode;

        // Setting a time to "now" is for everybody who may write; another time is for the owner.
        owned |= (valid & FuseSetattrValid.AccessTimeNow) == 0 ? FuseSetattrValid.AccessTime : 0;
        owned |= (valid & (FuseSetattrValid.ModifyTimeNow | FuseSetattrValid.Size)) == 0 ? FuseSetattrValid.ModifyTime : 0;
        if ((valid & owned) != 0 && !isOwner)
        {
            return Errno.EPERM;
        }

        bool newUid = (valid & FuseSetattrValid.Uid) != 0 && set.Uid != node.Uid;
        bool newGid = (valid & FuseSetattrValid.Gid) != 0 && set.Gid != node.Gid;
        return (newUid || newGid) && header.Uid != 0 ? Errno.EPERM : 0;
    }

    /// <summary>
    /// Tells open(O_TRUNC) from ftruncate to 0: it comes without a handle. So does truncate(2) by path, which can't be told
    /// apart: it succeeds too.
    /// </summary>
    /// <remarks>
    /// It changes nothing, as on a block device: <c>cp image mnt/nbd</c> works. The answer carries the real size, which the
    /// kernel takes over before the open returns. (With ATOMIC_O_TRUNC the kernel would set its size to 0 by itself, and
    /// asynchronous direct reads would see the end of the file until somebody asks for the attributes.)
    /// </remarks>
    private static bool IsOpenTruncate(in FuseSetattrIn set) =>
        set.Size == 0 && (set.Valid & FuseSetattrValid.Handle) == 0;

    private static void ApplyAttributes(in FuseSetattrIn set, ref FuseAttr node)
    {
        FuseSetattrValid valid = set.Valid;
        Now(out ulong seconds, out uint nanoseconds);
        if ((valid & FuseSetattrValid.Mode) != 0)
        {
            node.Mode = (node.Mode & FileStatus.TypeMask) | (set.Mode & PermissionBits);
        }

        if ((valid & FuseSetattrValid.Uid) != 0)
        {
            node.Uid = set.Uid;
        }

        if ((valid & FuseSetattrValid.Gid) != 0)
        {
            node.Gid = set.Gid;
        }

        if ((valid & FuseSetattrValid.AccessTime) != 0)
        {
            bool now = (valid & FuseSetattrValid.AccessTimeNow) != 0;
            (node.AccessTime, node.AccessTimeNs) = now ? (seconds, nanoseconds) : (set.AccessTime, set.AccessTimeNs);
        }

        if ((valid & FuseSetattrValid.ModifyTime) != 0)
        {
            bool now = (valid & FuseSetattrValid.ModifyTimeNow) != 0;
            (node.ModifyTime, node.ModifyTimeNs) = now ? (seconds, nanoseconds) : (set.ModifyTime, set.ModifyTimeNs);
        }

        (node.ChangeTime, node.ChangeTimeNs) = (seconds, nanoseconds);
    }

    private bool Open(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        if (!TryBody(body, out FuseOpenIn open))
        {
            return Malformed(header, buffer, body.Length + InHeaderSize);
        }

        if (header.NodeId != _fileNode)
        {
            return Fail(header, buffer, Errno.EISDIR);
        }

        OpenFlags flags = Posix.FromNativeOpenFlags((int)open.Flags);
        bool writable = (flags & OpenFlags.AccessMode) != OpenFlags.ReadOnly;
        if (writable && _readOnly)
        {
            return Fail(header, buffer, Errno.EROFS);
        }

        FuseOpenOut reply = new() { Handle = writable ? HandleWritable : 0 };
        FuseMountOptions mount = _options.Mount;
        if (mount.DirectIo || (flags & OpenFlags.Direct) != 0)
        {
            reply.Handle |= HandleUncached;
            reply.OpenFlags = FuseOpenOutFlags.DirectIo | FuseOpenOutFlags.ParallelDirectWrites;
        }
        else if (mount.KernelCache || mount.AutoCache)
        {
            reply.OpenFlags = FuseOpenOutFlags.KeepCache;
        }

        if (!writable)
        {
            reply.OpenFlags |= FuseOpenOutFlags.NoFlush;
        }

        return Succeed(header, buffer, reply);
    }

    private bool StatFs(in FuseInHeader header, int buffer)
    {
        FuseKstatfs stat = new()
        {
            Blocks = ((ulong)_size + SmallestBlock - 1) / SmallestBlock,
            Files = 1,

            // A loop device on the file discards in units of this (loop_get_discard_config of the kernel).
            BlockSize = _file.BlockSize,
            FragmentSize = SmallestBlock,
            NameLength = 255,
        };
        return Succeed(header, buffer, new FuseStatfsOut { Stat = stat });
    }

    private bool Lookup(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        if (body.IsEmpty || body[^1] != 0)
        {
            return Malformed(header, buffer, body.Length + InHeaderSize);
        }

        if (header.NodeId != RootNode || _fileNode == RootNode)
        {
            return Fail(header, buffer, Errno.ENOTDIR);
        }

        if (!body[..^1].SequenceEqual(_fileName))
        {
            return Fail(header, buffer, Errno.ENOENT);
        }

        FuseAttrOut attributes = Attributes(Node(_fileNode));
        FuseEntryOut entry = new()
        {
            NodeId = _fileNode,
            EntryValid = (ulong)_options.Mount.EntryTimeoutMs / 1000,
            EntryValidNs = (uint)(_options.Mount.EntryTimeoutMs % 1000) * 1_000_000,
            AttrValid = attributes.AttrValid,
            AttrValidNs = attributes.AttrValidNs,
            Attr = attributes.Attr,
        };
        return Succeed(header, buffer, entry);
    }

    private bool OpenDirectory(in FuseInHeader header, int buffer) =>
        header.NodeId != RootNode || _fileNode == RootNode
            ? Fail(header, buffer, Errno.ENOTDIR)
            : Succeed(header, buffer, default(FuseOpenOut));

    private bool ReadDirectory(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        if (!TryBody(body, out FuseReadIn read))
        {
            return Malformed(header, buffer, body.Length + InHeaderSize);
        }

        if (header.NodeId != RootNode || _fileNode == RootNode)
        {
            return Fail(header, buffer, Errno.ENOTDIR);
        }

        int room = (int)Math.Min(read.Size, (uint)(FuseBuffers.SmallReply - FuseBuffers.ReplyHeader));
        Span<byte> reply = _buffers.Reply(buffer, FuseBuffers.ReplyHeader + room);
        Span<byte> entries = reply[FuseBuffers.ReplyHeader..];
        int length = 0;
        for (ulong index = read.Offset; index < 3; index++)
        {
            ReadOnlySpan<byte> name = index switch { 0 => "."u8, 1 => ".."u8, _ => _fileName };
            int record = (DirentSize + name.Length + 7) & ~7;
            if (record > room - length)
            {
                break;
            }

            FuseDirent entry = new()
            {
                Inode = index < 2 ? RootNode : _fileNode,
                Offset = index + 1,
                NameLength = (uint)name.Length,
                Type = (index < 2 ? _directory.Mode : _file.Mode) >> 12,
            };
            Span<byte> destination = entries.Slice(length, record);
            destination.Clear();
            MemoryMarshal.Write(destination, in entry);
            name.CopyTo(destination[DirentSize..]);
            length += record;
        }

        WriteOutHeader(reply, FuseBuffers.ReplyHeader + length, 0, header.Unique);
        Send(reply[..(FuseBuffers.ReplyHeader + length)]);
        return false;
    }

    private ref FuseAttr Node(ulong id)
    {
        if (id == _fileNode)
        {
            _file.Blocks = BlocksTaken();
            if (_contentChanged)
            {
                // Not at every write: the clock is asked when somebody looks.
                _contentChanged = false;
                Now(out _file.ModifyTime, out _file.ModifyTimeNs);
                (_file.ChangeTime, _file.ChangeTimeNs) = (_file.ModifyTime, _file.ModifyTimeNs);
            }

            return ref _file;
        }

        if (id == RootNode)
        {
            return ref _directory;
        }

        return ref Unsafe.NullRef<FuseAttr>();
    }

    private FuseAttrOut Attributes(in FuseAttr node)
    {
        long validMs = _options.Mount.AttributeTimeoutMs;
        validMs = KnowsHoles ? Math.Min(validMs, RoomTimeoutMs) : validMs;
        return new FuseAttrOut
        {
            AttrValid = (ulong)validMs / 1000,
            AttrValidNs = (uint)(validMs % 1000) * 1_000_000,
            Attr = node,
        };
    }

    private static void Now(out ulong seconds, out uint nanoseconds)
    {
        long ticks = DateTime.UtcNow.Ticks - DateTime.UnixEpoch.Ticks;
        seconds = (ulong)(ticks / TimeSpan.TicksPerSecond);
        nanoseconds = (uint)(ticks % TimeSpan.TicksPerSecond) * 100;
    }
}
