using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;
using NbdFuse.Fuse;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <content>What happens to a keeper: messages, deaths, signals; and its end.</content>
internal sealed partial class Supervisor
{
    private void TakeMessages()
    {
        WorkerProcess worker = _worker!;
        while (_exitCode is null)
        {
            int result = worker.Channel.Receive(out KeeperMessage kind, out byte[] body, out FileDescriptor[] descriptors, wait: false);
            if (result == -Errno.EAGAIN)
            {
                return;
            }

            if (result <= 0)
            {
                // Its end follows; should it live on without us, then that is how it is.
                worker.IsSilent = true;
                return;
            }

            foreach (FileDescriptor unused in Take(worker, kind, body, descriptors))
            {
                unused.Dispose();
            }
        }
    }

    /// <returns>The descriptors that nobody has taken.</returns>
    private IEnumerable<FileDescriptor> Take(WorkerProcess worker, KeeperMessage kind, byte[] body, FileDescriptor[] descriptors)
    {
        switch (kind)
        {
            case KeeperMessage.Hello:
                worker.IsThere = true;
                if (!IsLasting)
                {
                    PassSignalOn();
                }

                break;
            case KeeperMessage.Mounted when descriptors.Length > 0 && _device is null:
                _mount = body;
                _device = descriptors[0];
                _helper = descriptors.Length > 1 ? descriptors[1] : null;
                return descriptors.Skip(2);
            case KeeperMessage.Connection when descriptors.Length == 1:
                worker.Connections.Add(descriptors[0]);
                return [];
            case KeeperMessage.WriteLog when descriptors.Length == 1:
                _log?.Dispose();
                _log = descriptors[0];
                return [];
            case KeeperMessage.Buffers when descriptors.Length == 1:
                _buffers?.Dispose();
                _buffers = descriptors[0];
                return [];
            case KeeperMessage.Serving:
                OnServing(worker);
                break;
            case KeeperMessage.Usable when !_isUsable:
                _isUsable = true;
                TellUsable(Encoding.UTF8.GetString(body));
                break;
            case KeeperMessage.Explain when !_isUsable:
                TryExplain(Encoding.UTF8.GetString(body));
                break;
            case KeeperMessage.Outlives:
                _outlives = true;
                break;
            case KeeperMessage.LetGo:
                LetGo();
                break;
            case KeeperMessage.Notify:
                _options.Notify(Encoding.UTF8.GetString(body));
                break;
            case KeeperMessage.Done:
                worker.IsDone = true;
                break;
            case KeeperMessage.Failed:
                worker.HasFailed = true;
                break;
            case KeeperMessage.Crashed:
                worker.HasCrashed = true;
                break;
        }

        return descriptors;
    }

    private void TellUsable(string path)
    {
        try
        {
            _options.Usable(path);
        }
        catch (IOException e)
        {
            // As without a keeper: who cannot be told waits for ever, and must get an error.
            _options.Log(LogLevel.Error, e.Message);
            _failure = MountCommand.Failed;
            OnSignal(SignalTerminate);
        }
    }

    private void TryExplain(string text)
    {
        try
        {
            _options.Explain(text);
        }
        catch (IOException e)
        {
            _options.Log(LogLevel.Warning, e.Message);
        }
    }

    /// <summary>The worker ends the mount: what still waits for it shall fail as soon as the worker's own descriptor is closed.</summary>
    private void LetGo()
    {
        _device?.Dispose();
        _device = null;
        _helper?.Dispose();
        _helper = null;
        _outlives = false;
    }

    private void OnServing(WorkerProcess worker)
    {
        worker.ServingSinceMs = MonotonicClock.Milliseconds;
        worker.IsReleased = true;
        if (_diedMs != 0)
        {
            _options.Log(
                LogLevel.Warning,
                string.Create(CultureInfo.InvariantCulture, $"process {worker.Process.Pid} serves the file after {worker.ServingSinceMs - _diedMs} ms"));
            _diedMs = 0;
        }

        PassSignalOn();
    }

    private void OnDeath()
    {
        WorkerProcess worker = _worker!;
        int code = worker.Process.ExitCode!.Value;
        _worker = null;
        if (!IsLasting || worker.IsDone || worker.HasFailed || (_options.IsDevice && !_isUsable))
        {
            OnFinalEnd(worker, code);
            return;
        }

        long now = MonotonicClock.Milliseconds;
        bool handsOver = code == KeeperLink.HandOverCode && worker.ServingSinceMs > 0;
        if (_diedMs == 0)
        {
            _diedMs = now;
        }

        if (handsOver)
        {
            _options.Log(LogLevel.Information, "the process that served the file has made room for another");
        }
        else
        {
            _options.Log(
                LogLevel.Warning,
                string.Create(CultureInfo.InvariantCulture, $"process {worker.Process.Pid} that served the file has {How(code)}: starting another"));
            _mustResend = true;
        }

        long servedMs = worker.ServingSinceMs > 0 ? now - worker.ServingSinceMs : -1;
        _old.Add(worker.Connections);
        worker.Connections.Clear();
        worker.Dispose();
        if (_old.Open.Count > 0)
        {
            _fenceMs = now + (long)_options.FenceTimeout.TotalMilliseconds;
        }

        Restarts++;
        if (_signals > 1)
        {
            Force();
            return;
        }

        Schedule(handsOver ? 0 : _policy.Next(code == CodeOfSignals + SignalKill && !worker.HasCrashed, servedMs), $"the last one has {How(code)}");
    }

    private void OnFinalEnd(WorkerProcess worker, int code)
    {
        worker.Dispose();
        if (!worker.IsDone && !worker.HasFailed && code >= CodeOfSignals)
        {
            _options.Log(LogLevel.Error, $"the process that should mount the file has {How(code)}");
        }

        if (worker.HasFailed)
        {
            CutOff();
        }

        _exitCode = _failure ?? code;
    }

    private void OnSignal(int number)
    {
        if (!_options.IsDevice && ++_signals > 1)
        {
            Force();
            return;
        }

        _pendingSignal = number;
        _endMs = _options.IsDevice ? long.MaxValue : MonotonicClock.Milliseconds + (long)_options.EndTimeout.TotalMilliseconds;
        if (IsServing || (!IsLasting && _worker is { IsThere: true }))
        {
            PassSignalOn();
        }
    }

    // Never before a worker listens for it: it would die of it. And not to one that has yet to take over, which would leave
    // everybody waiting.
    private void PassSignalOn()
    {
        if (_pendingSignal != 0)
        {
            _worker!.Process.Kill(_pendingSignal);
            _pendingSignal = 0;
        }
    }

    private void OnHandOver()
    {
        if (IsServing)
        {
            _ = _worker!.Channel.Send(KeeperMessage.HandOver);
        }
    }

    /// <summary>The user has asked twice: whoever waits for the file gets errors.</summary>
    private void Force()
    {
        CutOff();
        _exitCode = CodeOfSignals + SignalKill;
    }

    private void GiveUp(string reason)
    {
        _options.Log(LogLevel.Error, _outlives
            ? $"{reason}; nobody serves the device any more: its users wait, 'nbdfuse status' tells how to go on"
            : $"{reason}; the file fails for its users from here on, and what was written since the last fsync or close may be lost");
        CutOff();
        _exitCode = MountCommand.Failed;
    }

    /// <summary>Ends the connection, so that nobody waits for ever, and takes the mount out of the tree.</summary>
    private void CutOff()
    {
        if (_worker is not null)
        {
            _worker.Process.Kill(SignalKill);
            _worker.Process.WaitForExit(KillTimeout);
            TakeMessages();
        }

        if (_device is null)
        {
            return;
        }

        string[] fields = Encoding.UTF8.GetString(_mount).Split('\0');
        using FuseMount mount = FuseMount.Adopt(KeeperLink.TargetOf(fields), _device, _helper, KeeperLink.IsByHelper(fields), _state);

        // The last descriptor: from here on every request fails.
        _device.Dispose();
        try
        {
            mount.Unmount(lazy: true);
        }
        catch (FuseException e) when (e.Errno is not Errno.EINVAL and not Errno.ENOENT)
        {
            _options.Log(LogLevel.Warning, $"{mount.Path}: still in the tree: {e.Message}");
        }
        catch (FuseException e)
        {
            _options.Log(LogLevel.Debug, $"{mount.Path}: unmounted by somebody else: {e.Message}");
        }
    }

    private static string How(int code) => code >= CodeOfSignals
        ? string.Create(CultureInfo.InvariantCulture, $"died of signal {code - CodeOfSignals}")
        : string.Create(CultureInfo.InvariantCulture, $"ended with exit code {code}");
}
