namespace NbdFuse.Protocol;

/// <summary>One descriptor of a block status chunk.</summary>
/// <param name="Length">Length of the extent in bytes; zero is a violation.</param>
/// <param name="Status">Status, whose meaning the context defines; 32 bits without extended headers.</param>
public readonly record struct NbdBlockExtent(ulong Length, ulong Status);
