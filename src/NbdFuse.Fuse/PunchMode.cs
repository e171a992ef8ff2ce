namespace NbdFuse.Fuse;

/// <summary>What fallocate(PUNCH_HOLE) does.</summary>
public enum PunchMode
{
    /// <summary>Writes zeroes, and lets the device give the space back: what was punched reads back as zeroes.</summary>
    Zero = 0,

    /// <summary>
    /// Trims, for compatibility with libnbd's nbdfuse. Unsafe: the content of a trimmed range is undefined, while callers
    /// (loop devices among them) rely on zeroes.
    /// </summary>
    Trim = 1,
}
