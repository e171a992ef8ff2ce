namespace NbdFuse.Block;

/// <summary>Whoever put itself on a request's completion stack and wants it back.</summary>
public interface IBlockCompletion
{
    /// <summary>
    /// Called on the loop, from <see cref="ReadyList.Run"/>, when the level below has finished the request.
    /// </summary>
    /// <param name="request">The request; <see cref="BlockRequest.Error"/> tells how it ended.</param>
    /// <param name="state">What was given to <see cref="BlockRequest.Push"/>.</param>
    /// <returns>
    /// True to hand the request on to the level above; false when this level keeps it (it will call
    /// <see cref="BlockRequest.Complete"/> again later, submit it anew, or is the last owner).
    /// </returns>
    bool OnCompleted(BlockRequest request, long state);
}
