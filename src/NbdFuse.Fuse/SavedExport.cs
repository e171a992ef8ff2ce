namespace NbdFuse.Fuse;

/// <summary>What an export is recognised by when another process goes on with its mount.</summary>
/// <param name="Size">Bytes.</param>
/// <param name="Flags">Flags of the server, as a number.</param>
/// <param name="MinimumBlock">Smallest block in bytes.</param>
/// <param name="PreferredBlock">Preferred block in bytes.</param>
/// <param name="MaximumBlock">Longest payload in bytes; 0xffffffff for no limit.</param>
public sealed record SavedExport(ulong Size, ulong Flags, uint MinimumBlock, uint PreferredBlock, uint MaximumBlock);
