using Microsoft.Extensions.Logging;

namespace NbdFuse.Cli;

/// <summary>Messages of attached devices; event identifiers 52xx.</summary>
internal static partial class AttachLog
{
    [LoggerMessage(5201, LogLevel.Information, "{Device}: {Bytes} bytes of {Target}, {Connections} connection(s), {Access}")]
    public static partial void Attached(ILogger logger, string device, long bytes, string target, int connections, string access);

    [LoggerMessage(5202, LogLevel.Warning, "signal {Name} is ignored: {Reason}")]
    public static partial void SignalIgnored(ILogger logger, string name, string reason);

    [LoggerMessage(5203, LogLevel.Error, "{Device}: the server is lost ({Reason}): every request fails now; 'nbdfuse detach {Device}' takes the device down")]
    public static partial void ServerLost(ILogger logger, string device, string reason);

    [LoggerMessage(5204, LogLevel.Information, "{Device}: detached: {Reason}")]
    public static partial void Detached(ILogger logger, string device, string reason);

    [LoggerMessage(5205, LogLevel.Warning, "{Device}: the export has {ExportSize} bytes, the device {Size}: what does not fill a block of {Block} bytes at the end cannot be reached")]
    public static partial void TailUnreachable(ILogger logger, string device, long exportSize, long size, int block);

    [LoggerMessage(5206, LogLevel.Warning, "{Text}")]
    public static partial void Warning(ILogger logger, string text);

    [LoggerMessage(5207, LogLevel.Information, "driver {Driver}: {Reason}")]
    public static partial void DriverChosen(ILogger logger, string driver, string reason);

    [LoggerMessage(5208, LogLevel.Information, "{Name} is not in force: {Reason}")]
    public static partial void NotInForce(ILogger logger, string name, string reason);

    [LoggerMessage(5209, LogLevel.Warning, "the rehearsal failed, code may be compiled while the device is used: {Reason}")]
    public static partial void RehearsalFailed(ILogger logger, string reason);

    [LoggerMessage(5211, LogLevel.Critical, "{Device}: {Reason}; this process ends, requests wait: 'nbdfuse attach {Option} {Device}' goes on")]
    public static partial void ServiceFailed(ILogger logger, string device, string reason, string option);

    [LoggerMessage(5212, LogLevel.Error, "{Reason}")]
    public static partial void WritesLost(ILogger logger, string reason);

    [LoggerMessage(5213, LogLevel.Information, "{Device}: it has grown to {Size} bytes")]
    public static partial void Grown(ILogger logger, string device, long size);

    [LoggerMessage(5214, LogLevel.Warning, "{Device}: the export has grown, and the device keeps its size until it is attached again: {Reason}")]
    public static partial void NotGrown(ILogger logger, string device, string reason);

    [LoggerMessage(5210, LogLevel.Error, "{Reason}")]
    public static partial void Failed(ILogger logger, string reason, Exception error);
}
