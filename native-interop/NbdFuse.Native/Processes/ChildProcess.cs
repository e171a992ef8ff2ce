using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>
/// A child process, started by posix_spawn: nothing of managed code runs between fork and exec. Not tied to our death.
/// </summary>
/// <remarks>THREADING: all members may be used from any thread. The child is reaped exactly once, by whoever sees its end first.</remarks>
public sealed class ChildProcess : IDisposable
{
    private const nint PidfdSendSignalNumber = 424;
    private const nint PidfdOpenNumber = 434;
    private const int NoHang = 1;

    private readonly FileDescriptor _pidDescriptor;
    private readonly Lock _lock = new();
    private int? _exitCode;

    private ChildProcess(int pid, FileDescriptor pidDescriptor)
    {
        Pid = pid;
        _pidDescriptor = pidDescriptor;
    }

    /// <summary>The child's process id. It may be reused by the system once the end was seen.</summary>
    public int Pid { get; }

    /// <summary>
    /// Becomes readable when the process has ended with all of its threads (pidfd_open(2)). For waiting for several things at
    /// once; belongs to this object.
    /// </summary>
    public FileDescriptor EndDescriptor => _pidDescriptor;

    /// <summary>The exit code if the end was seen: 0 to 255, or 128 plus the signal's number.</summary>
    public int? ExitCode
    {
        get
        {
            lock (_lock)
            {
                return _exitCode;
            }
        }
    }

    /// <summary>Starts a process with default signal dispositions and nothing blocked.</summary>
    /// <param name="options">What to start.</param>
    /// <exception cref="PosixException">The program was not found, or the system refused.</exception>
    public static ChildProcess Spawn(SpawnOptions options) => SpawnThread.Run(() => SpawnHere(options));

    /// <summary>
    /// Replaces this process by another program with the same process id (execve(2)). Descriptors and session of the options are
    /// not looked at: all that is not close-on-exec stays.
    /// </summary>
    /// <param name="options">The program, with its path; never looked up.</param>
    /// <exception cref="PosixException">The system refused, and this process goes on.</exception>
    public static void Replace(SpawnOptions options)
    {
        using SpawnRequest request = new(options with { Descriptors = [], NewSession = false });
        using IoFlusherScope scope = new(options.IoFlusher);
        request.Exec();
    }

    private static unsafe ChildProcess SpawnHere(SpawnOptions options)
    {
        using SpawnRequest request = new(options);
        int pid;
        using (new IoFlusherScope(options.IoFlusher))
        {
            pid = request.Run();
        }

        int fd = (int)Libc.syscall(PidfdOpenNumber, pid, 0, 0, 0, 0, 0);
        if (fd < 0)
        {
            int error = Marshal.GetLastSystemError();
            // Without the descriptor the child cannot be waited for safely: do not leave it behind.
            Libc.kill(pid, 9);
            int status;
            Libc.waitpid(pid, &status, 0);
            throw new PosixException($"watch process {pid} ({options.Argv[0]})", error);
        }

        return new ChildProcess(pid, FileDescriptor.Own(fd));
    }

    /// <summary>Waits for the end.</summary>
    /// <param name="timeout">How long; <see cref="Timeout.InfiniteTimeSpan"/> without end.</param>
    /// <returns>Whether it has ended; <see cref="ExitCode"/> tells how.</returns>
    public bool WaitForExit(TimeSpan timeout)
    {
        if (ExitCode is not null)
        {
            return true;
        }

        int milliseconds = timeout == Timeout.InfiniteTimeSpan
            ? -1
            : (int)Math.Clamp(Math.Ceiling(timeout.TotalMilliseconds), 0, int.MaxValue);
        bool added = false;
        try
        {
            _pidDescriptor.DangerousAddRef(ref added);
            // The descriptor becomes readable when the child has ended, reaped or not.
            PosixException.Check(Posix.Poll(_pidDescriptor.Value, PollEvents.In, milliseconds), $"wait for process {Pid}");
        }
        finally
        {
            if (added)
            {
                _pidDescriptor.DangerousRelease();
            }
        }

        return TryReap();
    }

    /// <summary>Waits for the end on a thread of its own.</summary>
    /// <param name="cancellation">Ends the waiting, not the child.</param>
    /// <returns>The exit code, see <see cref="ExitCode"/>.</returns>
    public async Task<int> WaitAsync(CancellationToken cancellation = default)
    {
        Task wait = Task.Factory.StartNew(
            () =>
            {
                // In slices, so that a cancelled wait does not keep its thread for the child's lifetime.
                while (!cancellation.IsCancellationRequested && !WaitForExit(TimeSpan.FromSeconds(1)))
                {
                }
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        await wait.WaitAsync(cancellation).ConfigureAwait(false);
        return ExitCode ?? throw new InvalidOperationException($"Process {Pid} was waited for, but has not ended.");
    }

    /// <summary>Sends a signal. Safe against reuse of the process id.</summary>
    /// <param name="signal">The signal's number.</param>
    /// <returns>0 or a negative errno (ESRCH when the end was seen).</returns>
    public int Kill(int signal)
    {
        lock (_lock)
        {
            if (_exitCode is not null || _pidDescriptor.IsClosed)
            {
                return -Errno.ESRCH;
            }

            nint result = Libc.syscall(PidfdSendSignalNumber, _pidDescriptor.Value, signal, 0, 0, 0, 0);
            return result >= 0 ? 0 : -Marshal.GetLastSystemError();
        }
    }

    /// <summary>Forgets the child. It goes on running; reap it before, or it stays a zombie until this process ends.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _pidDescriptor.Dispose();
        }
    }

    private unsafe bool TryReap()
    {
        lock (_lock)
        {
            if (_exitCode is not null)
            {
                return true;
            }

            int status = 0;
            int result;
            do
            {
                result = Libc.waitpid(Pid, &status, NoHang);
            }
            while (result < 0 && Marshal.GetLastSystemError() == Errno.EINTR);

            if (result == 0)
            {
                return false;
            }

            if (result < 0)
            {
                throw new PosixException($"reap process {Pid}", Marshal.GetLastSystemError());
            }

            int signal = status & 0x7F;
            _exitCode = signal == 0 ? (status >> 8) & 0xFF : 128 + signal;
            return true;
        }
    }
}
