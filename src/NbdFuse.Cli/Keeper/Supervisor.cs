using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.Extensions.Logging;
using NbdFuse.Fuse;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>
/// The keeper: holds what must survive the process that serves a FUSE mount or a ublk device (/dev/fuse, copies of the connections to the server,
/// the state of the mount, the buffers, the write log), and follows a worker that has died with another one. Nobody who uses the file notices more than a pause.
/// </summary>
/// <remarks>
/// The order after a death: the process is gone with all of its threads; the server has let go of its connections; the kernel
/// is asked to send again what the dead one had taken, unless it is too old for that, when the next one finds it in the buffers; only
/// then another one takes requests. Starting that one, and its
/// handshake with the server, go on at the same time.
/// THREADING: <see cref="Run"/> belongs to one thread, and everything but <see cref="Signal"/> and <see cref="HandOver"/> to it.
/// </remarks>
internal sealed partial class Supervisor : IDisposable
{
    private const int SignalKill = 9;
    private const int SignalTerminate = 15;
    private const int CodeOfSignals = 128;

    // How long a killed process may take to be gone before nobody waits for it any more.
    private static readonly TimeSpan KillTimeout = TimeSpan.FromSeconds(5);

    private readonly SupervisorOptions _options;
    private readonly FileDescriptor _wake = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "make an event descriptor");
    private readonly ConcurrentQueue<Action> _asked = new();
    private readonly FuseSavedState _state = FuseSavedState.Create();
    private readonly OldConnections _old = new();
    private readonly RestartPolicy _policy = new();
    private readonly List<FileDescriptor> _polled = [];

    // Of the mount; null until a worker has made it.
    private FileDescriptor? _device;
    private FileDescriptor? _helper;
    private FileDescriptor? _log;
    private FileDescriptor? _buffers;
    private byte[] _mount = [];

    // Of a block device that waits for another process by itself: the kernel keeps it with all that was asked of it.
    private bool _outlives;

    private WorkerProcess? _worker;
    private long _restartMs = long.MaxValue;
    private long _fenceMs = long.MaxValue;
    private long _endMs = long.MaxValue;
    private long _diedMs;
    private bool _mustResend;
    private bool _isUsable;
    private int _signals;
    private int _pendingSignal;
    private int? _exitCode;

    // Exit code of an end that the keeper itself has asked the worker for.
    private int? _failure;

    /// <summary>Makes a keeper; nothing is started before <see cref="Run"/>.</summary>
    /// <param name="options">What it keeps.</param>
    public Supervisor(SupervisorOptions options) => _options = options;

    /// <summary>Workers that have died and were followed by another.</summary>
    public int Restarts { get; private set; }

    // There is something that another worker can go on with.
    private bool IsLasting => _device is not null || _outlives;

    private bool IsServing => _worker is { ServingSinceMs: > 0 };

    /// <summary>Keeps, until the end of the mount.</summary>
    /// <returns>Exit code of the command.</returns>
    public int Run()
    {
        StartWorker();
        while (_exitCode is null)
        {
            Wait();
        }

        return _exitCode.Value;
    }

    /// <summary>Passes a signal that asks for the end on: the first one asks for a clean end, the second one for any. Any thread.</summary>
    /// <param name="number">The signal's number.</param>
    public void Signal(int number) => Ask(() => OnSignal(number));

    /// <summary>Replaces the worker by one of the program that lies at the path now; no request is lost. Any thread.</summary>
    public void HandOver() => Ask(OnHandOver);

    /// <inheritdoc/>
    public void Dispose()
    {
        _worker?.Dispose();
        _old.Dispose();
        _device?.Dispose();
        _helper?.Dispose();
        _log?.Dispose();
        _buffers?.Dispose();
        _state.Dispose();
        _wake.Dispose();
    }

    private void Ask(Action action)
    {
        _asked.Enqueue(action);
        _ = Posix.EventFdWrite(_wake.Value);
    }

    private void StartWorker()
    {
        _restartMs = long.MaxValue;
        try
        {
            _worker = WorkerProcess.Start(_options.WorkerArgv, _options.WorkerEnvironment, _options.IoFlusher);
        }
        catch (PosixException e) when (IsLasting)
        {
            // A shortage of memory or processes may pass.
            _options.Log(LogLevel.Error, $"cannot start a process to serve the file: {e.Message}");
            Schedule(_policy.Next(wasKilled: false, servedMs: -1), "none can be started");
            return;
        }

        ActivationFlags flags = IsLasting ? ActivationFlags.Resume : ActivationFlags.None;
        flags |= _isUsable ? ActivationFlags.Usable : ActivationFlags.None;
        flags |= _log is null ? ActivationFlags.None : ActivationFlags.LeftLog;
        flags |= _buffers is null ? ActivationFlags.None : ActivationFlags.LeftBuffers;
        List<int> descriptors = [_state.Descriptor.Value];
        if (_device is not null)
        {
            descriptors.Add(_device.Value);
            if (_helper is not null)
            {
                descriptors.Add(_helper.Value);
            }
        }

        // One that died meanwhile is seen by its end.
        _ = _worker.Channel.Send(KeeperMessage.Activate, [(byte)flags, .. _mount], [.. descriptors]);
        if (_log is not null)
        {
            _ = _worker.Channel.Send(KeeperMessage.LeftLog, default, [_log.Value]);
        }

        if (_buffers is not null)
        {
            _ = _worker.Channel.Send(KeeperMessage.LeftBuffers, default, [_buffers.Value]);
        }
    }

    private void Wait()
    {
        // A handful of entries, and woken only when something happens: nothing here is worth to be kept.
        _polled.Clear();
        if (_worker is not null)
        {
            _polled.AddRange(_worker.Connections);
        }

        int own = _polled.Count;
        _polled.AddRange(_old.Open);
        var entries = new PollDescriptor[3 + _polled.Count];
        entries[0] = new PollDescriptor(_wake.Value, PollEvents.In);
        entries[1] = new PollDescriptor(_worker is { IsSilent: false } ? _worker.Channel.Value : -1, PollEvents.In);
        entries[2] = new PollDescriptor(_worker?.Process.EndDescriptor.Value ?? -1, PollEvents.In);
        for (int i = 0; i < _polled.Count; i++)
        {
            // Of a living worker's connections nothing is read: only whether both sides have closed.
            entries[3 + i] = new PollDescriptor(_polled[i].Value, i < own ? PollEvents.None : PollEvents.In);
        }

        PosixException.Check(Posix.Poll(entries, Timeout()), "wait for the worker");
        if (entries[0].Returned != 0)
        {
            _ = Posix.EventFdRead(_wake.Value);
            while (_asked.TryDequeue(out Action? action))
            {
                action();
            }
        }

        if (_exitCode is not null)
        {
            return;
        }

        if (entries[1].Returned != 0)
        {
            TakeMessages();
        }

        for (int i = 0; i < _polled.Count; i++)
        {
            if (entries[3 + i].Returned == 0)
            {
                continue;
            }

            if (i >= own)
            {
                _old.Drain(_polled[i]);
            }
            else if ((entries[3 + i].Returned & (PollEvents.Hup | PollEvents.Invalid)) != 0)
            {
                // Otherwise the copy would keep alive what the worker has closed.
                _worker!.Forget(_polled[i]);
            }
        }

        if (_exitCode is null && entries[2].Returned != 0 && _worker!.Process.WaitForExit(TimeSpan.Zero))
        {
            TakeMessages();
            OnDeath();
        }

        Advance();
    }

    private int Timeout()
    {
        long next = Math.Min(Math.Min(_restartMs, _fenceMs), _endMs);
        return next == long.MaxValue ? -1 : (int)Math.Clamp(next - MonotonicClock.Milliseconds, 0, int.MaxValue);
    }

    /// <summary>Does what has become due.</summary>
    private void Advance()
    {
        if (_exitCode is not null)
        {
            return;
        }

        long now = MonotonicClock.Milliseconds;
        if (_endMs <= now && !IsServing)
        {
            GiveUp("asked to end, but the server is not there to take what was written last");
            return;
        }

        if (_restartMs <= now)
        {
            StartWorker();
        }

        if (_fenceMs <= now && _old.Cut() is > 0 and int left)
        {
            _options.Log(
                LogLevel.Warning,
                $"the server has not closed {left.ToString(CultureInfo.InvariantCulture)} connection(s) of the dead process within {_options.FenceTimeout.TotalSeconds} s: a write that is stuck there may still be executed");
        }

        if (_old.Open.Count > 0)
        {
            return;
        }

        _fenceMs = long.MaxValue;
        if (IsLasting && _worker is { IsThere: true, IsReleased: false })
        {
            Release(_worker);
        }
    }

    private void Release(WorkerProcess worker)
    {
        if (_mustResend && _device is not null)
        {
            // Linux before 6.9 refuses. Then the worker finds in the buffers what the dead one had taken.
            int result = _options.Resends ? FuseResend.Ask(_device!) : -Errno.EINVAL;
            if (result == -Errno.EINVAL && (_buffers is null || _state.LoadNegotiation() is { CanProbe: false }))
            {
                GiveUp("this kernel can neither send requests again (Linux 6.9 can) nor tell of them (Linux 4.20 can)");
                return;
            }

            // Any other error means that the mount has gone, which the worker finds by itself.
            _mustResend = false;
        }

        worker.IsReleased = true;
        _ = worker.Channel.Send(KeeperMessage.Go);
    }

    private void Schedule(long delayMs, string why)
    {
        if (delayMs < 0)
        {
            GiveUp($"too many processes have died in a row: {why}");
            return;
        }

        _restartMs = MonotonicClock.Milliseconds + delayMs;
    }
}
