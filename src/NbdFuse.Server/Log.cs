using Microsoft.Extensions.Logging;

namespace NbdFuse.Server;

/// <summary>Messages of the server: event ids 5000 to 5999.</summary>
internal static partial class Log
{
    [LoggerMessage(5001, LogLevel.Information, "Listening on {Address}")]
    public static partial void Listening(ILogger logger, string address);

    [LoggerMessage(5002, LogLevel.Debug, "Connection {Id} from {Peer}")]
    public static partial void Accepted(ILogger logger, long id, string peer);

    [LoggerMessage(5003, LogLevel.Warning, "Connection {Id} refused: {Limit} connections are open already")]
    public static partial void TooManyConnections(ILogger logger, long id, int limit);

    [LoggerMessage(5004, LogLevel.Information, "Connection {Id} opened export '{Export}' ({Flags}, structured replies: {Structured})")]
    public static partial void Transmission(ILogger logger, long id, string export, string flags, bool structured);

    [LoggerMessage(5005, LogLevel.Debug, "Connection {Id} ended")]
    public static partial void Ended(ILogger logger, long id);

    [LoggerMessage(5006, LogLevel.Warning, "Connection {Id} closed: {Reason}")]
    public static partial void Violation(ILogger logger, long id, string reason);

    [LoggerMessage(5007, LogLevel.Debug, "Connection {Id} lost: {Reason}")]
    public static partial void Lost(ILogger logger, long id, string reason);

    [LoggerMessage(5008, LogLevel.Error, "Connection {Id} failed")]
    public static partial void Failed(ILogger logger, Exception error, long id);

    [LoggerMessage(5009, LogLevel.Warning, "Accepting failed, trying again: {Reason}")]
    public static partial void AcceptFailed(ILogger logger, string reason);

    [LoggerMessage(5010, LogLevel.Debug, "Connection {Id}: {Command} at {Offset}+{Length} answered with {Error}: {Message}")]
    public static partial void RequestFailed(
        ILogger logger, long id, string command, ulong offset, ulong length, string error, string message);
}
