using System.Globalization;
using NbdFuse.Attach;
using NbdFuse.Client;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>A loop device with direct I/O on a FUSE file whose mount is hidden once the loop device holds it.</summary>
/// <param name="context">What the daemon gives.</param>
internal sealed class LoopDriver(DriverContext context) : IKeptDriver
{
    private const string FileName = "nbd";

    // How long the kernel may take to let go of the file once nobody uses the device.
    private static readonly TimeSpan ReleaseTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan HelperTimeout = TimeSpan.FromSeconds(30);

    private MountedExport? _mounted;
    private NbdExport? _export;
    private string _device = string.Empty;

    // While no process lived that would have told the kernel.
    private bool _hasGrown;

    /// <inheritdoc/>
    public string Name => LoopKind.Name;

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
    public bool OutlivesKeeper => false;

    /// <inheritdoc/>
    public string? WhyNoUpgrade => null;

    /// <inheritdoc/>
    public int InFlight => _mounted?.InFlight ?? 0;

    /// <inheritdoc/>
    public int Connections => _export?.Connections ?? 0;

    /// <inheritdoc/>
    public IReadOnlyList<OperationStatus> Operations => QueueReport.Of(_mounted!.Statistics.Operations);

    /// <inheritdoc/>
    public ActivityStatus? Activity => _mounted!.Activity;

    /// <inheritdoc/>
    public IReadOnlyList<Guarantee> Guarantees =>
    [
        // The helper has refused a device without it.
        new Guarantee("direct-io", true),
        new Guarantee("buffers-touched", true),
        new Guarantee(
            "flush", _export!.Info.CanFlush, _export.Info.CanFlush ? null : "the server has no FLUSH: it must not lose what it acknowledged"),
        RecoveryGuarantee(),
    ];

    /// <summary>Why this machine cannot use the driver; null when it can.</summary>
    public static string? WhyUnusable() =>
        Posix.Stat("/dev/fuse", out _) < 0 ? "there is no /dev/fuse; load it with 'modprobe fuse'"
        : Posix.Stat("/dev/loop-control", out _) < 0 ? "there is no /dev/loop-control; load it with 'modprobe loop', or give the container the device"
        : null;

    /// <inheritdoc/>
    public async Task<DriverDevice> BringUpAsync(CancellationToken interrupted)
    {
        _export = await context.OpenExportAsync(interrupted).ConfigureAwait(false);
        bool isReadOnly = _export.Info.IsReadOnly;
        FuseMountOptions options = OptionsFor(isReadOnly);
        KeptMount.Check(context.Keeper, _export);
        FuseMount mount = FuseMounter.Mount(new MountTarget(context.Entry.MountPoint, FileName), options);
        Serve(mount, options, isHeld: false);
        context.Keeper?.Mounted(mount);
        _mounted!.Start();
        Ended = EndAsync(_mounted, context.Keeper);
        context.Keeper?.Serving();
        string[] answer;
        try
        {
            answer = await PutLoopOverAsync(isReadOnly, interrupted).ConfigureAwait(false);
            _device = answer[1];
            context.Publish(state => state with { Device = _device });
            await _mounted.HideAsync().ConfigureAwait(false);
        }
        catch
        {
            await GiveUpAsync().ConfigureAwait(false);
            throw;
        }

        Posix.Rmdir(context.Entry.MountPoint);
        return new DriverDevice
        {
            Path = _device,
            Size = long.Parse(answer[2], CultureInfo.InvariantCulture),
            BlockSize = int.Parse(answer[3], CultureInfo.InvariantCulture),
            Partitions = answer[4..],
            ExportSize = _export.Info.ExportSize,
            IsReadOnly = isReadOnly,
            Server = _export.Server,
        };
    }

    /// <inheritdoc/>
    public async Task<DriverDevice> ResumeAsync(AttachState state, CancellationToken interrupted)
    {
        _device = state.Device;
        _export = await context.OpenExportAsync(interrupted).ConfigureAwait(false);
        KeptMount.Check(context.Keeper, _export);
        _hasGrown = _export.Info.ExportSize > state.Size + state.UnreachableTail;
        Serve(context.Keeper!.AdoptMount(), OptionsFor(state.ReadOnly), isHeld: true);
        _mounted!.Start();
        Ended = EndAsync(_mounted, context.Keeper);
        return new DriverDevice
        {
            Path = _device,
            Size = state.Size,
            BlockSize = state.BlockSize,
            Partitions = state.Partitions ?? [],
            ExportSize = state.Size + state.UnreachableTail,
            IsReadOnly = state.ReadOnly,
            Server = _export.Server,
        };
    }

    /// <inheritdoc/>
    public async Task TakeOverAsync()
    {
        KeeperLink keeper = context.Keeper!;
        await Task.WhenAny(keeper.WaitForGoAsync(_device), Ended).ConfigureAwait(false);
        if (Ended.IsCompleted)
        {
            return;
        }

        await keeper.WaitForGoAsync(_device).ConfigureAwait(false);
        await _mounted!.TakeOverAsync().ConfigureAwait(false);
        keeper.Serving();
        if (_hasGrown)
        {
            _mounted.TellSize();
        }
    }

    /// <inheritdoc/>
    public Task<bool> HandOverAsync() =>
        KeptMount.HandOverAsync(_mounted!, new MountTarget(context.Entry.MountPoint, FileName), context.Logger);

    /// <inheritdoc/>
    public async Task<TakeDownResult> TakeDownAsync()
    {
        string[] answer = await LoopHelper.RunAsync(LoopHelperCommand.Detach, _device, context.Entry.LoopName, "-").ConfigureAwait(false);
        if (answer[0] != LoopHelper.Done)
        {
            string? lost = ServerLost.IsCompletedSuccessfully ? $" (the server is lost: {ServerLost.Result.Message})" : null;
            return new TakeDownResult(false, answer[1] + lost);
        }

        try
        {
            await _mounted!.Ended.WaitAsync(ReleaseTimeout).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            return new TakeDownResult(
                false, $"{_device}: somebody has opened the device in the last moment and keeps it; it is detached when it is closed");
        }

        return await FinishAsync().ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public Task AbortAsync()
    {
        context.Keeper?.LetGo();
        return _mounted!.AbortAsync();
    }

    /// <inheritdoc/>
    public async Task<TakeDownResult> TakeDownByForceAsync()
    {
        // Closes /dev/fuse: from here on every request fails at once, also those of our helper.
        context.Keeper?.LetGo();
        await _mounted!.DisposeAsync().ConfigureAwait(false);
        string[] answer = await LoopHelper
            .RunAsync(LoopHelperCommand.Detach, _device, context.Entry.LoopName, "force").ConfigureAwait(false);
        bool isDone = answer[0] == LoopHelper.Done;
        return new TakeDownResult(
            isDone,
            answer.Length == 1 ? null
            : isDone ? $"{string.Join(", ", answer.Skip(1))}: the kernel frees {_device} when that ends"
            : answer[1]);
    }

    /// <inheritdoc/>
    public async Task<TakeDownResult> FinishAsync()
    {
        int result = ServerLost.IsCompleted ? Errno.EIO : await _mounted!.FlushAsync().ConfigureAwait(false);
        bool isLost = result != 0 && _mounted!.HasUnflushedWrites;
        await _mounted!.DisposeAsync().ConfigureAwait(false);
        return new TakeDownResult(
            true, isLost ? $"{_device}: the last flush failed: {Errno.Describe(result)}; what was written last may be lost" : null, isLost);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_mounted is not null)
        {
            await _mounted.DisposeAsync().ConfigureAwait(false);
        }
        else if (_export is not null)
        {
            await _export.DisposeAsync().ConfigureAwait(false);
        }
    }

    private static async Task<DriverEnd> EndAsync(MountedExport mounted, KeeperLink? keeper)
    {
        if (await Task.WhenAny(mounted.Ended, mounted.LoopFailed).ConfigureAwait(false) == mounted.LoopFailed)
        {
            Exception fault = await mounted.LoopFailed.ConfigureAwait(false);
            if (keeper is not null && KeptMount.HasSuccessor(keeper))
            {
                KeptMount.Die(keeper, fault, keeper.Target);
            }

            return new DriverEnd(false, $"internal error: {fault.GetType().Name}: {fault.Message}; report this");
        }

        FuseSessionEnd end = await mounted.Ended.ConfigureAwait(false);
        return new DriverEnd(end.Reason == FuseEndReason.Unmounted, end.Message);
    }

    private Guarantee RecoveryGuarantee()
    {
        const string Name = "recovery";
        if (context.Keeper is not { } keeper)
        {
            return new Guarantee(Name, false, "a loop device dies with its process unless it has a keeper, and --no-keeper was given; the driver ublk can be recovered");
        }

        return keeper.Lost.IsCompleted ? new Guarantee(Name, false, "the keeper has died")
            : keeper.State.LoadNegotiation() is { CanResend: false, CanProbe: false }
                ? new Guarantee(Name, false, "this kernel cannot tell which requests a dead process had taken (Linux 4.20 can)")
                : new Guarantee(Name, true);
    }

    private FuseMountOptions OptionsFor(bool isReadOnly)
    {
        FuseMountOptions options = context.Keeper is null ? context.MountOptions : KeptMount.Limit(context.MountOptions);
        return isReadOnly ? options with { Flags = options.Flags | MountFlags.ReadOnly } : options;
    }

    private void Serve(FuseMount mount, FuseMountOptions options, bool isHeld)
    {
        _mounted = new MountedExport(
            _export!, mount, new NbdfuseArguments(), options, context.Loggers, isPinned: true, context.Traces, context.Keeper, isHeld);
        _mounted.Grown += () => _ = GrowAsync(_mounted);
    }

    // By a process of its own, as everything that may wait for what we serve. Before there is a device it takes the size that it finds.
    private async Task GrowAsync(MountedExport mounted)
    {
        if (_device.Length == 0)
        {
            return;
        }

        string[] answer = await LoopHelper.RunAsync(
            LoopHelperCommand.Grow, _device, context.Entry.LoopName, mounted.Size.ToString(CultureInfo.InvariantCulture)).ConfigureAwait(false);
        if (answer[0] != LoopHelper.Done)
        {
            AttachLog.NotGrown(context.Logger, _device, answer[1]);
            return;
        }

        long size = long.Parse(answer[1], CultureInfo.InvariantCulture);
        context.Publish(state => state with { Size = size, UnreachableTail = _export!.Info.ExportSize - size });
        AttachLog.Grown(context.Logger, _device, size);
    }

    private async Task<string[]> PutLoopOverAsync(bool isReadOnly, CancellationToken interrupted)
    {
        Task<string[]> helper = LoopHelper.RunAsync(
            LoopHelperCommand.Attach,
            Path.Combine(context.Entry.MountPoint, FileName),
            context.Entry.LoopName,
            context.Arguments.Device ?? "-",
            isReadOnly ? "ro" : "rw",
            context.Arguments.BlockSize.ToString(CultureInfo.InvariantCulture));
        var signal = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using CancellationTokenRegistration registration = interrupted.Register(signal.SetResult);
        Task first = await Task.WhenAny(helper, Ended, ServerLost, signal.Task).ConfigureAwait(false);
        if (first != helper)
        {
            // It may wait for the server, unkillably: only errors free it. What it has attached by then is taken down by its name.
            await AbortAsync().ConfigureAwait(false);
            await Task.WhenAny(helper, Task.Delay(HelperTimeout, CancellationToken.None)).ConfigureAwait(false);
            throw new AttachException(
                first == signal.Task ? "interrupted"
                : first == ServerLost ? $"the server is lost: {(await ServerLost.ConfigureAwait(false)).Message}"
                : $"the mount ended before the device was usable: {(await Ended.ConfigureAwait(false)).Message}");
        }

        string[] answer = await helper.ConfigureAwait(false);
        return answer[0] == LoopHelper.Done ? answer : throw new AttachException(answer[1]);
    }

    /// <summary>
    /// Takes down whatever loop device carries our name: a helper that was killed after it made one could not tell its number.
    /// </summary>
    private async Task GiveUpAsync()
    {
        await AbortAsync().ConfigureAwait(false);
        await _mounted!.DisposeAsync().ConfigureAwait(false);
        string[] answer = await LoopHelper.RunAsync(LoopHelperCommand.DetachNamed, context.Entry.LoopName).ConfigureAwait(false);
        if (answer[0] != LoopHelper.Done)
        {
            AttachLog.Warning(context.Logger, $"a loop device may be left: {answer[1]}");
        }
    }
}
