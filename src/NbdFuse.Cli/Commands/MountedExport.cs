using Microsoft.Extensions.Logging;
using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Fuse;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>
/// Export, layers, queue, loop and FUSE session of one mount, joined: made in the order in which data flows up, taken down in
/// the opposite one.
/// </summary>
internal sealed class MountedExport : IAsyncDisposable
{
    // Enough for the kernel's max_background of 256 at any request size; buffers are touched only when they are used.
    private const int QueueCapacity = 256;

    private static readonly TimeSpan WriteBackTimeout = TimeSpan.FromSeconds(10);

    private readonly NbdExport _export;
    private readonly FuseMount _mount;
    private readonly EventLoop _loop;
    private readonly FuseBuffers _buffers;
    private readonly RequestQueue _queue;
    private readonly FuseSession _session;
    private bool _isDisposed;

    /// <summary>Joins an open export and a mount; nothing is served before <see cref="Start"/>.</summary>
    /// <param name="export">The export; belongs to this object from here on.</param>
    /// <param name="mount">The mount; belongs to this object from here on.</param>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="options">Options of the mount.</param>
    /// <param name="loggers">The log.</param>
    public MountedExport(
        NbdExport export, FuseMount mount, NbdfuseArguments arguments, FuseMountOptions options, ILoggerFactory loggers)
    {
        bool spin = arguments.Spin == SpinMode.Auto;
        var ready = new ReadyList();
        _export = export;
        _mount = mount;
        _loop = new EventLoop("nbdfuse-loop", spin ? null : new EventLoopOptions { SpinMicroseconds = 0 });
        _queue = new RequestQueue(
            DeviceStack.Build(export, ready, QueueCapacity), ready, new RequestQueueOptions { Capacity = QueueCapacity });
        _buffers = new FuseBuffers(QueueCapacity);
        _session = new FuseSession(
            _loop,
            mount.Device,
            _queue,
            _buffers,
            new FuseSessionOptions
            {
                Mount = options,
                FileName = mount.Target.FileName,
                Punch = arguments.Punch,
                Spin = spin,
            },
            loggers.CreateLogger("fuse"));
    }

    /// <summary>Ends when the file is usable.</summary>
    public Task Ready => _session.Ready;

    /// <summary>Ends when the session has ended.</summary>
    public Task<FuseSessionEnd> Ended => _session.Completion;

    /// <summary>Ends when the server is lost, with the reason.</summary>
    public Task<Protocol.NbdException> Failure => _export.Failure;

    /// <summary>What was asked so far.</summary>
    public RequestQueueStatistics Statistics => _queue.Statistics;

    /// <summary>Requests in flight; may lag behind by a few.</summary>
    public int InFlight => _queue.InFlight;

    /// <summary>
    /// Takes the mount out of the tree although the file is in use: it stays until its last user closes it, and then the
    /// session ends.
    /// </summary>
    public Task HideAsync() => Task.Run(() => _mount.Unmount(lazy: true));

    /// <summary>Fails everything that is in flight, and ends the session. What is asked later fails after the disposal.</summary>
    public async Task AbortAsync()
    {
        _session.Abort(Errno.EIO);
        await _session.Completion.ConfigureAwait(false);
    }

    /// <summary>Begins to serve.</summary>
    public void Start()
    {
        _export.Start(_loop);
        _session.Start();
        _loop.Start();
    }

    /// <summary>
    /// Takes the mount out of the tree. A file that is in use stays open for its users until this process ends, as
    /// with libnbd's nbdfuse; what was asked before is answered.
    /// </summary>
    /// <param name="logger">Hears when the file was in use.</param>
    public async Task UnmountAsync(ILogger logger)
    {
        // Not on the loop: unmounting writes pages back, which the loop serves.
        await Task.Run(() =>
        {
            try
            {
                _mount.Unmount(lazy: false);
            }
            catch (FuseException e) when (e.Errno == Errno.EBUSY)
            {
                CommandLog.InUse(logger, _mount.Path);
                WriteBack(_mount.Target.FilePath, logger);
                _mount.Unmount(lazy: true);
            }
        }).ConfigureAwait(false);
        _session.BeginDrain();
    }

    /// <summary>Sends the last FLUSH, unless nothing can have been written.</summary>
    /// <returns>Linux errno, positive; 0 on success.</returns>
    public Task<int> FlushAsync() =>
        _queue.Info.IsReadOnly || !_queue.Info.CanFlush ? Task.FromResult(0) : FinalFlush.RunAsync(_loop, _queue);

    /// <summary>Says goodbye to the server and stops the loop. The mount, if it still exists, is dead afterwards.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        await _export.DisposeAsync().ConfigureAwait(false);
        _loop.Dispose();
        _mount.Dispose();
        _buffers.Dispose();
    }

    // Dirty pages of programs that have the file mapped: the kernel writes them by itself only in time. By another process: a
    // thread of ours that waits for our own answer could not be killed, and would keep the device open for ever.
    private static void WriteBack(string path, ILogger logger)
    {
        try
        {
            using ChildProcess sync = ChildProcess.Spawn(new SpawnOptions { Argv = ["sync", path], NewSession = true });
            if (!sync.WaitForExit(WriteBackTimeout) || sync.ExitCode != 0)
            {
                CommandLog.WriteBackFailed(logger, path, "the server does not answer, or refuses");
            }
        }
        catch (PosixException e)
        {
            CommandLog.WriteBackFailed(logger, path, e.Message);
        }
    }
}
