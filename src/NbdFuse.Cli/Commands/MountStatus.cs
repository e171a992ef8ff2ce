using System.Net.Sockets;
using System.Runtime;
using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Attach.Control;
using NbdFuse.Client;
using NbdFuse.Fuse;

namespace NbdFuse.Cli;

/// <summary>What <c>nbdfuse status</c> is told of a mounted file: an entry in the runtime directory with a control socket.</summary>
/// <remarks>
/// Nothing depends on it: where there is no directory for it, as for a user without XDG_RUNTIME_DIR, the file is mounted all the
/// same, and not listed.
/// THREADING: control plane; questions are answered on threads of the pool.
/// </remarks>
internal sealed class MountStatus : IAsyncDisposable
{
    private readonly AttachEntry _entry;
    private readonly AttachState _state;
    private readonly MountedExport _mounted;
    private readonly NbdExport _export;
    private readonly ControlServer _server;

    private MountStatus(AttachEntry entry, AttachState state, MountedExport mounted, NbdExport export)
    {
        _entry = entry;
        _state = state;
        _mounted = mounted;
        _export = export;
        entry.Write(state);
        _server = new ControlServer(entry.SocketPath, AnswerAsync);
    }

    /// <summary>Makes the entry.</summary>
    /// <param name="mounted">The mount, which outlives this object.</param>
    /// <param name="export">Its export.</param>
    /// <param name="target">Where it is.</param>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="logger">Hears why there is none.</param>
    /// <returns>Null when none can be made.</returns>
    public static MountStatus? Publish(MountedExport mounted, NbdExport export, MountTarget target, NbdfuseArguments arguments, ILogger logger)
    {
        AttachEntry? entry = null;
        try
        {
            // Also that of the process before, which a keeper has had followed by this one.
            AttachedDevices.Forget(state =>
                state.Driver == FileKind.Name && (state.DriverNote == mounted.Device || FileKind.IsUnmounted(state)));
            entry = RuntimeDirectory.CreateEntry();
            int own = Environment.ProcessId;
            var state = new AttachState
            {
                Pid = own,
                ProcessStart = AttachEntry.ProcessStart(own),
                Device = target.FilePath,
                Driver = FileKind.Name,
                DriverNote = mounted.Device,
                Server = arguments.Target!.ToString()!,
                Export = arguments.ExportName,
                Size = export.Info.Size,
                UnreachableTail = export.Info.ExportSize - export.Info.Size,
                BlockSize = export.Info.MinimumBlock,
                ReadOnly = export.Info.IsReadOnly,
                Connections = export.Connections,
            };
            return new MountStatus(entry, state, mounted, export);
        }
        catch (Exception e) when (e is AttachException or IOException or UnauthorizedAccessException or SocketException)
        {
            CommandLog.NoStatus(logger, e.Message);
            entry?.Remove();
            return null;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync().ConfigureAwait(false);
        _entry.Remove();
    }

    private Task<ControlReply> AnswerAsync(ControlRequest request) => Task.FromResult(
        request.Request == ControlRequest.Status
            ? new ControlReply { Ok = true, Status = Status() }
            : new ControlReply { Message = $"{_state.Device} is a mounted file; 'fusermount3 -u {_state.Device}' unmounts it" });

    private AttachStatus Status()
    {
        bool isFailed = _export.State == NbdExportState.Failed;
        string? failure = isFailed && _export.Failure.IsCompletedSuccessfully ? ErrorText.OneLine(_export.Failure.Result.Message) : null;
        return new AttachStatus
        {
            Attached = _state with { Connections = _export.Connections },
            State = isFailed ? "failed" : _mounted.IsStalled ? "recovering" : "online",
            Reason = failure ?? _export.Outage,
            CompiledMethods = JitInfo.GetCompiledMethodCount(),
            InFlight = _mounted.InFlight,
            Recovery = QueueReport.RecoveryOf(_export),
            Operations = QueueReport.Of(_mounted.Statistics.Operations),
            Activity = _mounted.Activity,
        };
    }
}
