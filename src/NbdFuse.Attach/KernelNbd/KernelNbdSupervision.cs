using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Attach.KernelNbd;

/// <summary>The real world of a <see cref="KernelNbdSupervisor"/>: a device of the kernel, and its connections.</summary>
/// <remarks>
/// Keeps duplicates of the sockets that the kernel has. They tell of the end of a connection, and by them the kernel can be
/// freed when it waits for a server that does not answer: while a send of the driver is stuck, every request to the driver waits.
/// THREADING: the supervisor's thread uses the interface; <see cref="Abort"/>, <see cref="Stop"/> and the counts are for any thread.
/// </remarks>
public sealed class KernelNbdSupervision : IKernelNbdSupervision, IDisposable
{
    // How often to look whether the device is still there when nothing happens.
    private const int LookMs = 10_000;

    // The driver notices the end of a connection by itself, within a moment; the event of it may be lost.
    private const int NoticeMs = 2_000;

    // After so long the event was lost, not late: the dead socket is shut, so that nothing keeps the driver from finding its end.
    private const int LostEventMs = 30_000;

    private const PollEvents End = PollEvents.RdHup | PollEvents.Hup | PollEvents.Err | PollEvents.Invalid;

    private readonly KernelNbdControl _control;
    private readonly KernelNbdEvents? _events;
    private readonly int _index;
    private readonly string _identifier;
    private readonly int _owner;
    private readonly Func<int, bool, CancellationToken, KernelNbdOffer> _negotiate;
    private readonly Action<bool, string?> _report;
    private readonly Action<NbdExportInfo> _grow;
    private readonly FileDescriptor _stop;
    private readonly CancellationTokenSource _cancellation = new();
    private readonly Lock _lock = new();
    private readonly List<FileDescriptor> _sockets = [];
    private int _dead;
    private int _noticed;
    private long _lastLoss;

    /// <summary>Begins to watch.</summary>
    /// <param name="control">The driver; stays the caller's.</param>
    /// <param name="index">Number of the device.</param>
    /// <param name="identifier">Name that the device was made with.</param>
    /// <param name="owner">Thread that made it.</param>
    /// <param name="sockets">Its connections, which are duplicated.</param>
    /// <param name="negotiate">Makes so many new connections, to the same server or any.</param>
    /// <param name="report">Hears how the device is.</param>
    /// <param name="grow">Lets the device grow.</param>
    public KernelNbdSupervision(
        KernelNbdControl control,
        int index,
        string identifier,
        int owner,
        IReadOnlyList<FileDescriptor> sockets,
        Func<int, bool, CancellationToken, KernelNbdOffer> negotiate,
        Action<bool, string?> report,
        Action<NbdExportInfo> grow)
    {
        _control = control;
        _index = index;
        _identifier = identifier;
        _owner = owner;
        _negotiate = negotiate;
        _report = report;
        _grow = grow;
        _stop = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "create an eventfd");
        _events = control.Listen();
        Keep(sockets);
    }

    /// <inheritdoc/>
    public int Alive
    {
        get
        {
            lock (_lock)
            {
                return _sockets.Count;
            }
        }
    }

    /// <inheritdoc/>
    public int Dead
    {
        get
        {
            lock (_lock)
            {
                return _dead;
            }
        }
    }

    /// <inheritdoc/>
    public bool IsOurs => KernelNbdDevice.IsOurs(_index, _identifier, _owner);

    /// <inheritdoc/>
    public long Now => MonotonicClock.Milliseconds;

    /// <summary>Ends the supervision; the device goes on.</summary>
    public void Stop()
    {
        _cancellation.Cancel();
        Posix.EventFdWrite(_stop.Value);
    }

    /// <summary>Cuts all connections: whatever of the kernel waits for the server wakes up.</summary>
    public void Abort()
    {
        lock (_lock)
        {
            foreach (FileDescriptor socket in _sockets)
            {
                Posix.Shutdown(socket.Value, SocketConstants.SHUT_RDWR);
            }
        }
    }

    /// <inheritdoc/>
    public KernelNbdLinkEvent WaitForLoss()
    {
        while (!_cancellation.IsCancellationRequested)
        {
            int lost = Wait(LookMs);
            if (_cancellation.IsCancellationRequested)
            {
                break;
            }

            if (lost > 0)
            {
                AwaitNotice();
                return KernelNbdLinkEvent.Lost;
            }

            if (!IsOurs)
            {
                return KernelNbdLinkEvent.Gone;
            }
        }

        return KernelNbdLinkEvent.Stopped;
    }

    /// <inheritdoc/>
    public bool Delay(int milliseconds)
    {
        Posix.Poll(_stop.Value, PollEvents.In, milliseconds);
        return !_cancellation.IsCancellationRequested;
    }

    /// <inheritdoc/>
    public KernelNbdOffer Negotiate(int connections, bool sameServer) => _negotiate(connections, sameServer, _cancellation.Token);

    /// <inheritdoc/>
    public void HandOver(KernelNbdOffer offer)
    {
        // Another one may have died meanwhile, which the kernel has to be given the time to notice.
        Wait(0);
        AwaitNotice();
        int known = _events is null ? Dead : Replaceable(_noticed, Dead, Now - _lastLoss);
        if (known == 0)
        {
            offer.Decline();
            throw new AttachException("the kernel has not taken note yet that the connection is dead");
        }

        // One by one: at the first for which it has no place the kernel drops the rest, and calls it a success.
        foreach (FileDescriptor socket in offer.Sockets.Take(known))
        {
            _control.Replace(_index, _identifier, [socket]);
            Keep([socket]);
            lock (_lock)
            {
                _dead = Math.Max(0, _dead - 1);
                _noticed = Math.Max(0, _noticed - 1);
            }
        }
    }

    /// <summary>How many connections the driver can be believed to replace: it drops one without a word when none is dead to it.</summary>
    /// <param name="noticed">Connections of whose end it has told.</param>
    /// <param name="dead">Connections that have ended.</param>
    /// <param name="sinceLoss">Milliseconds since the last one ended.</param>
    internal static int Replaceable(int noticed, int dead, long sinceLoss) =>
        sinceLoss >= LostEventMs ? dead : Math.Min(noticed, dead);

    /// <inheritdoc/>
    public void Grow(NbdExportInfo export) => _grow(export);

    /// <inheritdoc/>
    public void FailClosed(string reason)
    {
        _report(false, reason);
        Abort();
        _control.Disconnect(_index);
    }

    /// <inheritdoc/>
    public void Report(bool isOnline, string? reason) => _report(isOnline, reason);

    /// <inheritdoc/>
    public void Dispose()
    {
        _events?.Dispose();
        _stop.Dispose();
        _cancellation.Dispose();
        lock (_lock)
        {
            _sockets.ForEach(socket => socket.Dispose());
            _sockets.Clear();
        }
    }

    private void Keep(IReadOnlyList<FileDescriptor> sockets)
    {
        lock (_lock)
        {
            foreach (FileDescriptor socket in sockets)
            {
                _sockets.Add(FileDescriptor.OwnOrThrow(Posix.Dup(socket.Value), "duplicate a connection"));
            }
        }
    }

    /// <summary>Waits until something happens, and takes note of it.</summary>
    /// <returns>Connections that have died.</returns>
    private int Wait(int milliseconds)
    {
        PollDescriptor[] entries;
        FileDescriptor[] sockets;
        lock (_lock)
        {
            sockets = [.. _sockets];
        }

        entries =
        [
            new PollDescriptor(_stop.Value, PollEvents.In),
            new PollDescriptor(_events?.Descriptor ?? -1, PollEvents.In),
            .. sockets.Select(socket => new PollDescriptor(socket.Value, PollEvents.RdHup)),
        ];
        PosixException.Check(Posix.Poll(entries, milliseconds), "wait for the connections");
        if (_events is not null && (entries[1].Returned & PollEvents.In) != 0)
        {
            _noticed += _events.Take(_index);
        }

        int lost = 0;
        for (int i = 0; i < sockets.Length; i++)
        {
            if ((entries[i + 2].Returned & End) == 0)
            {
                continue;
            }

            // The kernel reads from the very same socket: from now on it finds the end, too, whatever the peer sends.
            lost++;
            _lastLoss = Now;
            Posix.Shutdown(sockets[i].Value, SocketConstants.SHUT_RDWR);
            lock (_lock)
            {
                _sockets.Remove(sockets[i]);
                _dead++;
            }

            sockets[i].Dispose();
        }

        return lost;
    }

    /// <summary>
    /// Waits until the driver has taken note of dead connections: it would drop a new one without a word while it believes in the
    /// old one.
    /// </summary>
    private void AwaitNotice()
    {
        long end = Now + NoticeMs;
        while (_noticed < Dead && Now < end && !_cancellation.IsCancellationRequested)
        {
            if (_events is null)
            {
                Delay((int)(end - Now));
                return;
            }

            Span<PollDescriptor> entries = [new PollDescriptor(_stop.Value, PollEvents.In), new PollDescriptor(_events.Descriptor, PollEvents.In)];
            PosixException.Check(Posix.Poll(entries, (int)Math.Max(0, end - Now)), "wait for the kernel's notice");
            if ((entries[1].Returned & PollEvents.In) != 0)
            {
                _noticed += _events.Take(_index);
            }
        }

        _noticed = Math.Min(_noticed, Dead);
    }
}
