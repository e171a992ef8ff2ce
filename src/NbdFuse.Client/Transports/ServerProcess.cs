using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>A server that we started, until its end.</summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    private const int SignalKill = 9;
    private const int SignalTerm = 15;

    private readonly ChildProcess _child;
    private readonly NbdTarget _target;
    private readonly TimeSpan _exitTimeout;
    private readonly bool _endsByItself;
    private readonly ILogger _logger;
    private int _disposed;

    private ServerProcess(ChildProcess child, NbdTarget target, TimeSpan exitTimeout, bool endsByItself, ILogger logger)
    {
        _child = child;
        _target = target;
        _exitTimeout = exitTimeout;
        _endsByItself = endsByItself;
        _logger = logger;
    }

    /// <summary>Starts the server.</summary>
    /// <param name="spawn">What to start.</param>
    /// <param name="target">The target, for messages.</param>
    /// <param name="exitTimeout">Time to end, twice, before SIGKILL.</param>
    /// <param name="endsByItself">Whether it ends when its connection is closed, and needs no signal.</param>
    /// <param name="logger">Where start and end are logged.</param>
    public static ServerProcess Start(
        SpawnOptions spawn, NbdTarget target, TimeSpan exitTimeout, bool endsByItself, ILogger logger)
    {
        try
        {
            ChildProcess child = ChildProcess.Spawn(spawn);
            Log.CommandStarted(logger, target.ToString(), child.Pid);
            return new ServerProcess(child, target, exitTimeout, endsByItself, logger);
        }
        catch (Exception e) when (e is PosixException or ArgumentException)
        {
            string reason = e is PosixException posix ? Errno.Describe(posix.Errno) : e.Message;
            throw new NbdConnectException(
                NbdConnectFailure.CommandNotStarted,
                $"cannot start {target}: {reason}; is the program installed, and in PATH?",
                e);
        }
    }

    /// <summary>Whether it has ended.</summary>
    public bool HasEnded => _child.WaitForExit(TimeSpan.Zero);

    /// <summary>Frees what is left of a server that has ended.</summary>
    public void Reap()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            Log.CommandEnded(_logger, _child.Pid, Describe(_child.ExitCode.GetValueOrDefault()));
            _child.Dispose();
        }
    }

    /// <summary>The error that tells of the server's end, if it has ended or does so soon.</summary>
    /// <param name="timeout">How long to wait for the end.</param>
    /// <param name="cause">What was noticed first.</param>
    public async Task<NbdConnectException?> DescribeEndAsync(TimeSpan timeout, Exception? cause)
    {
        bool ended = await WaitAsync(timeout).ConfigureAwait(false);
        if (!ended)
        {
            return null;
        }

        int code = _child.ExitCode.GetValueOrDefault();
        return code is 126 or 127
            ? new NbdConnectException(
                NbdConnectFailure.CommandNotStarted,
                $"{_target} was not run ({Describe(code)}: not found or not executable); is the program installed, and in PATH?",
                cause)
            : new NbdConnectException(
                NbdConnectFailure.CommandExited,
                $"{_target} ended before there was an NBD connection ({Describe(code)}); see its own messages",
                cause);
    }

    /// <summary>Asks the server to end, and leaves it to the system to collect it.</summary>
    public void Abandon()
    {
        // ESRCH when it has ended already.
        _ = _child.Kill(SignalTerm);
    }

    /// <summary>Ends the server, politely first, and reaps it.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        using (_child)
        {
            bool ended = _endsByItself && await WaitAsync(_exitTimeout).ConfigureAwait(false);
            if (!ended)
            {
                ended = await SignalAsync(SignalTerm, "SIGTERM", isLate: _endsByItself).ConfigureAwait(false);
            }

            if (!ended)
            {
                ended = await SignalAsync(SignalKill, "SIGKILL", isLate: true).ConfigureAwait(false);
            }

            if (ended)
            {
                Log.CommandEnded(_logger, _child.Pid, Describe(_child.ExitCode.GetValueOrDefault()));
            }
        }
    }

    private static string Describe(int code) => code > 128 ? $"signal {code - 128}" : $"exit status {code}";

    private Task<bool> SignalAsync(int signal, string name, bool isLate)
    {
        if (isLate)
        {
            Log.CommandSignalled(_logger, _child.Pid, _exitTimeout.TotalSeconds, name);
        }

        // ESRCH when it has just ended, which the wait then sees.
        _ = _child.Kill(signal);
        return WaitAsync(_exitTimeout);
    }

    private Task<bool> WaitAsync(TimeSpan timeout) =>
        BlockingWork.RunAsync(() => _child.WaitForExit(timeout), CancellationToken.None);
}
