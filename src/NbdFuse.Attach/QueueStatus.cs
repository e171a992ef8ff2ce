namespace NbdFuse.Attach;

/// <summary>The queue between the kernel's requests and the export.</summary>
/// <param name="Capacity">Most requests in flight.</param>
/// <param name="PeakInFlight">Most that were in flight at once.</param>
/// <param name="InFlightBytes">Payload in flight at present.</param>
/// <param name="Interrupted">Requests whose caller was answered before they had ended.</param>
/// <param name="Full">How often the queue was full, so that the kernel's requests waited outside.</param>
/// <param name="FullLatency">For how long; null when it never was.</param>
/// <param name="Wait">How long requests that went to the server waited in the queue before, for others; null when none has.</param>
public sealed record QueueStatus(
    int Capacity, int PeakInFlight, long InFlightBytes, long Interrupted, long Full, LatencyStatus? FullLatency, LatencyStatus? Wait);
