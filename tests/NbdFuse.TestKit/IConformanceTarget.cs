namespace NbdFuse.TestKit;

/// <summary>
/// Something with the behaviour of a block device, as <see cref="BlockConformance"/> sees it: a stack of devices, a mounted
/// file, a loop device. Calls may overlap; each task ends when its operation has.
/// </summary>
public interface IConformanceTarget
{
    /// <summary>Size in bytes; at least <see cref="BlockConformance.MinimumSize"/>.</summary>
    long Size { get; }

    /// <summary>Offsets and lengths must be multiples of this, in bytes; 1 when any will do.</summary>
    int MinimumBlock { get; }

    /// <summary>Writes of every kind must fail.</summary>
    bool IsReadOnly { get; }

    /// <summary><see cref="ZeroAsync"/> must work; else it must fail and change nothing.</summary>
    bool CanZero { get; }

    /// <summary><see cref="TrimAsync"/> must work.</summary>
    bool CanTrim { get; }

    /// <summary>
    /// Operations start in the order of the calls, so that of two overlapping writes the later one wins.
    /// </summary>
    bool StartsInOrder { get; }

    /// <summary>Reading across the end gives what there is (a file) rather than an error (a device).</summary>
    bool ShortReadAtEnd { get; }

    /// <summary>Length of a large transfer in bytes: above the largest payload that the stack sends in one piece.</summary>
    int LargeTransfer { get; }

    /// <summary>Reads.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>The data; shorter only when it crosses the end and <see cref="ShortReadAtEnd"/> is set.</returns>
    /// <exception cref="ConformanceErrorException">The read failed.</exception>
    Task<byte[]> ReadAsync(long offset, int length);

    /// <summary>Writes.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">What to write; not changed by the caller before the task ends.</param>
    /// <param name="fua">Durable when the task ends.</param>
    /// <returns>errno, 0 on success.</returns>
    Task<int> WriteAsync(long offset, byte[] data, bool fua = false);

    /// <summary>Makes all writes durable that have ended before.</summary>
    /// <returns>errno, 0 on success.</returns>
    Task<int> FlushAsync();

    /// <summary>Gives a range back.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>errno, 0 on success.</returns>
    Task<int> TrimAsync(long offset, long length);

    /// <summary>Makes a range read as zeroes.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="noHole">Leave it allocated.</param>
    /// <returns>errno, 0 on success.</returns>
    Task<int> ZeroAsync(long offset, long length, bool noHole);
}
