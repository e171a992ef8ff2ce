using Microsoft.Extensions.Logging;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <summary>Messages of connecting and negotiating; event identifiers 1xxx.</summary>
internal static partial class Log
{
    [LoggerMessage(1001, LogLevel.Debug, "greeting: handshake flags {Flags}")]
    public static partial void Greeting(ILogger logger, NbdHandshakeFlags flags);

    [LoggerMessage(1002, LogLevel.Trace, "option reply: {Option} {Type}, {Length} bytes")]
    public static partial void Reply(ILogger logger, string option, string type, uint length);

    [LoggerMessage(1003, LogLevel.Debug, "the server has no structured replies, using simple ones")]
    public static partial void StructuredRepliesUnsupported(ILogger logger);

    [LoggerMessage(1004, LogLevel.Warning, "structured replies refused, using simple ones: {Reason}")]
    public static partial void StructuredRepliesRefused(ILogger logger, string reason);

    [LoggerMessage(1005, LogLevel.Warning, "ignoring the server's block sizes {Minimum}/{Preferred}/{Maximum}: not a valid combination")]
    public static partial void BlockSizesInvalid(ILogger logger, uint minimum, uint preferred, uint maximum);

    [LoggerMessage(1006, LogLevel.Warning, "export \"{Name}\" has {Size} bytes, no multiple of its minimum block of {Minimum}: the last {Tail} bytes cannot be reached")]
    public static partial void TailUnreachable(ILogger logger, string name, ulong size, uint minimum, ulong tail);

    [LoggerMessage(1007, LogLevel.Debug, "the server gives no usable answer to {Option}, falling back to {Fallback}")]
    public static partial void Fallback(ILogger logger, string option, string fallback);

    [LoggerMessage(1008, LogLevel.Debug, "the polite end of the handshake failed: {Reason}")]
    public static partial void AbortFailed(ILogger logger, string reason);

    [LoggerMessage(1009, LogLevel.Debug, "ignoring unknown information type {Type}, {Length} bytes")]
    public static partial void UnknownInfo(ILogger logger, ushort type, int length);

    [LoggerMessage(1010, LogLevel.Debug, "negotiated export \"{Name}\": {Size} bytes, flags {Flags}, structured replies {Structured}")]
    public static partial void Negotiated(ILogger logger, string name, ulong size, NbdTransmissionFlags flags, bool structured);

    [LoggerMessage(1011, LogLevel.Debug, "the server has no extended headers")]
    public static partial void ExtendedHeadersUnsupported(ILogger logger);

    [LoggerMessage(1012, LogLevel.Warning, "extended headers refused, going on without: {Reason}")]
    public static partial void ExtendedHeadersRefused(ILogger logger, string reason);

    [LoggerMessage(1013, LogLevel.Debug, "no metadata contexts: {Reason}")]
    public static partial void MetaContextsRefused(ILogger logger, string reason);

    [LoggerMessage(1014, LogLevel.Debug, "metadata context {Name} has the number {Id}")]
    public static partial void MetaContext(ILogger logger, string name, uint id);

    [LoggerMessage(1101, LogLevel.Debug, "connecting to {Address}")]
    public static partial void Connecting(ILogger logger, string address);

    [LoggerMessage(1102, LogLevel.Debug, "connect to {Address} failed: {Reason}")]
    public static partial void ConnectFailed(ILogger logger, string address, string reason);

    [LoggerMessage(1103, LogLevel.Debug, "socket option {Option} not set: {Reason}")]
    public static partial void SocketOptionFailed(ILogger logger, string option, string reason);

    [LoggerMessage(1104, LogLevel.Debug, "started {Command} as process {Pid}")]
    public static partial void CommandStarted(ILogger logger, string command, int pid);

    [LoggerMessage(1105, LogLevel.Debug, "process {Pid} ended: {Status}")]
    public static partial void CommandEnded(ILogger logger, int pid, string status);

    [LoggerMessage(1106, LogLevel.Warning, "process {Pid} did not end within {Seconds} s, sending {Signal}")]
    public static partial void CommandSignalled(ILogger logger, int pid, double seconds, string signal);

    [LoggerMessage(1107, LogLevel.Warning, "cannot remove {Path}: {Reason}")]
    public static partial void CleanUpFailed(ILogger logger, string path, string reason);

    [LoggerMessage(1301, LogLevel.Debug, "encrypted: {Version}, {Cipher}, {Kind}")]
    public static partial void TlsEstablished(ILogger logger, string version, string cipher, string kind);

    [LoggerMessage(1302, LogLevel.Warning, "{Setting}: the server is not verified, anybody on the way can pretend to be it")]
    public static partial void TlsUnverified(ILogger logger, string setting);

    [LoggerMessage(1303, LogLevel.Warning, "no host name to compare with: every certificate that {Authority} has signed is accepted; give tls-hostname=NAME")]
    public static partial void TlsAnyName(ILogger logger, string authority);

    [LoggerMessage(1304, LogLevel.Warning, "the secret in {Path} is not safe: {Reason}")]
    public static partial void TlsLooseKey(ILogger logger, string path, string reason);

    [LoggerMessage(1305, LogLevel.Warning, "going on in plain text: {Reason}")]
    public static partial void TlsNotOffered(ILogger logger, string reason);

    [LoggerMessage(1306, LogLevel.Warning, "a TLS connection broke: {Reason}")]
    public static partial void TlsBroken(ILogger logger, string reason);

    [LoggerMessage(1307, LogLevel.Debug, "a TLS connection is still in use when its transport ends")]
    public static partial void TlsPumpLeft(ILogger logger);

    [LoggerMessage(1201, LogLevel.Warning, "using {Opened} of {Wanted} connections: {Reason}")]
    public static partial void FewerConnections(ILogger logger, int opened, int wanted, string reason);

    [LoggerMessage(1202, LogLevel.Information, "the export failed, all further I/O gets an error until it is unmounted: {Reason}")]
    public static partial void ExportFailed(ILogger logger, string reason);

    [LoggerMessage(1205, LogLevel.Warning, "the server is lost, reconnecting: {Reason}; {Waiting} requests wait, {Bytes} bytes that were not flushed are kept")]
    public static partial void Recovering(ILogger logger, string reason, int waiting, long bytes);

    [LoggerMessage(1206, LogLevel.Warning, "the server is back after {Seconds:0.0##} s and {Attempts} attempts (generation {Generation}): {Replayed} unflushed writes repeated, {Waiting} requests sent on; it was lost because {Reason}")]
    public static partial void Recovered(
        ILogger logger, double seconds, int attempts, int generation, long replayed, int waiting, string reason);

    [LoggerMessage(1207, LogLevel.Information, "reconnecting: {Reason}")]
    public static partial void AttemptFailed(ILogger logger, string reason);

    [LoggerMessage(1208, LogLevel.Warning, "{Reason}; waiting on")]
    public static partial void StillWaiting(ILogger logger, string reason);

    [LoggerMessage(1209, LogLevel.Warning, "the export has grown from {Before} to {Now} bytes")]
    public static partial void Grown(ILogger logger, ulong before, ulong now);

    [LoggerMessage(1210, LogLevel.Warning, "{Connections} old connections did not close within {Seconds} s: a write that is stuck in them could still be executed by the server")]
    public static partial void NotFenced(ILogger logger, int connections, double seconds);

    [LoggerMessage(1211, LogLevel.Warning, "{Writes} writes were not flushed when the server was lost, and there is no write log: if it has crashed they may be lost, and the next flush is answered with an error")]
    public static partial void MayHaveLost(ILogger logger, long writes);

    [LoggerMessage(1212, LogLevel.Warning, "the server failed a flush with {Error}: {Bytes} bytes are kept and written again in {Seconds} s; when the log is full, writes wait")]
    public static partial void OwnFlushFailed(ILogger logger, string error, long bytes, long seconds);

    [LoggerMessage(1216, LogLevel.Warning, "nothing that was read or flushed before the server was lost can be compared now: whether it is the same disk is not certain")]
    public static partial void NotVerified(ILogger logger);

    [LoggerMessage(1217, LogLevel.Warning, "{Replayed} writes ({Bytes} bytes) that a dead process had left unflushed were repeated")]
    public static partial void TookOver(ILogger logger, long replayed, long bytes);

    [LoggerMessage(1213, LogLevel.Debug, "one of {Connections} connections is lost: {Reason}")]
    public static partial void OneLost(ILogger logger, int connections, string reason);

    [LoggerMessage(1214, LogLevel.Debug, "a lost connection is replaced, there are {Connections} again")]
    public static partial void Replaced(ILogger logger, int connections);

    [LoggerMessage(1215, LogLevel.Debug, "cannot replace a lost connection yet: {Reason}")]
    public static partial void ReplacementFailed(ILogger logger, string reason);

    [LoggerMessage(1203, LogLevel.Error, "the server is shutting down (ESHUTDOWN): what is in flight is finished, all further I/O gets an error until it is unmounted")]
    public static partial void ServerShutsDown(ILogger logger);

    [LoggerMessage(1204, LogLevel.Debug, "the server failed {Operation} of {Length} bytes at {Offset} with {Error}: {Text}")]
    public static partial void ServerError(
        ILogger logger, Block.BlockOperation operation, long length, long offset, string error, string text);

    [LoggerMessage(1218, LogLevel.Warning, "{Server} is skipped: {Reason}")]
    public static partial void ServerSkipped(ILogger logger, string server, string reason);

    [LoggerMessage(1219, LogLevel.Warning, "going on with {Server} in place of {Before}")]
    public static partial void OtherServer(ILogger logger, string before, string server);
}
