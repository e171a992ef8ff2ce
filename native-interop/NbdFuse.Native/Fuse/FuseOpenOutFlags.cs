namespace NbdFuse.Native.Fuse;

/// <summary>How the kernel treats an open file (FOPEN_, linux/fuse.h).</summary>
[Flags]
public enum FuseOpenOutFlags : uint
{
    /// <summary>The defaults.</summary>
    None = 0,

    /// <summary>Bypass the page cache.</summary>
    DirectIo = 1,

    /// <summary>Keep the page cache of earlier opens.</summary>
    KeepCache = 2,

    /// <summary>No seeking.</summary>
    NonSeekable = 4,

    /// <summary>Cache the listing.</summary>
    CacheDirectory = 8,

    /// <summary>No position at all.</summary>
    Stream = 16,

    /// <summary>No FLUSH on close (7.35).</summary>
    NoFlush = 32,

    /// <summary>Direct writes in parallel (7.38; only with DirectIo).</summary>
    ParallelDirectWrites = 64,

    /// <summary>I/O goes to the backing file (7.40).</summary>
    Passthrough = 128,
}
