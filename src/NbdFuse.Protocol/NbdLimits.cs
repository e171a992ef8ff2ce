namespace NbdFuse.Protocol;

/// <summary>
/// Every limit that a length from the peer meets before it meets an allocator. "Specification" marks numbers from
/// proto.md, "ours" those chosen here.
/// </summary>
public static class NbdLimits
{
    /// <summary>TCP port of NBD. Specification ("Newstyle negotiation"; IANA).</summary>
    public const int DefaultPort = 10809;

    /// <summary>Longest string, in bytes of UTF-8. Specification ("Conventions": never above 4096).</summary>
    public const int MaxStringBytes = 4096;

    /// <summary>
    /// Data of one option reply that a client accepts, in bytes. Ours: the largest legal one that it asks for is
    /// NBD_REP_SERVER with a name and a description of <see cref="MaxStringBytes"/> each; the rest is room for
    /// information types to come. (libnbd: 64 MiB.)
    /// </summary>
    public const int MaxOptionReplyBytes = 64 * 1024;

    /// <summary>
    /// Data of one option that a server accepts, in bytes. Ours: a name of <see cref="MaxStringBytes"/> and more
    /// information requests than there are types.
    /// </summary>
    public const int MaxOptionRequestBytes = 64 * 1024;

    /// <summary>
    /// All bytes that a server may send from its greeting to the start of transmission, NBD_OPT_LIST excluded. Ours: a
    /// peer that goes on sending unknown information for ever is no server.
    /// </summary>
    public const int MaxHandshakeBytes = 1024 * 1024;

    /// <summary>All bytes of the replies to one NBD_OPT_LIST. Ours.</summary>
    public const int MaxListBytes = 16 * 1024 * 1024;

    /// <summary>Exports in the replies to one NBD_OPT_LIST. Ours.</summary>
    public const int MaxListedExports = 65536;

    /// <summary>
    /// Payload of a READ or WRITE, in bytes, when the server advertised no maximum, and the most that this program
    /// ever sends or accepts. Specification ("Size constraints": up to 2^25 is no denial of service).
    /// </summary>
    public const int MaxPayloadBytes = 32 * 1024 * 1024;

    /// <summary>Minimum block, in bytes, when the server advertised none. Specification ("Size constraints").</summary>
    public const uint DefaultMinimumBlock = 1;

    /// <summary>
    /// Granularity of requests, in bytes, that works everywhere when nothing was advertised. Specification ("Size
    /// constraints": a client should assume 512).
    /// </summary>
    public const uint DefaultGranularity = 512;

    /// <summary>Preferred block, in bytes, when nothing was advertised. Specification ("Size constraints").</summary>
    public const uint DefaultPreferredBlock = 4096;

    /// <summary>Largest minimum block, in bytes. Specification ("Size constraints": at most 2^16).</summary>
    public const uint MaxMinimumBlock = 65536;

    /// <summary>Smallest preferred block, in bytes. Specification ("Size constraints").</summary>
    public const uint MinPreferredBlock = 512;

    /// <summary>
    /// A maximum block that means "no limit but the width of the field". Specification ("Size constraints").
    /// </summary>
    public const uint UnlimitedBlock = 0xffffffff;

    /// <summary>
    /// Text in an error chunk or option error, in bytes. Specification ("Conventions"): it is a string like others.
    /// </summary>
    public const int MaxErrorMessageBytes = MaxStringBytes;

    /// <summary>
    /// Payload of an error chunk that a client accepts, in bytes: error, length, text, offset, and as much again for
    /// what later versions may append. Ours; far above every legal chunk.
    /// </summary>
    public const int MaxErrorChunkBytes = 2 * (NbdErrorChunk.HeaderSize + MaxErrorMessageBytes + sizeof(ulong));

    /// <summary>
    /// Extents in one block status chunk. Specification (NBD_REPLY_TYPE_BLOCK_STATUS: a server should not send more than 2^20).
    /// </summary>
    public const int MaxBlockStatusExtents = 1 << 20;

    /// <summary>Metadata contexts in the replies to one option. Ours; QEMU has one per dirty bitmap.</summary>
    public const int MaxMetaContexts = 4096;

    /// <summary>
    /// Size of an export, in bytes. Ours: the kernel's file offsets are signed 64-bit numbers, so a larger one
    /// could not be served.
    /// </summary>
    public const ulong MaxExportSize = long.MaxValue;
}
