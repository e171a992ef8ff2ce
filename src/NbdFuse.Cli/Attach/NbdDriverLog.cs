using Microsoft.Extensions.Logging;

namespace NbdFuse.Cli;

/// <summary>Messages of the driver nbd; event identifiers 53xx.</summary>
internal static partial class NbdDriverLog
{
    [LoggerMessage(5301, LogLevel.Warning, "{Device}: requests wait for a new connection: {Reason}")]
    public static partial void ConnectionLost(ILogger logger, string device, string reason);

    [LoggerMessage(5302, LogLevel.Information, "{Device}: all connections live again")]
    public static partial void Recovered(ILogger logger, string device);

    [LoggerMessage(5303, LogLevel.Error, "{Device}: lost connections are not replaced any more: {Reason}")]
    public static partial void SupervisorFailed(ILogger logger, string device, string reason);
}
