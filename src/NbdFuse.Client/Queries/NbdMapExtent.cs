namespace NbdFuse.Client;

/// <summary>A piece of a map: neighbours differ in their status.</summary>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Length in bytes, more than 0.</param>
/// <param name="Status">Status, whose meaning the context defines.</param>
public readonly record struct NbdMapExtent(long Offset, long Length, ulong Status);
