using NbdFuse.Attach;
using NbdFuse.Attach.KernelNbd;
using NbdFuse.Attach.Partitions;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>
/// The kernel's nbd driver: we only shake hands with the server. A supervisor replaces connections that die; it is not needed for
/// the device to work.
/// </summary>
/// <param name="context">What the daemon gives.</param>
internal sealed class NbdDriver(DriverContext context) : IDeviceDriver
{
    /// <summary>Name of the environment variable that makes us use ioctl where there is netlink; for tests.</summary>
    public const string IoctlVariable = "NBDFUSE_NBD_IOCTL";

    // With one connection the kernel only looks, so often: a request that a dead connection took along is sent again so soon.
    private const int RequestTimerMs = 5_000;
    private const int SupervisorStackBytes = 256 * 1024;
    private const int LargeBlock = 4096;

    // Between two looks whether a device that is made by ioctl is there.
    private static readonly TimeSpan LookTime = TimeSpan.FromMilliseconds(10);

    // What the kernel may take to show who runs a device that is made by ioctl, in milliseconds.
    private const int OwnerMs = 10_000;

    private readonly TaskCompletionSource<DriverEnd> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<NbdException> _lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly string _identifier = context.Entry.LoopName;
    private KernelNbdControl? _control;
    private NbdHandover? _handover;
    private NbdHandoverSockets? _sockets;
    private KernelNbdSupervision? _supervision;
    private Thread? _supervisor;
    private Task<string>? _runner;
    private int _index = -1;
    private int _owner;
    private volatile KernelNbdGeometry? _geometry;
    private volatile string? _outage;
    private volatile bool _isCutOff;
    private volatile IReadOnlyList<string> _partitions = [];

    /// <inheritdoc/>
    public string Name => KernelNbdKind.Name;

    /// <inheritdoc/>
    public Task<DriverEnd> Ended => _ended.Task;

    /// <inheritdoc/>
    public Task<NbdException> ServerLost => _lost.Task;

    /// <inheritdoc/>
    public string? Outage => _outage;

    /// <inheritdoc/>
    public int InFlight
    {
        get
        {
            KernelNbdDevice.Statistics(_index, out int inFlight);
            return inFlight;
        }
    }

    /// <inheritdoc/>
    public int Connections => _supervision?.Alive ?? _sockets?.Sockets.Count ?? 0;

    /// <inheritdoc/>
    public IReadOnlyList<OperationStatus> Operations => KernelNbdDevice.Statistics(_index, out _);

    /// <inheritdoc/>
    public IReadOnlyList<Guarantee> Guarantees => KernelNbdGuarantees.Of(isSupervised: _supervisor is not null);

    private static bool IsIoctlForced => Environment.GetEnvironmentVariable(IoctlVariable) == "1";

    private NbdDriverOptions Options => context.Arguments.Nbd;

    private bool IsIoctl => _control is null;

    private bool NeedsProcess => IsIoctl || !Options.NoSupervisor;

    /// <summary>Why this machine cannot use the driver; null when it can. The kernel loads its module by itself where it can.</summary>
    public static string? WhyUnusable()
    {
        try
        {
            KernelNbdControl.Open()?.Dispose();
            return null;
        }
        catch (AttachException e)
        {
            return e.Message;
        }
    }

    /// <inheritdoc/>
    public async Task<DriverDevice> BringUpAsync(CancellationToken interrupted)
    {
        if (context.Traces.IsAny)
        {
            throw new AttachException("with the driver nbd the kernel reads by itself: --record and --prefetch are for the drivers ublk and fuse");
        }

        _control = IsIoctlForced ? null : KernelNbdControl.Open();
        if (IsIoctl && Options.NoSupervisor)
        {
            throw new AttachException("this kernel's nbd driver needs a process that stays (it has no netlink interface): leave --no-supervisor out");
        }

        _handover = NbdHandover.Create(
            Absolute(context.Target),
            new NbdHandoverOptions { ExportName = context.Arguments.Uri.ExportName, Transport = new NbdTransportOptions { Tls = context.Arguments.Tls } },
            context.Loggers.CreateLogger("nbd"));
        _sockets = await _handover.ConnectAsync(context.Arguments.Connections, interrupted).ConfigureAwait(false);
        KernelNbdGeometry geometry = KernelNbdGeometry.Decide(
            _sockets.Export, context.Arguments.BlockSize, context.IsReadOnly, Posix.GetPageSize());

        // Reading the device may wait for the server: errors free whoever waits.
        using CancellationTokenRegistration registration = interrupted.Register(Cut);
        return await Task.Factory.StartNew(
            () => BringUp(geometry, interrupted), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)
            .ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public Task<TakeDownResult> TakeDownAsync() => RunAsync(() =>
    {
        Down().Run();
        return null;
    });

    /// <inheritdoc/>
    public Task AbortAsync() => RunAsync(() =>
    {
        StopSupervisor();
        CutOff();
        return null;
    });

    /// <inheritdoc/>
    public Task<TakeDownResult> TakeDownByForceAsync() => RunAsync(() =>
    {
        StopSupervisor();
        CutOff();
        IReadOnlyList<DeviceHolder> holders = Down().RunByForce();
        return holders.Count == 0
            ? null
            : $"{string.Join(", ", holders)}: the kernel frees {KernelNbdDevice.PathOf(_index)} when that ends";
    });

    /// <inheritdoc/>
    public Task<TakeDownResult> FinishAsync() => Task.FromResult(new TakeDownResult(true));

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        StopSupervisor();
        _supervision?.Dispose();
        _sockets?.Dispose();
        _control?.Dispose();
        if (_handover is not null)
        {
            await _handover.DisposeAsync().ConfigureAwait(false);
        }
    }

    // The supervisor connects again when the working directory is another.
    private static NbdTarget Absolute(NbdTarget target) =>
        target is UnixTarget { Path: var path } && !path.StartsWith('\0') ? new UnixTarget(Path.GetFullPath(path)) : target;

    private static Task<TakeDownResult> RunAsync(Func<string?> work) => Task.Factory.StartNew(
        () =>
        {
            try
            {
                return new TakeDownResult(true, work());
            }
            catch (IOException e)
            {
                return new TakeDownResult(false, e.Message);
            }
        },
        CancellationToken.None,
        TaskCreationOptions.LongRunning,
        TaskScheduler.Default);

    private KernelNbdTakeDown Down() => new(_index, _identifier, _owner)
    {
        IsIoctl = IsIoctl,
        Abort = Cut,
        BeforeDisconnect = StopSupervisor,
        WasCutOff = _isCutOff,
        Partitions = _partitions,
    };

    // What is left of a device once it is cut off does not show any more whose it was.
    private void CutOff()
    {
        bool wasOurs = KernelNbdDevice.IsOurs(_index, _identifier, _owner);
        Down().CutOff();
        _isCutOff |= wasOurs;
    }

    private DriverDevice BringUp(KernelNbdGeometry geometry, CancellationToken interrupted)
    {
        NbdHandoverSockets sockets = _sockets!;
        int? wanted = null;
        if (context.Arguments.Device is { } path)
        {
            wanted = KernelNbdDevice.TryNumber(path, out int number)
                ? number
                : throw new AttachException($"{path} is no device of the kernel's nbd driver: name one such as /dev/nbd3, or leave --device out");
        }

        try
        {
            if (_control is { } control)
            {
                Connect(control, geometry, wanted, sockets);
            }
            else
            {
                Run(geometry, wanted, sockets);
            }

            if (geometry.MaximumRequestKb is { } maximum)
            {
                KernelNbdDevice.LimitRequests(_index, maximum);
            }

            if (sockets.Sockets.Count == 1 && Options.TimeoutSeconds == 0 && !IsIoctl)
            {
                // Where it cannot be set, requests of a dead connection wait for half a minute instead.
                KernelNbdDevice.SetRequestTimer(_index, RequestTimerMs);
            }

            KernelNbdDevice.WaitUsable(_index);
            interrupted.ThrowIfCancellationRequested();
            geometry = FitBlockSize(geometry);
            _geometry = geometry;
            IReadOnlyList<string> partitions = _partitions = FindPartitions();
            interrupted.ThrowIfCancellationRequested();
            Supervise(sockets);
            return new DriverDevice
            {
                Path = KernelNbdDevice.PathOf(_index),
                Size = geometry.Size,
                ExportSize = geometry.ExportSize,
                BlockSize = geometry.BlockSize,
                IsReadOnly = geometry.IsReadOnly,
                Server = context.Target.ToString()!,
                Partitions = partitions,
                NeedsProcess = NeedsProcess,
            };
        }
        catch
        {
            // Whatever it was. The kernel may have made the device, and its answer be lost.
            _index = _index < 0 ? KernelNbdDevice.Find(_identifier) : _index;
            if (_index >= 0)
            {
                StopSupervisor();
                Down().RunByForce();
            }
            else
            {
                sockets.SayGoodbye();
            }

            interrupted.ThrowIfCancellationRequested();
            throw;
        }
    }

    private void Connect(KernelNbdControl control, KernelNbdGeometry geometry, int? wanted, NbdHandoverSockets sockets)
    {
        HashSet<string> before = [.. Directory.Exists("/sys/block") ? Directory.EnumerateDirectories("/sys/block", "nbd*") : []];
        _index = control.Connect(
            new KernelNbdConnect
            {
                Geometry = geometry,
                Index = wanted,
                Identifier = _identifier,
                TimeoutSeconds = Options.TimeoutSeconds,
                DeadConnectionSeconds = Options.DeadConnectionSeconds,
            },
            sockets.Sockets);
        _owner = KernelNbdDevice.Owner(_index);
        Publish();
        _supervision = new KernelNbdSupervision(control, _index, _identifier, _owner, sockets.Sockets, Negotiate, Report, Grow);

        // A device that the kernel made for us goes with us; those that the module made at its start stay.
        if (!before.Contains("/sys/block/" + Path.GetFileName(KernelNbdDevice.PathOf(_index))))
        {
            control.DestroyOnDisconnect(_index, _identifier);
        }
    }

    private void Run(KernelNbdGeometry geometry, int? wanted, NbdHandoverSockets sockets)
    {
        int index = wanted ?? KernelNbdDevice.FindFree();
        if (index < 0)
        {
            throw new AttachException("every device of the kernel's nbd driver is in use; 'modprobe nbd nbds_max=N' makes more");
        }

        KernelNbdDevice.EnsureNode(index);
        (int process, _runner) = NbdIoctlHelper.Start(index, geometry, Options.TimeoutSeconds, sockets.Sockets);

        // Somebody else may have taken the number meanwhile: only a device that our process runs is ours.
        long end = MonotonicClock.Milliseconds + OwnerMs;
        while (!KernelNbdDevice.IsMadeBy(index, process) || KernelNbdDevice.Size(index) == 0)
        {
            if (_runner.Wait(LookTime))
            {
                throw new AttachException(_runner.Result.Length > 0 ? _runner.Result : "the device ended before it was usable");
            }

            if (MonotonicClock.Milliseconds > end)
            {
                // Without connections it ends.
                Cut();
                throw new AttachException($"{KernelNbdDevice.PathOf(index)}: the kernel does not show it as run by our process {process}; attach outside of PID namespaces (containers)");
            }
        }

        _index = index;
        _owner = KernelNbdDevice.Owner(index);
        Publish();
    }

    private void Publish()
    {
        var note = new KernelNbdNote(_owner, IsIoctl, IsSupervised: !IsIoctl && !Options.NoSupervisor);
        context.Publish(state => state with { Device = KernelNbdDevice.PathOf(_index), DriverNote = note.ToString() });
    }

    // A disk that was partitioned in blocks of 4096 bytes shows its partitions with such blocks only.
    private KernelNbdGeometry FitBlockSize(KernelNbdGeometry geometry)
    {
        if (context.Arguments.BlockSize != 0 || geometry.BlockSize >= LargeBlock || Posix.GetPageSize() < LargeBlock)
        {
            return geometry;
        }

        string path = KernelNbdDevice.PathOf(_index);
        using (FileDescriptor device = FileDescriptor.OwnOrThrow(Posix.Open(path, OpenFlags.ReadOnly), path))
        {
            if (PartitionTable.BlockSizeOf(PartitionNodes.ReaderOf(device), geometry.Size) != LargeBlock)
            {
                return geometry;
            }

            geometry = geometry with { BlockSize = LargeBlock };
            if (IsIoctl)
            {
                PosixException.Check(KernelNbdIoctl.Resize(device, geometry), $"{path}: set the block size");
                return geometry;
            }
        }

        // Not while it is open: the page cache has blocks of the old size.
        _control!.Resize(_index, _identifier, geometry);
        return geometry;
    }

    private IReadOnlyList<string> FindPartitions()
    {
        // The kernel looks for them when the device is opened.
        string path = KernelNbdDevice.PathOf(_index);
        FileDescriptor.OwnOrThrow(Posix.Open(path, OpenFlags.ReadOnly), path).Dispose();
        return PartitionNodes.Create(path);
    }

    private void Supervise(NbdHandoverSockets sockets)
    {
        if (_runner is { } runner)
        {
            // Our descriptors of the connections stay: they are what the kernel can be freed by.
            runner.ContinueWith(
                ended => _ended.TrySetResult(new DriverEnd(
                    false,
                    ended.Result.Length > 0
                        ? ended.Result
                        : "the server closed the connections, or somebody disconnected the device")),
                CancellationToken.None,
                TaskContinuationOptions.None,
                TaskScheduler.Default);
            return;
        }

        // The kernel and the supervision have their own.
        sockets.Dispose();
        if (Options.NoSupervisor)
        {
            return;
        }

        var supervisor = new KernelNbdSupervisor(_supervision!, sockets.Export, Options.PatienceMilliseconds, Random.Shared.NextDouble);
        _supervisor = new Thread(() => Supervise(supervisor), SupervisorStackBytes) { IsBackground = true, Name = "nbd supervisor" };
        _supervisor.Start();
    }

    private void Supervise(KernelNbdSupervisor supervisor)
    {
        KernelNbdSupervisionEnd end;
        try
        {
            end = supervisor.Run();
        }
        catch (IOException e)
        {
            // The device goes on without us.
            NbdDriverLog.SupervisorFailed(context.Logger, KernelNbdDevice.PathOf(_index), e.Message);
            _outage = $"the supervisor has failed: {e.Message}";
            return;
        }

        if (end == KernelNbdSupervisionEnd.Gone)
        {
            _ended.TrySetResult(new DriverEnd(true, "somebody else has disconnected the device"));
        }
        else if (end == KernelNbdSupervisionEnd.GivenUp)
        {
            _isCutOff = true;
            _lost.TrySetResult(new NbdException(_outage ?? "the server is gone"));
        }
    }

    private KernelNbdOffer Negotiate(int connections, bool sameServer, CancellationToken stop)
    {
        Task<NbdHandoverSockets> attempt = sameServer
            ? _handover!.ConnectAgainAsync(stop)
            : _handover!.ConnectAsync(connections, stop);
        NbdHandoverSockets sockets = attempt.GetAwaiter().GetResult();
        return new KernelNbdOffer(sockets.Export, sockets.Sockets, sockets.SayGoodbye, sockets);
    }

    // By the supervisor. The block size stays, and with it what the page cache has of the device.
    private void Grow(NbdExportInfo export)
    {
        string path = KernelNbdDevice.PathOf(_index);
        KernelNbdGeometry before = _geometry!;
        KernelNbdGeometry now = before with
        {
            Size = (long)export.Size - ((long)export.Size % before.BlockSize),
            ExportSize = (long)export.Size,
        };
        try
        {
            _control!.Resize(_index, _identifier, now);
        }
        catch (AttachException e)
        {
            AttachLog.NotGrown(context.Logger, path, e.Message);
            return;
        }

        _geometry = now;
        context.Publish(state => state with { Size = now.Size, UnreachableTail = now.ExportSize - now.Size });
        AttachLog.Grown(context.Logger, path, now.Size);
    }

    private void Report(bool isOnline, string? reason)
    {
        string? before = _outage;
        _outage = isOnline ? null : ErrorText.OneLine(reason ?? string.Empty);
        string device = KernelNbdDevice.PathOf(_index);
        if (isOnline)
        {
            NbdDriverLog.Recovered(context.Logger, device);
        }
        else if (_outage != before)
        {
            NbdDriverLog.ConnectionLost(context.Logger, device, _outage!);
        }
    }

    private void StopSupervisor()
    {
        _supervision?.Stop();
        if (_supervisor is { } thread && thread != Thread.CurrentThread)
        {
            thread.Join();
        }
    }

    private void Cut()
    {
        if (_supervision is { } supervision)
        {
            supervision.Abort();
        }
        else if (_sockets is { } sockets)
        {
            foreach (FileDescriptor socket in sockets.Sockets.Where(socket => !socket.IsClosed))
            {
                Posix.Shutdown(socket.Value, SocketConstants.SHUT_RDWR);
            }
        }
    }
}
