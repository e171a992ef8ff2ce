using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>The server has another export than the one that was mounted: nobody can go on with the mount.</summary>
/// <param name="message">One line: what is different, and what to do.</param>
internal sealed class KeptExportException(string message) : NbdException(message);
