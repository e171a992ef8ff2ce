namespace NbdFuse.Attach;

/// <summary>A loop device that was attached.</summary>
/// <param name="Device">Its path.</param>
/// <param name="Size">Its size in bytes.</param>
/// <param name="BlockSize">Its logical block size in bytes.</param>
/// <param name="Partitions">Paths of its partitions.</param>
public sealed record LoopAttachment(string Device, long Size, int BlockSize, IReadOnlyList<string> Partitions);
