namespace NbdFuse.Attach.Partitions;

/// <summary>A partition.</summary>
/// <param name="Number">From 1, as in the name of its node.</param>
/// <param name="Start">First byte.</param>
/// <param name="Length">Length in bytes, more than 0.</param>
public readonly record struct PartitionEntry(int Number, long Start, long Length);
