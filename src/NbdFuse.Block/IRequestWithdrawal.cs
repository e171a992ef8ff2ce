namespace NbdFuse.Block;

/// <summary>A device that may hold requests back and can give such a one up.</summary>
/// <remarks>THREADING: the loop's thread only.</remarks>
public interface IRequestWithdrawal
{
    /// <summary>
    /// Ends a request that has not been passed on yet, by EINTR. Otherwise it would wait for the end of others, which a
    /// silent server may never bring, though its own caller has been answered.
    /// </summary>
    /// <param name="request">A request in flight.</param>
    /// <returns>False when it is not held back here: it has gone down, or has ended.</returns>
    bool TryWithdraw(BlockRequest request);
}
