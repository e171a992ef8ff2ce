using NbdFuse.Client.Transmission;
using NbdFuse.Protocol;

namespace NbdFuse.Client;

/// <content>What can be seen from outside.</content>
public sealed partial class NbdExport
{
    private volatile NbdExportState _state = NbdExportState.Connecting;
    private volatile string? _outage;
    private long _stateSinceMs;
    private int _generation = 1;
    private int _reconnects;
    private long _replayedTotal;

    /// <summary>
    /// Raised on the export's loop whenever <see cref="State"/> has changed. What it calls must neither block nor throw.
    /// </summary>
    public event Action<NbdExportStateChange>? StateChanged;

    /// <summary>
    /// Raised on the export's loop when the write log has been written again, whatever for, and also if it was empty: what the server
    /// showed before may have lacked writes that it had acknowledged. What it calls must neither block nor throw.
    /// </summary>
    public event Action? Rewritten;

    /// <summary>Others change the export at the same time (<see cref="NbdExportOptions.Shared"/>).</summary>
    public bool IsShared => _options.Shared;

    /// <summary>What the export can do at present. May be asked on any thread.</summary>
    public NbdExportState State => _state;

    /// <summary>Why requests wait at present for the server to come back; null when they do not. May be asked on any thread.</summary>
    public string? Outage => _outage;

    /// <summary>Number of the server's run that the export is connected to, or was last, from 1. May be asked on any thread.</summary>
    public int Generation => Volatile.Read(ref _generation);

    /// <summary>How often the server was lost and found again. May be asked on any thread.</summary>
    public int Reconnects => Volatile.Read(ref _reconnects);

    /// <summary>Writes of the log that were sent again, since the beginning. May be asked on any thread.</summary>
    public long ReplayedWrites => Volatile.Read(ref _replayedTotal);

    /// <summary>Bytes that the write log holds: acknowledged, and not known to be durable. 0 without a log. May be asked on any thread.</summary>
    public long WriteLogBytes => _log?.Bytes ?? 0;

    /// <summary>Most bytes that the write log can hold; 0 without a log.</summary>
    public long WriteLogCapacity => _log?.Capacity ?? 0;

    /// <summary>The present connections, for tests that break them. On the loop.</summary>
    internal ConnectionSet? Set => _set;

    private void ChangeState(NbdExportState state, string cause)
    {
        long nowMs = _loop!.NowMs;
        var change = new NbdExportStateChange(
            _state,
            state,
            NbdText.Sanitize(cause, NbdLimits.MaxStringBytes),
            TimeSpan.FromMilliseconds(nowMs - _stateSinceMs),
            _generation,
            _held.Count + _atConnections,
            WriteLogBytes,
            _replayed,
            _attempts);
        _outage = state == NbdExportState.Recovering ? change.Cause : null;
        _state = state;
        _stateSinceMs = nowMs;
        switch (state)
        {
            case NbdExportState.Recovering:
                Log.Recovering(_logger, change.Cause, change.Waiting, change.LoggedBytes);
                break;
            case NbdExportState.Ready:
                Log.Recovered(
                    _logger, change.Duration.TotalSeconds, change.Attempts, change.Generation, change.ReplayedWrites, change.Waiting, change.Cause);
                break;
            case NbdExportState.Failed:
                Log.ExportFailed(_logger, change.Cause);
                break;
        }

        StateChanged?.Invoke(change);
    }
}
