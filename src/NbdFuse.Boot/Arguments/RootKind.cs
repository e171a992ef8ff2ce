namespace NbdFuse.Boot;

/// <summary>How <c>root=</c> picks the root filesystem on the export.</summary>
public enum RootKind
{
    /// <summary>It does not: the export's own filesystem, or its only partition.</summary>
    Any,

    /// <summary>The whole export.</summary>
    Whole,

    /// <summary>A partition by its number.</summary>
    Partition,

    /// <summary>A partition by its unique id: GPT's, or the disk signature of an MBR with a number.</summary>
    PartitionUuid,

    /// <summary>A partition by its name in the GPT.</summary>
    PartitionLabel,

    /// <summary>A filesystem by its id.</summary>
    Uuid,

    /// <summary>A filesystem by its label.</summary>
    Label,
}
