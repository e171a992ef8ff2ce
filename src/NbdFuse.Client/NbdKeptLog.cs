using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>
/// Has the write log lie in memory that another process holds, too: when this process dies, the next one finds what the server
/// had acknowledged and may have forgotten. What the export is recognised by (its fingerprint) lies there as well.
/// </summary>
/// <param name="Left">
/// The memory that a dead process has left, which belongs to the export once that is open; null for the first process. An
/// export that is given one sends nothing before <see cref="NbdExport.TakeOver"/>.
/// </param>
/// <param name="Made">
/// Hears of new memory, before the export acknowledges anything; it stays the export's, and whoever wants it duplicates it.
/// </param>
public sealed record NbdKeptLog(FileDescriptor? Left, Action<FileDescriptor> Made);
