namespace NbdFuse.Block;

/// <summary>
/// A block device, or a layer over one: the one seam between front ends, layers, cache and export.
/// </summary>
/// <remarks>
/// THREADING: every member runs on the thread of the event loop that owns the stack of devices. Nothing here
/// blocks, locks or allocates per request.
/// </remarks>
public interface IBlockDevice
{
    /// <summary>Size, limits and capabilities. Constant while the device lives, but for a size that grows: see <see cref="AdoptSize"/>.</summary>
    BlockDeviceInfo Info { get; }

    /// <summary>
    /// Starts a request. The device holds it until it calls <see cref="BlockRequest.Complete"/>, exactly once; the
    /// caller must not touch it in between. Completion never runs inside this call: it goes through the
    /// <see cref="ReadyList"/>. Expected errors are completions, never exceptions.
    /// </summary>
    /// <param name="request">A request within <see cref="BlockDeviceInfo.Size"/>.</param>
    void Submit(BlockRequest request);

    /// <summary>
    /// Ends a turn of the loop: whatever was submitted since the last call goes out now, in as few system calls as
    /// possible. Layers pass it down.
    /// </summary>
    void EndTurn();

    /// <summary>
    /// Takes over the size of the device below, which may have grown; a size never shrinks. Called from above on the loop, between two
    /// requests. Layers pass it down first. Nothing to do for those whose size is constant, or always that of the device below.
    /// </summary>
    void AdoptSize()
    {
    }
}
