namespace NbdFuse.Cache;

/// <summary>What is remembered of a write, trim or zeroing that is under way.</summary>
internal struct Mutation
{
    /// <summary>Another one overlapped it at some time: which of them the device shows in the end is not for us to say.</summary>
    public bool IsContended;

    /// <summary>Granules of its range were in memory.</summary>
    public bool HasSlots;
}
