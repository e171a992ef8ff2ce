namespace NbdFuse.Block;

/// <summary>
/// A front end that can take the payload of a READ on the thread, and in the memory, where it arrived, instead of
/// through <see cref="BlockRequest.Buffer"/>.
/// </summary>
/// <remarks>
/// THREADING: called on whichever thread received the payload. The implementation claims the request with
/// <see cref="BlockRequest.TryClaimAnswer"/> first, so that an interrupt on the loop and a delivery on a mover can't
/// both answer the caller.
/// </remarks>
public interface IPayloadSink
{
    /// <summary>Bytes of writable room that <see cref="TryDeliver"/> needs in front of the payload.</summary>
    int HeaderRoom { get; }

    /// <summary>Answers the caller of a READ with a payload that is complete and correct.</summary>
    /// <param name="request">The READ. It still completes as usual afterwards.</param>
    /// <param name="frame">
    /// <see cref="HeaderRoom"/> scratch bytes, then exactly the payload; empty when the payload lies in
    /// <see cref="BlockRequest.Buffer"/>.
    /// </param>
    /// <returns>True when the caller has been answered; false when the usual way has to be taken.</returns>
    bool TryDeliver(BlockRequest request, Span<byte> frame);

    /// <summary>
    /// Answers the caller of a READ with a payload that is complete and correct, and lies in pieces in memory of somebody else. On
    /// the loop only.
    /// </summary>
    /// <param name="request">The READ. It still completes as usual afterwards.</param>
    /// <param name="pieces">The payload, in memory that does not move; it is not looked at after the call.</param>
    /// <returns>True when the caller has been answered; false when the usual way has to be taken.</returns>
    bool TryDeliverPieces(BlockRequest request, ReadOnlySpan<ReadOnlyMemory<byte>> pieces) => false;

    /// <summary>
    /// Answers the caller of a READ with <paramref name="length"/> bytes that lie complete in a pipe.
    /// </summary>
    /// <param name="request">The READ. It still completes as usual afterwards.</param>
    /// <param name="pipeReadEnd">Descriptor of a pipe that holds <see cref="HeaderRoom"/> bytes and the payload.</param>
    /// <param name="length">Length of the payload, in bytes.</param>
    /// <returns>True when the pipe has been emptied, answered or not; false when it still holds everything.</returns>
    bool TryDeliverFromPipe(BlockRequest request, int pipeReadEnd, int length);

    /// <summary>Writes the header of a successful answer, <see cref="HeaderRoom"/> bytes, for a pipe.</summary>
    /// <param name="request">The READ that will be answered.</param>
    /// <param name="header">Destination of <see cref="HeaderRoom"/> bytes.</param>
    void WriteHeader(BlockRequest request, Span<byte> header);
}
