using Microsoft.Extensions.Logging;

namespace NbdFuse.Cli;

/// <summary>Messages of the command itself; event identifiers 5xxx.</summary>
internal static partial class CommandLog
{
    [LoggerMessage(5001, LogLevel.Information, "{Path}: {Bytes} bytes of {Target}, {Connections} connection(s), {Access}")]
    public static partial void Mounted(ILogger logger, string path, long bytes, string target, int connections, string access);

    [LoggerMessage(5002, LogLevel.Error, "{Path}: the server is lost ({Reason}): reads and writes fail now; unmount with 'fusermount3 -u {MountPoint}' and mount again")]
    public static partial void ServerLost(ILogger logger, string path, string reason, string mountPoint);

    [LoggerMessage(5003, LogLevel.Warning, "{Path} is in use: it is taken out of the tree now, and fails for its users from here on")]
    public static partial void InUse(ILogger logger, string path);

    [LoggerMessage(5004, LogLevel.Warning, "{Path}: cannot write back before the end: {Reason}")]
    public static partial void WriteBackFailed(ILogger logger, string path, string reason);

    [LoggerMessage(5005, LogLevel.Warning, "{Text}")]
    public static partial void Argument(ILogger logger, string text);

    [LoggerMessage(5006, LogLevel.Information, "{Path}: {Reason}")]
    public static partial void Ended(ILogger logger, string path, string reason);

    [LoggerMessage(5007, LogLevel.Warning, "the export has {ExportSize} bytes, of which {Size} can be reached with its blocks of {Block} bytes: the file ends there")]
    public static partial void TailUnreachable(ILogger logger, long exportSize, long size, int block);

    [LoggerMessage(5008, LogLevel.Debug, "signal {Name}: unmounting")]
    public static partial void Signal(ILogger logger, string name);

    [LoggerMessage(5010, LogLevel.Critical, "{Path}: the event loop failed, the mount is given up: {Failure}")]
    public static partial void LoopFailed(ILogger logger, string path, string failure);

    [LoggerMessage(5011, LogLevel.Warning, "{Path}: cannot take the dead mount away: {Reason}")]
    public static partial void DetachFailed(ILogger logger, string path, string reason);

    [LoggerMessage(5012, LogLevel.Warning, "{Path}: cannot close the export: {Reason}")]
    public static partial void CloseFailed(ILogger logger, string path, string reason);

    [LoggerMessage(5016, LogLevel.Debug, "cannot tell what the export holds: {Reason}")]
    public static partial void NoContent(ILogger logger, string reason);

    [LoggerMessage(5013, LogLevel.Debug, "when {Target} is lost, reads and writes fail: {Reason}")]
    public static partial void CannotReconnect(ILogger logger, string target, string reason);

    [LoggerMessage(5014, LogLevel.Information, "the export is shared: what a server that crashes forgets is not written again")]
    public static partial void Shared(ILogger logger);

    [LoggerMessage(5015, LogLevel.Information, "the server knows no FLUSH, so there is no write log: what a server that crashes forgets is lost")]
    public static partial void NoWriteLog(ILogger logger);

    [LoggerMessage(5017, LogLevel.Debug, "'nbdfuse status' will not list the file: {Reason}")]
    public static partial void NoStatus(ILogger logger, string reason);

    [LoggerMessage(5009, LogLevel.Information, "listening at {Uri}")]
    public static partial void Listening(ILogger logger, string uri);
}
