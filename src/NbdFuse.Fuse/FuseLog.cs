using Microsoft.Extensions.Logging;

namespace NbdFuse.Fuse;

/// <summary>Messages of the control plane of this library.</summary>
internal static partial class FuseLog
{
    [LoggerMessage(Level = LogLevel.Warning, Message = "{Path}: replacing a dead mount left behind by a process that was killed")]
    internal static partial void Stale(ILogger logger, string path);
}
