namespace NbdFuse.Client;

/// <summary>What one connection to the server has done since it was made. The numbers may lag behind by a few.</summary>
/// <param name="Generation">Number of the server's run that it belongs to, from 1.</param>
/// <param name="IsUsable">It carries requests; otherwise it is lost, and stands here until it is out of use.</param>
/// <param name="InFlight">Requests that it carries at present.</param>
/// <param name="Requests">Requests that were sent.</param>
/// <param name="ReadBytes">Bytes of READs that ended well.</param>
/// <param name="WrittenBytes">Bytes of WRITEs that ended well.</param>
public sealed record NbdConnectionStatistics(
    int Generation, bool IsUsable, int InFlight, long Requests, long ReadBytes, long WrittenBytes);
