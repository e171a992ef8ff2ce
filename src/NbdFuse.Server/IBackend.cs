using NbdFuse.Protocol;

namespace NbdFuse.Server;

/// <summary>Where an export keeps its bytes.</summary>
/// <remarks>
/// THREADING: every member may be called by several connections at the same time. Requests that overlap in space and
/// time may be executed in any order, and bytes that both write may come from either.
/// Ranges have been checked against <see cref="Size"/> before the call. Expected errors are results, not exceptions.
/// </remarks>
public interface IBackend : IDisposable
{
    /// <summary>Size in bytes. Constant.</summary>
    long Size { get; }

    /// <summary>Nothing can be written here.</summary>
    bool IsReadOnly { get; }

    /// <summary>Seeks cost: the medium is rotational.</summary>
    bool IsRotational => false;

    /// <summary>Fills the buffer.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="buffer">Destination; not empty.</param>
    /// <returns>The error to answer; the buffer is worthless then.</returns>
    NbdError Read(long offset, Span<byte> buffer);

    /// <summary>Stores the data.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="data">What to store; not empty.</param>
    /// <param name="fua">Return only when it is durable.</param>
    /// <returns>The error to answer.</returns>
    NbdError Write(long offset, ReadOnlySpan<byte> data, bool fua);

    /// <summary>Makes durable what was written before, on whatever connection.</summary>
    /// <returns>The error to answer.</returns>
    NbdError Flush();

    /// <summary>Gives a range back; its content is undefined afterwards.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes, more than 0.</param>
    /// <param name="fua">Return only when it is durable.</param>
    /// <returns>The error to answer.</returns>
    NbdError Trim(long offset, long length, bool fua);

    /// <summary>Makes a range read as zeroes.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes, more than 0.</param>
    /// <param name="noHole">Leave the range allocated.</param>
    /// <param name="fast">Fail with <see cref="NbdError.NotSup"/>, nothing changed, rather than write the zeroes.</param>
    /// <param name="fua">Return only when it is durable.</param>
    /// <returns>The error to answer.</returns>
    NbdError Zero(long offset, long length, bool noHole, bool fast, bool fua);

    /// <summary>Advice that a range will be read soon.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length in bytes, more than 0.</param>
    /// <returns>The error to answer.</returns>
    NbdError Cache(long offset, long length);

    /// <summary>Finds the longest known run of one kind at the start of a range.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length of the range in bytes, more than 0.</param>
    /// <param name="isHole">True when the run is known to read as zeroes and takes no room.</param>
    /// <returns>Length of the run in bytes, 1 to <paramref name="length"/>.</returns>
    long NextExtent(long offset, long length, out bool isHole);

    /// <summary>Finds the longest known run of one status at the start of a range, for those who ask for it: it may take longer.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Length of the range in bytes, more than 0.</param>
    /// <param name="status">Status of the run in the context base:allocation.</param>
    /// <returns>Length of the run in bytes, 1 to <paramref name="length"/>.</returns>
    long NextStatus(long offset, long length, out NbdAllocation status)
    {
        long run = NextExtent(offset, length, out bool isHole);
        status = isHole ? NbdAllocation.Hole | NbdAllocation.Zero : NbdAllocation.None;
        return run;
    }
}
