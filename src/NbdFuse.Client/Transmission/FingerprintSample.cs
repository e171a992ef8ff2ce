namespace NbdFuse.Client.Transmission;

/// <summary>One block of a fingerprint.</summary>
internal struct FingerprintSample
{
    /// <summary>First byte in the export.</summary>
    public long Offset;

    /// <summary>Bytes.</summary>
    public int Length;

    /// <summary>Changes that were acknowledged when the content was seen: the sample counts once all of them are durable.</summary>
    public long Acknowledged;

    /// <summary>Digest of the content.</summary>
    public ulong Digest;
}
