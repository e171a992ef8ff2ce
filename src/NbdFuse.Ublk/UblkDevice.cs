using Microsoft.Extensions.Logging;
using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

/// <summary>A block device, /dev/ublkbN, whose requests are served by a queue of this process.</summary>
/// <remarks>
/// OWNERSHIP: loop and request queue belong to the caller and outlive the device. The queue needs a slot more than the depth
/// (<see cref="RequestQueueOptions.Capacity"/> 129 for the default), and no other front end.
/// What the kernel demands of the loop's thread (all commands of a queue come from one) makes a device as mortal as its loop:
/// when that ends, the device stays, with its requests waiting, for another process (<see cref="RecoverAsync"/>).
/// THREADING: any thread; never the loop's own for what returns a task that is waited for.
/// </remarks>
public sealed partial class UblkDevice : IAsyncDisposable
{
    private readonly EventLoop _loop;
    private readonly UblkOptions _options;
    private readonly UblkGeometry _geometry;
    private readonly UblkControl _control;
    private readonly UblkBuffers _buffers;
    private readonly UblkQueue _queue;
    private readonly ILogger _logger;
    private readonly TaskCompletionSource<UblkEnd> _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<Exception> _loopFailed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _forced = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _stopLock = new();
    private UblkDeviceInfo _info;
    private UblkParams _params;
    private Task? _stop;
    private volatile bool _isStopping;
    private int _isDisposed;
    private long _grown;

    private UblkDevice(
        EventLoop loop, RequestQueue queue, UblkGeometry geometry, UblkControl control, UblkOptions options, ILogger logger)
    {
        _loop = loop;
        _options = options;
        _geometry = geometry;
        _control = control;
        _logger = logger;
        _buffers = new UblkBuffers(geometry.Depth, geometry.Limits.PayloadBytes);
        _queue = new UblkQueue(loop, queue, geometry, _buffers, options.Spin, logger);
        _loop.Failed += OnLoopFailed;
    }

    /// <summary>Number of the device.</summary>
    public int Number => (int)_info.DeviceId;

    /// <summary>Path of the disk, such as /dev/ublkb0.</summary>
    public string Path => UblkNodes.Disk(_options.DeviceDirectory, _info.DeviceId);

    /// <summary>Whether there is a node at <see cref="Path"/>. Without devtmpfs it has to be made from <see cref="Major"/> and <see cref="Minor"/>.</summary>
    public bool NodeExists => File.Exists(Path);

    /// <summary>Major number of the disk; 0 on kernels before 6.3, which don't tell.</summary>
    public int Major => (int)_params.DeviceNumbers.DiskMajor;

    /// <summary>Minor number of the disk.</summary>
    public int Minor => (int)_params.DeviceNumbers.DiskMinor;

    /// <summary>Size of the disk in bytes.</summary>
    public long Size => Math.Max(_geometry.Size, Interlocked.Read(ref _grown));

    /// <summary>Bytes of the export behind the last whole logical block, which the disk does not show.</summary>
    public int TailBytes => _geometry.TailBytes;

    /// <summary>Logical block in bytes.</summary>
    public int LogicalBlock => 1 << _geometry.Params.Basic.LogicalBlockShift;

    /// <summary>Requests that the kernel hands out at once.</summary>
    public int Depth => _geometry.Depth;

    /// <summary>Longest payload of a request in bytes.</summary>
    public int PayloadBytes => _geometry.Limits.PayloadBytes;

    /// <summary>Writes fail.</summary>
    public bool IsReadOnly => _geometry.Limits.IsReadOnly;

    /// <summary>Whether another process can go on with the device when this one dies.</summary>
    public bool CanRecover => (_info.Flags & UblkFeatures.UserRecovery) != 0;

    /// <summary>Ends when the device is not served any more, with the reason. It never fails.</summary>
    public Task<UblkEnd> Completion => _completion.Task;

    /// <summary>
    /// Ends when <see cref="StopAsync"/> has had the kernel stop the device: it cannot be opened any more, and whoever held it against
    /// new users must close it, since its number is free only then. May never end.
    /// </summary>
    public Task Stopped => _stopped.Task;

    /// <summary>Counters of the kernel's side; the requests are counted by the queue.</summary>
    public UblkStatistics Statistics => _queue.Statistics;

    /// <summary>Whether writes have been acknowledged that no successful FLUSH after them covers.</summary>
    public bool HasUnflushedWrites => _queue.HasUnflushedWrites;

    /// <summary>Finds out whether a device could be made.</summary>
    /// <param name="deviceDirectory">Where device nodes are.</param>
    /// <exception cref="UblkException">It could not; the message says why, and what to do.</exception>
    public static void CheckAvailable(string deviceDirectory = "/dev")
    {
        using UblkControl control = UblkControl.Open(deviceDirectory);
    }

    /// <summary>Sends a FLUSH to the export.</summary>
    /// <returns>Linux errno, positive; 0 on success.</returns>
    /// <exception cref="UblkException">The loop has ended.</exception>
    public Task<int> FlushAsync() => _queue.FlushAsync();

    /// <summary>
    /// Answers every request with EIO from here on, those that are under way first, so that nobody waits for the server. The
    /// device stays, and is good for nothing but <see cref="StopAsync"/>.
    /// </summary>
    public void Abort()
    {
        _forced.TrySetResult();
        _queue.FailAll();
    }

    /// <summary>Makes a device and starts it: it can be used when this ends. A device whose start fails is removed again.</summary>
    /// <param name="loop">Loop of the data plane; it runs.</param>
    /// <param name="queue">The queue before the layers.</param>
    /// <param name="export">What the export itself is and can do, below the layers: no more than that is offered to the kernel.</param>
    /// <param name="options">Behaviour.</param>
    /// <param name="logger">Hears of what is rare.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The device.</returns>
    /// <exception cref="UblkException">It cannot be made; the message says why, and what to do.</exception>
    public static Task<UblkDevice> StartAsync(
        EventLoop loop,
        RequestQueue queue,
        BlockDeviceInfo export,
        UblkOptions options,
        ILogger logger,
        CancellationToken cancellation = default)
    {
        UblkGeometry geometry = UblkGeometry.Compute(export, options, queue.Capacity);
        return StartAsync(UblkControl.Open(options.DeviceDirectory), loop, queue, geometry, options, logger, cancellation);
    }

    /// <summary>Makes and starts a device by control commands of any origin; those are disposed with it.</summary>
    internal static async Task<UblkDevice> StartAsync(
        UblkControl control,
        EventLoop loop,
        RequestQueue queue,
        UblkGeometry geometry,
        UblkOptions options,
        ILogger logger,
        CancellationToken cancellation)
    {
        UblkDevice device = Make(loop, queue, geometry, control, options, logger);
        try
        {
            await device.StartNewAsync(cancellation).ConfigureAwait(false);
            return device;
        }
        catch
        {
            await device.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Frees what belongs to this process. A device that was not stopped stays, and waits for another process.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) != 0)
        {
            return;
        }

        _loop.Failed -= OnLoopFailed;
        _control.Dispose();
        bool idle = false;
        try
        {
            idle = await _queue.DetachAsync().ConfigureAwait(false);
        }
        catch (UblkException)
        {
            // The loop has ended, nobody will use the ring again. Whether the export's threads have is not known.
            _queue.CloseDead();
        }

        if (idle)
        {
            _buffers.Dispose();
        }
        else
        {
            // What is under way below may still be received into it: the memory goes with the process.
            LogMemoryKept(_logger, Path);
        }
    }

    private static UblkDevice Make(
        EventLoop loop, RequestQueue queue, UblkGeometry geometry, UblkControl control, UblkOptions options, ILogger logger)
    {
        try
        {
            return new UblkDevice(loop, queue, geometry, control, options, logger);
        }
        catch (PosixException e)
        {
            control.Dispose();
            throw new UblkException($"no memory for the buffers of a ublk device: {e.Message}", e.Errno);
        }
    }

    private void OnLoopFailed(Exception failure)
    {
        if (_loopFailed.TrySetResult(failure))
        {
            _completion.TrySetResult(new UblkEnd(
                UblkEndReason.LoopFailed,
                Errno.EIO,
                $"internal error: {failure.GetType().Name}: {failure.Message}; requests of {Path} wait for a new process"));
        }
    }

    /// <summary>Ends <see cref="Completion"/> when the queue does.</summary>
    private void Watch() => _ = WatchAsync();

    private async Task WatchAsync()
    {
        Task ended = await Task.WhenAny(_queue.Fault, _queue.Closed).ConfigureAwait(false);
        if (_queue.Fault.IsCompleted)
        {
            _completion.TrySetResult(await _queue.Fault.ConfigureAwait(false));
            return;
        }

        await ended.ConfigureAwait(false);
        _completion.TrySetResult(_isStopping
            ? new UblkEnd(UblkEndReason.Stopped, 0, "stopped")
            : new UblkEnd(UblkEndReason.Removed, Errno.ENODEV, "somebody else removed the device"));
    }

    /// <summary>
    /// Runs a command that blocks on a thread of its own: one of the pool would be missing where the process needs it to answer,
    /// and a thread that comes and goes costs nothing here.
    /// </summary>
    private static Task<int> Blocking(Func<int> command) =>
        Task.Factory.StartNew(command, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Path}: {Size} bytes, depth {Depth}, requests of up to {Payload} bytes")]
    private static partial void LogStarted(ILogger logger, string path, long size, int depth, int payload);

    [LoggerMessage(Level = LogLevel.Information, Message = "{Path}: recovered")]
    private static partial void LogRecovered(ILogger logger, string path);

    [LoggerMessage(Level = LogLevel.Debug, Message = "{Path}: memory of requests in flight is kept until the process ends")]
    private static partial void LogMemoryKept(ILogger logger, string path);

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Path}: cannot remove the device: {Reason}")]
    private static partial void LogRemoveFailed(ILogger logger, string path, string reason);
}
