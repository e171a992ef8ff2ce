using Microsoft.Extensions.Logging;

namespace NbdFuse.Cli;

/// <summary>Messages about access traces; event identifiers 53xx.</summary>
internal static partial class TraceLog
{
    [LoggerMessage(5301, LogLevel.Information, "{Ranges} ranges, {Bytes} bytes, are read ahead by the trace")]
    public static partial void Prefetching(ILogger logger, int ranges, long bytes);

    [LoggerMessage(5302, LogLevel.Warning, "the trace is of an export of {TraceSize} bytes, and this one has {Size}: nothing is read ahead by it; record it again")]
    public static partial void OtherSize(ILogger logger, long traceSize, long size);

    [LoggerMessage(5303, LogLevel.Information, "{Path}: {Ranges} ranges, {Bytes} bytes recorded")]
    public static partial void Recorded(ILogger logger, string path, int ranges, long bytes);

    [LoggerMessage(5304, LogLevel.Warning, "{Path}: the trace cannot be written: {Reason}")]
    public static partial void RecordFailed(ILogger logger, string path, string reason);
}
