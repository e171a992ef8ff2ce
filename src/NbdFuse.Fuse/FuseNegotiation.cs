using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

/// <summary>What kernel and session agreed on at INIT.</summary>
public sealed record FuseNegotiation
{
    /// <summary>The oldest minor version of protocol 7 whose message layouts are spoken here (Linux 2.6.31).</summary>
    public const int OldestMinor = 12;

    /// <summary>The newest minor version that is spoken here.</summary>
    public const int NewestMinor = 45;

    // Without FUSE_MAX_PAGES a request has at most 32 pages.
    private const int PagesWithoutMaximum = 32;

    // Everything that may be accepted, when the kernel offers it. Never WRITEBACK_CACHE: over a plain file the kernel then
    // believes a size of 0. Never ATOMIC_O_TRUNC: the kernel would set its size to 0 by itself, with no answer from here to
    // correct it. Never POSIX_LOCKS or FLOCK_LOCKS: locks are the kernel's.
    private const FuseInitFlags Allowed =
        FuseInitFlags.AsyncRead | FuseInitFlags.BigWrites | FuseInitFlags.AsyncDirectIo | FuseInitFlags.ParallelDirectoryOps |
        FuseInitFlags.AbortError | FuseInitFlags.MaxPages | FuseInitFlags.ExplicitInvalidateData | FuseInitFlags.HandleKillprivV2 |
        FuseInitFlags.InitExtended | FuseInitFlags.DirectIoAllowMmap | FuseInitFlags.SpliceRead | FuseInitFlags.SpliceWrite |
        FuseInitFlags.SpliceMove | FuseInitFlags.HasResend;

    internal FuseNegotiation()
    {
    }

    /// <summary>Minor version of the protocol.</summary>
    public required int Minor { get; init; }

    /// <summary>Accepted flags.</summary>
    public required FuseInitFlags Flags { get; init; }

    /// <summary>Flags that the kernel offered.</summary>
    public required FuseInitFlags Offered { get; init; }

    /// <summary>Largest WRITE in bytes.</summary>
    public required int MaximumWrite { get; init; }

    /// <summary>Most pages of a request.</summary>
    public required int MaximumPages { get; init; }

    /// <summary>Read-ahead in bytes.</summary>
    public required uint MaximumReadAhead { get; init; }

    /// <summary>Most background requests: read-ahead and asynchronous direct I/O.</summary>
    public required int MaximumBackground { get; init; }

    /// <summary>From here on read-ahead holds back.</summary>
    public required int CongestionThreshold { get; init; }

    /// <summary>Whether the kernel sends again what a dead process had taken (<see cref="FuseResend"/>).</summary>
    public bool CanResend => (Offered & FuseInitFlags.HasResend) != 0;

    /// <summary>Whether the kernel tells which requests wait for an answer (<see cref="FuseProbe"/>): Linux 4.20.</summary>
    public bool CanProbe => Minor >= 28;

    /// <summary>Agrees with a kernel.</summary>
    /// <param name="minor">The kernel's minor version of protocol 7, <see cref="OldestMinor"/> or more.</param>
    /// <param name="maximumReadAhead">The read-ahead that it offers, in bytes.</param>
    /// <param name="offered">The flags that it offers.</param>
    /// <param name="options">Options of the mount.</param>
    /// <param name="queueCapacity">Requests that the queue takes.</param>
    public static FuseNegotiation Negotiate(
        int minor, uint maximumReadAhead, FuseInitFlags offered, FuseMountOptions options, int queueCapacity)
    {
        FuseInitFlags wanted = Allowed;
        if (options.AutoCache)
        {
            // The two exclude each other.
            wanted = (wanted & ~FuseInitFlags.ExplicitInvalidateData) | FuseInitFlags.AutoInvalidateData;
        }

        FuseInitFlags flags = offered & wanted;
        if ((flags & FuseInitFlags.InitExtended) == 0)
        {
            // The upper half of the flags is not looked at.
            flags = (FuseInitFlags)((ulong)flags & uint.MaxValue);
        }

        // Pages, not bytes, bound a READ: with pages of 64 KiB, 256 of them would not fit a buffer.
        int page = Environment.SystemPageSize;
        bool maximum = (flags & FuseInitFlags.MaxPages) != 0;
        int pages = maximum ? Math.Max(1, options.LargestRequest / page) : PagesWithoutMaximum;
        int background = options.MaximumBackground != 0
            ? options.MaximumBackground
            : Math.Clamp(queueCapacity / 8 * 7, 128, ushort.MaxValue);
        int congestion = options.CongestionThreshold != 0 ? options.CongestionThreshold : Math.Max(1, background / 4 * 3);
        return new FuseNegotiation
        {
            Minor = Math.Min(minor, NewestMinor),
            Flags = flags,
            Offered = offered,
            MaximumWrite = (int)Math.Min(options.MaximumWrite, (long)pages * page),
            MaximumPages = pages,
            MaximumReadAhead = Math.Min(maximumReadAhead, (uint)(options.MaximumReadAhead ?? int.MaxValue)),
            MaximumBackground = background,
            CongestionThreshold = Math.Min(congestion, background),
        };
    }

    /// <summary>The answer to INIT.</summary>
    /// <param name="init">Destination.</param>
    /// <returns>How many bytes of it this kernel takes.</returns>
    public int Write(out FuseInitOut init)
    {
        init = new FuseInitOut
        {
            Major = 7,
            Minor = (uint)Minor,
            MaxReadahead = MaximumReadAhead,
            Flags = (uint)Flags,
            Flags2 = (uint)((ulong)Flags >> 32),
            MaxBackground = (ushort)MaximumBackground,
            CongestionThreshold = (ushort)CongestionThreshold,
            MaxWrite = (uint)MaximumWrite,
            TimeGranularity = 1,
            MaxPages = (Flags & FuseInitFlags.MaxPages) != 0 ? (ushort)MaximumPages : (ushort)0,
        };
        // FUSE_COMPAT_22_INIT_OUT_SIZE.
        return Minor < 23 ? 24 : 64;
    }
}
