namespace NbdFuse.Native;

/// <summary>Flags of splice(2).</summary>
[Flags]
public enum SpliceFlags : uint
{
    /// <summary>No flag.</summary>
    None = 0,

    /// <summary>SPLICE_F_MOVE: move pages instead of copying, where possible.</summary>
    Move = 1,

    /// <summary>SPLICE_F_NONBLOCK: do not block on the pipe (the other descriptor's own mode still counts).</summary>
    NonBlocking = 2,

    /// <summary>SPLICE_F_MORE: more data follows.</summary>
    More = 4,
}
