using NbdFuse.Attach;
using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.Ublk;

namespace NbdFuse.Cli;

/// <summary>A ublk device: the kernel's requests come straight to this process.</summary>
/// <param name="context">What the daemon gives.</param>
internal sealed partial class UblkDriver(DriverContext context) : IKeptDriver
{
    // A slot more than the device's depth of 128.
    private const int QueueCapacity = 129;
    private const int SignalKill = 9;

    // Enough to see where a GPT stands.
    private const int StartBytes = 8192;

    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(1);

    private readonly EventLoop _loop = new("nbdfuse-loop");
    private NbdExport? _export;
    private RequestQueue? _queue;
    private UblkDevice? _device;
    private ExportLayers? _layers;
    private TimingLayer? _timing;
    private bool _hasNoTable;

    /// <inheritdoc/>
    public string Name => UblkKind.Name;

    /// <inheritdoc/>
    public Task<DriverEnd> Ended { get; private set; } = Task.FromException<DriverEnd>(new InvalidOperationException());

    /// <inheritdoc/>
    public Task<NbdException> ServerLost => _export!.Failure;

    /// <inheritdoc/>
    public string? Outage => _export?.Outage;

    /// <inheritdoc/>
    public RecoveryStatus? Recovery => QueueReport.RecoveryOf(_export!);

    /// <inheritdoc/>
    public NbdExport? Export => _export;

    /// <inheritdoc/>
    public int InFlight => _queue?.InFlight ?? 0;

    /// <inheritdoc/>
    public int Connections => _export?.Connections ?? 0;

    /// <inheritdoc/>
    public IReadOnlyList<OperationStatus> Operations => QueueReport.Of(_queue!.Statistics.Operations);

    /// <inheritdoc/>
    public ActivityStatus? Activity => QueueReport.ActivityOf(_queue!, _layers!.Cache?.Statistics, _timing!, _export!);

    /// <inheritdoc/>
    public IReadOnlyList<Guarantee> Guarantees =>
    [
        new Guarantee("buffers-touched", true),
        new Guarantee(
            "flush", _export!.Info.CanFlush, _export.Info.CanFlush ? null : "the server has no FLUSH: it must not lose what it acknowledged"),
        _device is { CanRecover: false }
            ? new Guarantee("recovery", false, "this kernel's ublk driver cannot keep a device without its process")
            : new Guarantee("recovery", true),
    ];

    /// <summary>Why this machine cannot use the driver; null when it can.</summary>
    public static string? WhyUnusable()
    {
        try
        {
            UblkDevice.CheckAvailable();
            return null;
        }
        catch (UblkException e)
        {
            return e.Message;
        }
    }

    /// <inheritdoc/>
    public async Task<DriverDevice> BringUpAsync(CancellationToken interrupted)
    {
        await PrepareAsync(interrupted).ConfigureAwait(false);
        KeptMount.Check(context.Keeper, _export!);
        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(interrupted);
        _ = CancelWhenLostAsync(giveUp);
        try
        {
            _device = await MakeAsync(giveUp.Token).ConfigureAwait(false);
            Ended = EndAsync(_device);
            context.Publish(state => state with { Device = _device.Path });
            if (context.Arguments.Recover)
            {
                // Only now that ours names the device: without an entry nobody could give it up, or try again.
                RemoveOldEntries(_device.Path);
            }
            else if (_device.CanRecover)
            {
                context.Keeper?.Outlives();
            }

            context.Keeper?.Serving();
            if (_device.Major != 0)
            {
                DeviceNode.Ensure(_device.Path, (uint)_device.Major, (uint)_device.Minor);
            }

            return new DriverDevice
            {
                Path = _device.Path,
                Size = _device.Size,
                ExportSize = _export!.Info.ExportSize,
                BlockSize = _device.LogicalBlock,
                IsReadOnly = _device.IsReadOnly,
                Server = _export.Server,
                Partitions = await PartitionsAsync(giveUp.Token).ConfigureAwait(false),
            };
        }
        catch
        {
            await GiveUpAsync().ConfigureAwait(false);
            if (ServerLost.IsCompletedSuccessfully)
            {
                throw new AttachException($"the server is lost: {ServerLost.Result.Message}");
            }

            throw;
        }
    }

    private async Task PrepareAsync(CancellationToken interrupted)
    {
        _export = await context.OpenExportAsync(interrupted).ConfigureAwait(false);
        var ready = new ReadyList();
        _timing = new TimingLayer(_export);
        _layers = ExportLayers.Over(
            DeviceStack.Build(_timing, ready, QueueCapacity),
            _export.Info,
            ready,
            cacheBytes: 0,
            readAheadBytes: 0,
            context.Traces,
            context.Logger,
            knowsZeroes: !_export.IsShared);
        _queue = new RequestQueue(_layers.Device, ready, new RequestQueueOptions { Capacity = QueueCapacity });
        _layers.Follow(_export);
        _export.Grown += OnGrown;
        _export.Start(_loop);
        _loop.Start();
    }

    // On the loop. The layers first: what the kernel asks for behind the old end must find its way.
    private void OnGrown()
    {
        _queue!.AdoptSize();
        _ = Task.Run(GrowAsync);
    }

    private async Task GrowAsync()
    {
        if (_device is not { } device)
        {
            return;
        }

        if (await device.GrowAsync(_export!.Info.Size).ConfigureAwait(false) is { } reason)
        {
            AttachLog.NotGrown(context.Logger, device.Path, reason);
            return;
        }

        context.Publish(state => state with { Size = device.Size, UnreachableTail = _export.Info.ExportSize - device.Size });
        AttachLog.Grown(context.Logger, device.Path, device.Size);
    }

    /// <inheritdoc/>
    public async Task<TakeDownResult> TakeDownAsync()
    {
        // By a process of its own, which may wait for us: users, write-back, the last flush while its errors can still be told.
        // It keeps the device from being mounted in the moment before the kernel stops it, which does not ask.
        HelperAnswer held = await LoopHelper.StartAsync(LoopHelperCommand.Hold, _device!.Path).ConfigureAwait(false);
        await using (held.ConfigureAwait(false))
        {
            if (!held.IsDone)
            {
                string? lost = ServerLost.IsCompletedSuccessfully ? $" (the server is lost: {ServerLost.Result.Message})" : null;
                return new TakeDownResult(false, held.Fields[1] + lost);
            }

            return await StopAsync(force: false, held).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public Task AbortAsync()
    {
        _device?.Abort();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task<TakeDownResult> TakeDownByForceAsync()
    {
        context.Keeper?.LetGo();
        string[] answer = await LoopHelper.RunAsync(LoopHelperCommand.Release, _device!.Path, "force").ConfigureAwait(false);
        TakeDownResult result = await StopAsync(force: true).ConfigureAwait(false);
        return result.Message is null && answer[0] == LoopHelper.Done && answer.Length > 1
            ? new TakeDownResult(result.IsDone, $"{string.Join(", ", answer.Skip(1))}: the kernel frees {_device.Path} when that ends")
            : result;
    }

    /// <inheritdoc/>
    public Task<TakeDownResult> FinishAsync() => StopAsync(force: false);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_device is not null)
        {
            await _device.DisposeAsync().ConfigureAwait(false);
        }

        if (_export is not null)
        {
            await _export.DisposeAsync().ConfigureAwait(false);
        }

        _loop.Dispose();
        if (_layers is not null)
        {
            await _layers.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task<UblkDevice> MakeAsync(CancellationToken cancellation)
    {
        AttachArguments arguments = context.Arguments;
        BlockDeviceInfo info = _export!.Info;
        UblkOptions options = new() { IsReadOnly = context.IsReadOnly };
        int number = -1;
        if (arguments.Device is { } path && !UblkKind.TryNumber(path, out number))
        {
            throw new AttachException($"{path} is no ublk device; those are named /dev/ublkbN");
        }

        if (arguments.Recover)
        {
            return await UblkDevice
                .RecoverAsync(number, _loop, _queue!, info, options, context.Loggers.CreateLogger(Name), cancellation).ConfigureAwait(false);
        }

        options = options with
        {
            DeviceId = number,
            LogicalBlock = arguments.BlockSize != 0 ? arguments.BlockSize : await BlockSizeAsync(cancellation).ConfigureAwait(false),
        };
        try
        {
            return await UblkDevice
                .StartAsync(_loop, _queue!, info, options, context.Loggers.CreateLogger(Name), cancellation).ConfigureAwait(false);
        }
        catch (UblkException e) when (!cancellation.IsCancellationRequested)
        {
            throw new DriverUnusableException(e.Message, e);
        }
    }

    private async Task<int> BlockSizeAsync(CancellationToken cancellation)
    {
        long size = _export!.Info.Size;
        byte[] start = size < StartBytes
            ? []
            : await QueueReader.ReadStartAsync(_loop, _queue!, StartBytes, cancellation).ConfigureAwait(false);
        _hasNoTable = start.Length > 0 && !Attach.Partitions.PartitionTable.IsMarked(start);
        return Attach.Partitions.PartitionTable.BlockSizeOf(
            (offset, buffer) => offset + buffer.Length <= start.Length && start.AsSpan((int)offset, buffer.Length).TryCopyTo(buffer), size);
    }

    private async Task<IReadOnlyList<string>> PartitionsAsync(CancellationToken cancellation)
    {
        string path = _device!.Path;
        if (context.Arguments.Recover)
        {
            // They have been there all the time.
            return [.. PartitionNodes.Numbers(path).Select(number => PartitionNodes.NodeOf(path, number))];
        }

        if (_hasNoTable && PartitionNodes.Numbers(path).Count == 0)
        {
            // A bare filesystem, say. The helper is a start of the runtime, which on a slow machine takes a second or more.
            return [];
        }

        using CancellationTokenRegistration abort = cancellation.Register(_device.Abort);
        string[] answer = await LoopHelper.RunAsync(LoopHelperCommand.Partitions, path).ConfigureAwait(false);
        cancellation.ThrowIfCancellationRequested();
        return answer[0] == LoopHelper.Done ? answer[1..] : throw new AttachException(answer[1]);
    }

    /// <summary>What was made is removed; what was taken over stays, for another attempt.</summary>
    private async Task GiveUpAsync()
    {
        if (_device is not null && !context.Arguments.Recover)
        {
            TakeDownResult result = await StopAsync(force: true).ConfigureAwait(false);
            if (result.Message is { } problem)
            {
                AttachLog.Warning(context.Logger, problem);
            }
        }
    }

    private async Task<TakeDownResult> StopAsync(bool force, HelperAnswer? held = null)
    {
        string path = _device!.Path;
        try
        {
            Task stop = _device.StopAsync(force);
            if (held is not null)
            {
                // The kernel frees the number when the last one closes the device.
                await Task.WhenAny(stop, _device.Stopped).ConfigureAwait(false);
                await held.DisposeAsync().ConfigureAwait(false);
            }

            await stop.ConfigureAwait(false);
            DeviceNode.RemoveStale(path);
            return new TakeDownResult(true);
        }
        catch (UblkException e)
        {
            bool isDone = _device.Completion.IsCompleted;
            return new TakeDownResult(isDone, e.Message, isDone && !force && _device.HasUnflushedWrites);
        }
    }

    private async Task CancelWhenLostAsync(CancellationTokenSource giveUp)
    {
        await ServerLost.ConfigureAwait(false);
        try
        {
            await giveUp.CancelAsync().ConfigureAwait(false);
        }
        catch (ObjectDisposedException)
        {
            // The device is up; the daemon tells.
        }
    }

    private async Task<DriverEnd> EndAsync(UblkDevice device)
    {
        UblkEnd end = await device.Completion.ConfigureAwait(false);
        if (end.Reason is UblkEndReason.Failed or UblkEndReason.LoopFailed && device.CanRecover)
        {
            // Taking the device down would give its users errors. Without a process their requests wait for the next one, and the
            // state file tells how to start it.
            AttachLog.ServiceFailed(context.Logger, device.Path, end.Message, RecoveryWords.Option);
            await Task.Delay(LastWords).ConfigureAwait(false);
            Posix.Kill(Environment.ProcessId, SignalKill);
        }

        return new DriverEnd(end.Reason is UblkEndReason.Stopped or UblkEndReason.Removed, end.Message);
    }

    private void RemoveOldEntries(string device)
    {
        foreach (AttachEntry entry in RuntimeDirectory.Entries())
        {
            if (entry.Directory != context.Entry.Directory && entry.Read() is { } state
                && state.Device == device && !AttachEntry.IsAlive(state))
            {
                entry.Remove();
            }
        }
    }
}
