using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.Client;
using NbdFuse.Fuse;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>
/// Export, layers, queue, loop and FUSE session of one mount, joined: made in the order in which data flows up, taken down in
/// the opposite one.
/// </summary>
internal sealed partial class MountedExport : IAsyncDisposable
{
    // Enough for the kernel's max_background of 256 at any request size; buffers are touched only when they are used.
    private const int QueueCapacity = 256;

    // With a keeper every buffer has all of its pages: what the kernel sends at once from an asynchronous caller.
    private const int KeptCapacity = 128;

    // Of a block device: 16 MiB of payload at once are more than any disk needs, and are allocated before it is used.
    private const int PinnedBuffers = 16;
    private const long PinnedBytes = PinnedBuffers * (long)FuseBuffers.MaximumPayload;

    private static readonly TimeSpan WriteBackTimeout = TimeSpan.FromSeconds(10);

    private readonly NbdExport _export;
    private readonly FuseMount _mount;
    private readonly EventLoop _loop;
    private readonly FuseBuffers _buffers;
    private readonly RequestQueue _queue;
    private readonly TimingLayer _timing;
    private readonly ExportLayers _layers;
    private readonly FuseSession _session;
    private readonly bool _raisesReadAhead;
    private readonly bool _isDevice;
    private readonly TaskCompletionSource<Exception> _loopFailed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task _told = Task.CompletedTask;
    private bool _isDisposed;

    /// <summary>Joins an open export and a mount; nothing is served before <see cref="Start"/>.</summary>
    /// <param name="export">The export; belongs to this object from here on.</param>
    /// <param name="mount">The mount; belongs to this object from here on.</param>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="options">Options of the mount.</param>
    /// <param name="loggers">The log.</param>
    /// <param name="isPinned">
    /// Allocate payload buffers now, and bound what is in flight by them: memory may depend on what is served.
    /// </param>
    /// <param name="keeper">Who follows this process with another one when it dies; null without.</param>
    /// <param name="isHeld">Take no requests before <see cref="TakeOverAsync"/>.</param>
    /// <param name="traces">What is read ahead by a trace, and recorded.</param>
    public MountedExport(
        NbdExport export,
        FuseMount mount,
        NbdfuseArguments arguments,
        FuseMountOptions options,
        ILoggerFactory loggers,
        bool isPinned = false,
        ExportTraces? traces = null,
        KeeperLink? keeper = null,
        bool isHeld = false)
    {
        int capacity = keeper is null ? QueueCapacity : KeptCapacity;
        bool spin = arguments.Spin == SpinMode.Auto;
        var ready = new ReadyList();
        _export = export;
        _mount = mount;
        _loop = new EventLoop("nbdfuse-loop", spin ? null : new EventLoopOptions { SpinMicroseconds = 0 });
        _loop.Failed += failure => _loopFailed.TrySetResult(failure);
        _timing = new TimingLayer(export);
        IBlockDevice stack = DeviceStack.Build(_timing, ready, capacity);

        // What others write must be seen: with them there is no cache. None either below a block device, whose pages the kernel
        // keeps, and which must not need more memory just when memory is short.
        _isDevice = isPinned;
        bool isPlain = arguments.Shared || isPinned;
        _raisesReadAhead = !isPlain && arguments.ReadAheadBytes != 0 && options.MaximumReadAhead is null;
        _layers = ExportLayers.Over(
            stack,
            export.Info,
            ready,
            isPlain ? 0 : arguments.CacheBytes,
            isPlain ? 0 : arguments.ReadAheadBytes,
            arguments.Shared ? ExportTraces.None : traces ?? ExportTraces.None,
            loggers.CreateLogger(ErrorText.Program),
            knowsZeroes: !export.IsShared);
        var bounds = new RequestQueueOptions { Capacity = capacity };
        _queue = new RequestQueue(_layers.Device, ready, isPinned ? bounds with { Bytes = PinnedBytes } : bounds);
        _buffers = keeper is null
            ? new FuseBuffers(capacity + FuseSession.SpareBuffers)
            : keeper.MakeBuffers(capacity + FuseSession.SpareBuffers, options.LargestRequest);
        if (keeper is null && isPinned)
        {
            _buffers.Pin(PinnedBuffers);
        }

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
                RequestTimeoutMs = (long)arguments.RequestTimeout.TotalMilliseconds,
                RequestTimeoutWaits = arguments.OnTimeout == NbdTimeoutAction.Wait,
                SavedState = keeper?.State,
                Hold = isHeld,
            },
            loggers.CreateLogger("fuse"))
        {
            IsStalled = () => IsStalled,
        };

        export.Grown += OnGrown;

        // Not on the loop, which nothing that is told of it may hold up; one after the other.
        export.StateChanged += change => _told = _told.ContinueWith(
            _ => StateChanged?.Invoke(change), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    /// <summary>Raised, on a thread of the pool and one after the other, when the server is lost and when it is back.</summary>
    public event Action<NbdExportStateChange>? StateChanged;

    /// <summary>Raised, on a thread of its own, when the export has grown and the kernel has been told.</summary>
    public event Action? Grown;

    /// <summary>Whether the server is lost and searched for: requests wait.</summary>
    public bool IsStalled => _export.State == NbdExportState.Recovering;

    /// <summary>What is lost when this ends now, as the end of a message; empty when the server has all that it acknowledged.</summary>
    public string Loss => _export.WriteLogBytes > 0 ? $" ({_export.WriteLogBytes} bytes)" : string.Empty;

    /// <summary>Device number of the mount, as "major:minor"; null when it is not known.</summary>
    public string? Device => _mount.DeviceNumber;

    /// <summary>Ends when the kernel has been answered how requests look.</summary>
    public Task Negotiated => _session.Ready;

    /// <summary>Ends when the session has ended.</summary>
    public Task<FuseSessionEnd> Ended => _session.Completion;

    /// <summary>Ends when the server is lost, with the reason.</summary>
    public Task<Protocol.NbdException> Failure => _export.Failure;

    /// <summary>What was asked so far.</summary>
    public RequestQueueStatistics Statistics => _queue.Statistics;

    /// <summary>What was asked in detail.</summary>
    public ActivityStatus Activity => QueueReport.ActivityOf(_queue, _layers.Cache?.Statistics, _timing, _export);

    /// <summary>Requests in flight; may lag behind by a few.</summary>
    public int InFlight => _queue.InFlight;

    /// <summary>
    /// Takes the mount out of the tree although the file is in use: it stays until its last user closes it, and then the
    /// session ends.
    /// </summary>
    public Task HideAsync() => Task.Run(() => _mount.Unmount(lazy: true));

    /// <summary>Fails everything that is in flight and everything that is asked later, and ends the session.</summary>
    public async Task AbortAsync()
    {
        _session.Abort(Errno.EIO);

        // A loop that has died ends nothing any more.
        await Task.WhenAny(_session.Completion, LoopFailed).ConfigureAwait(false);

        // Else the next request, as of a helper that takes the device down patiently, would wait for ever.
        _mount.CutOff();
    }

    /// <summary>Ends when the loop has died of an exception, with that: nobody is answered any more.</summary>
    public Task<Exception> LoopFailed => _loopFailed.Task;

    /// <summary>Whether the server has acknowledged writes that no FLUSH after them covers.</summary>
    public bool HasUnflushedWrites => _session.HasUnflushedWrites;

    /// <summary>The loop, for who asks whether it lives, and for tests that make it fail.</summary>
    internal EventLoop Loop => _loop;

    /// <summary>Begins to serve.</summary>
    public void Start()
    {
        _layers.Follow(_export);
        _export.Start(_loop);
        _session.Start();
        _loop.Start();
    }

    /// <summary>
    /// Begins to take requests, in place of a process that has died, whose connections can do nothing any more. First what that one
    /// had acknowledged and not flushed is written again and made durable: nobody else would know of it.
    /// </summary>
    /// <exception cref="KeptExportException">The server has another disk, or does not take what it had acknowledged.</exception>
    /// <exception cref="Protocol.NbdException">The server does not flush.</exception>
    public async Task TakeOverAsync()
    {
        _export.TakeOver();
        Task<int> flush = FlushAsync();
        await Task.WhenAny(flush, Ended, LoopFailed).ConfigureAwait(false);
        int result = flush.IsCompleted ? await flush.ConfigureAwait(false) : 0;
        if (result != 0 && Failure.IsCompletedSuccessfully)
        {
            throw new KeptExportException($"{_mount.Target.FilePath}: {(await Failure.ConfigureAwait(false)).Message}");
        }

        if (result != 0)
        {
            throw new Protocol.NbdException(
                $"{_mount.Target.FilePath}: cannot make durable what was written before: the server does not flush: {Errno.Describe(result)}");
        }

        _session.BeginReading();
    }

    /// <summary>Stops taking requests, and ends when all that were taken are answered: another process goes on with the mount.</summary>
    public Task DrainAsync()
    {
        _session.BeginDrain();
        return Task.WhenAny(Ended, LoopFailed);
    }

    /// <summary>Waits until the file can be used: see <see cref="FuseMount.WaitUntilUsableAsync"/>.</summary>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <returns>False when the session or the loop has ended before.</returns>
    /// <exception cref="FuseException">The mounted file cannot be looked at.</exception>
    /// <exception cref="OperationCanceledException">The waiting was ended.</exception>
    public async Task<bool> WaitUntilUsableAsync(CancellationToken cancellation)
    {
        await Task.WhenAny(_session.Ready, Ended, LoopFailed).WaitAsync(cancellation).ConfigureAwait(false);
        if (!_session.Ready.IsCompleted)
        {
            return false;
        }

        // By another process, as the write-back below, and for the same reason.
        Task<bool> look = Task.Run(() => LookAtAsync(_mount.Target.FilePath, cancellation), CancellationToken.None);
        await Task.WhenAny(look, Ended, LoopFailed).WaitAsync(cancellation).ConfigureAwait(false);
        if (!look.IsCompletedSuccessfully)
        {
            return false;
        }

        if (!await look.ConfigureAwait(false))
        {
            await _mount.WaitUntilUsableAsync(_session, cancellation).ConfigureAwait(false);
        }

        if (_raisesReadAhead)
        {
            // Only now: the kernel sets it anew when it has been answered how requests look.
            KernelReadAhead.TryRaise(_mount.DeviceNumber, KernelReadAhead.Kibibytes);
        }

        return true;
    }

    /// <summary>
    /// Takes the mount out of the tree. A file that is in use stays open for its users until this process ends, as
    /// with libnbd's nbdfuse; what was asked before is answered.
    /// </summary>
    /// <param name="logger">Hears when the file was in use.</param>
    /// <exception cref="FuseException">It is still mounted. The session drains all the same.</exception>
    public async Task UnmountAsync(ILogger logger)
    {
        try
        {
            // Not on the loop: unmounting writes pages back, which the loop serves. When that dies, nobody ends the wait.
            Task unmount = Task.Run(() => Unmount(logger));
            await (await Task.WhenAny(unmount, LoopFailed).ConfigureAwait(false)).ConfigureAwait(false);
        }
        finally
        {
            _session.BeginDrain();
        }
    }

    /// <summary>Takes a mount out of the tree whose session has ended: it only answers errors.</summary>
    /// <param name="logger">Hears when that is refused.</param>
    public async Task DetachAsync(ILogger logger)
    {
        try
        {
            await Task.Run(() => _mount.Unmount(lazy: true)).ConfigureAwait(false);
        }
        catch (FuseException e) when (IsGone(e))
        {
            // By whoever ended the session.
            return;
        }
        catch (FuseException e)
        {
            CommandLog.DetachFailed(logger, _mount.Path, e.Message);
        }
    }

    /// <summary>After the death of the loop: gives everybody who waits for the file an error, and takes it out of the tree.</summary>
    /// <param name="logger">Hears of what goes wrong.</param>
    public async Task CutOffAsync(ILogger logger)
    {
        try
        {
            // First, although it is quick only as a rule: a thread for large payloads may be about to write an answer into the
            // device, whose number might be another file's by then.
            await _export.DisposeAsync().ConfigureAwait(false);
        }
        catch (Exception e)
        {
            // The loop's state was left half done: closing may stumble over it. What follows matters more.
            CommandLog.CloseFailed(logger, _mount.Path, ErrorText.OneLine(e.ToString()));
        }

        // The last descriptor: the kernel aborts the connection.
        _mount.Device.Dispose();
        await DetachAsync(logger).ConfigureAwait(false);
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
        await _layers.DisposeAsync().ConfigureAwait(false);
    }

    // EINVAL, ENOENT: somebody was faster. What is left of the mount belongs to those who have the file open.
    private static bool IsGone(FuseException e) => e.Errno is Errno.EINVAL or Errno.ENOENT;

    private void Unmount(ILogger logger)
    {
        try
        {
            _mount.Unmount(lazy: false);
        }
        catch (FuseException e) when (IsGone(e))
        {
            return;
        }
        catch (FuseException e) when (e.Errno == Errno.EBUSY)
        {
            CommandLog.InUse(logger, _mount.Path);
            WriteBack(_mount.Target.FilePath, logger);
            try
            {
                _mount.Unmount(lazy: true);
            }
            catch (FuseException late) when (IsGone(late))
            {
                return;
            }
        }
    }

    // test(1) calls stat(2) and prints nothing. False: it is not there, or failed.
    private static async Task<bool> LookAtAsync(string path, CancellationToken cancellation)
    {
        try
        {
            using ChildProcess test = ChildProcess.Spawn(new SpawnOptions { Argv = ["test", "-e", path], NewSession = true });
            return await test.WaitAsync(cancellation).ConfigureAwait(false) == 0;
        }
        catch (PosixException)
        {
            return false;
        }
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
