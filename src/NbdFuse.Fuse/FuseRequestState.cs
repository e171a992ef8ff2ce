using NbdFuse.Block;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

/// <summary>What the session remembers of a request in flight; one per slot of the queue, found by its tag.</summary>
internal struct FuseRequestState
{
    /// <summary>The slot is in use.</summary>
    public bool Active;

    /// <summary>The kernel asked to interrupt it.</summary>
    public bool Interrupted;

    /// <summary>The request of the slot.</summary>
    public BlockRequest? Request;

    /// <summary>What the kernel asked for.</summary>
    public FuseOpcode Opcode;

    /// <summary>Number of its buffer.</summary>
    public int Buffer;

    /// <summary>Bytes of a WRITE that are answered for.</summary>
    public int Written;

    /// <summary>The kernel's number of the request.</summary>
    public ulong Unique;

    /// <summary>For an Lseek: where the kernel wants to search from, in bytes.</summary>
    public long SeekFrom;

    /// <summary>For an Lseek: a hole is searched for, not data.</summary>
    public bool SeeksHole;

    /// <summary>For an Lseek: how many times the device was asked.</summary>
    public int Questions;

    /// <summary>For an Lseek: start of a range with all changes that were under way at any time of the search, in bytes.</summary>
    public long ChangedStart;

    /// <summary>For an Lseek: end of that range; there is none when it is not larger than the start.</summary>
    public long ChangedEnd;

    /// <summary>For a Flush: how many writes had been completed when it began.</summary>
    public long WritesBefore;
}
