using NbdFuse.Client.Transmission;

namespace NbdFuse.Client;

/// <content>Going on in place of a process that has died: with its write log, and what it recognised the disk by.</content>
public sealed partial class NbdExport
{
    // Given the log of a dead process: nothing goes out before TakeOver.
    private bool _awaitsTakeOver;

    /// <summary>
    /// Nothing of the dead process's connections can act any more. Looks whether the disk is the same (else the export fails, and
    /// nothing was written), writes the log again that was left, and only then lets requests out; without
    /// <see cref="NbdKeptLog.Left"/> it does nothing. Any thread.
    /// </summary>
    /// <remarks>
    /// The log is written again whatever the server is: whether it is the run of the server that acknowledged its entries,
    /// a process that was not there cannot know. Writing them once more changes nothing if it is: what was acknowledged later to
    /// the same place is in the log, too, and what was not is sent again by whoever asked for it.
    /// </remarks>
    public void TakeOver() => _ = _loop!.Post(BeginTakeOver);

    private static WriteLog OpenLog(NbdExportOptions options, int block, out bool isLeft)
    {
        isLeft = false;
        if (options.KeptLog is not { } kept)
        {
            return new WriteLog(options.WriteLogBytes, block);
        }

        if (kept.Left is { } left && WriteLog.Adopt(left, block) is { } adopted)
        {
            isLeft = true;
            return adopted;
        }

        var made = WriteLog.CreateShared(options.WriteLogBytes, block);
        kept.Made(made.Memory.Descriptor!);
        return made;
    }

    private void InheritCounts()
    {
        _acknowledged = _log!.Appended;
        _durable = _log.Released;
        _sawTrim = _log.Memory.Trimmed != 0;
        _fingerprint?.ForgetNewerThan(_durable);
    }

    private void BeginTakeOver()
    {
        if (!_awaitsTakeOver)
        {
            return;
        }

        _awaitsTakeOver = false;
        if (_log!.End > Info.Size)
        {
            Fail(new NbdDisconnectedException(
                $"the write log that a dead process has left reaches to {_log.End}, and the export ends at {Info.Size}; nothing of it was written"
                + Loss() + "; check the server, and mount again"));
        }
        else if (_phase == ExportPhase.Waiting)
        {
            // Otherwise the server was lost meanwhile, and what follows its return does it.
            StartCheck();
        }
    }

    private void BecomeReady()
    {
        _readySinceMs = _loop!.NowMs;
        _stateSinceMs = _readySinceMs;
        _state = NbdExportState.Ready;
        if (_replayed > 0)
        {
            Log.TookOver(_logger, _replayed, WriteLogBytes);
        }
    }

    private void NoteTrim()
    {
        _sawTrim = true;
        if (_log is not null)
        {
            Volatile.Write(ref _log.Memory.Trimmed, 1);
        }
    }
}
