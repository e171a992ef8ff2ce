using System.Net;
using System.Net.Sockets;
using NbdFuse.Protocol;

namespace NbdFuse.TestKit;

/// <summary>
/// A server that acknowledges writes into memory and makes them durable by FLUSH or FUA only. A crash forgets the rest, or as
/// much of it as the seed says; a failed FLUSH throws some of it away, as a kernel does whose disk fails.
/// </summary>
public sealed class VolatileServer : IAsyncDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly Lock _lock = new();
    private readonly List<Change> _unflushed = [];
    private readonly List<ScriptedRequest> _requests = [];
    private readonly Random _random;
    private byte[] _durable;
    private byte[] _memory;
    private Socket? _listener;
    private CancellationTokenSource _stop = new();
    private List<Task> _tasks = [];
    private int _connections;

    /// <summary>Makes a server that does not listen yet.</summary>
    /// <param name="size">Bytes of the disk.</param>
    /// <param name="seed">Decides what survives a crash.</param>
    public VolatileServer(int size, int seed = 1)
    {
        _durable = new byte[size];
        _memory = new byte[size];
        _random = new Random(seed);
    }

    /// <summary>Where it listens, while it does.</summary>
    public string SocketPath => _directory["volatile.sock"];

    /// <summary>Where it listens by TCP instead; null for the unix socket. A port of 0 is chosen by the first start, and kept.</summary>
    public IPEndPoint? EndPoint { get; set; }

    /// <summary>What the export is. Size is that of the disk.</summary>
    public ScriptedExport Export { get; set; } = new()
    {
        Flags = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.SendFua
            | NbdTransmissionFlags.SendTrim | NbdTransmissionFlags.SendWriteZeroes | NbdTransmissionFlags.CanMultiConn,
    };

    /// <summary>How much of what was not flushed survives a crash, 0 to 1.</summary>
    public double Survival { get; set; }

    /// <summary>FLUSHes that will fail, from the next one on.</summary>
    public int FailFlushes { get; set; }

    /// <summary>
    /// Asked before each request is executed, on the task of its connection; what it answers other than 0 is the error that is
    /// sent, and nothing is executed.
    /// </summary>
    public Func<NbdScript, ScriptedRequest, Task<uint>>? Before { get; set; }

    /// <summary>A copy of all requests since the last start, in the order of execution.</summary>
    public IReadOnlyList<ScriptedRequest> Requests
    {
        get
        {
            lock (_lock)
            {
                return [.. _requests];
            }
        }
    }

    /// <summary>Connections since the beginning.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>A copy of what is durable.</summary>
    public byte[] Durable()
    {
        lock (_lock)
        {
            return [.. _durable];
        }
    }

    /// <summary>A copy of what readers see.</summary>
    public byte[] Memory()
    {
        lock (_lock)
        {
            return [.. _memory];
        }
    }

    /// <summary>A copy of the requests of one kind, in the order of execution.</summary>
    /// <param name="command">The kind.</param>
    public List<ScriptedRequest> Seen(NbdCommand command)
    {
        lock (_lock)
        {
            return [.. _requests.Where(request => request.Command == command)];
        }
    }

    /// <summary>Replaces the disk of a server that does not run.</summary>
    /// <param name="disk">The new content, and size.</param>
    public void Replace(byte[] disk)
    {
        _durable = [.. disk];
        _memory = [.. disk];
        _unflushed.Clear();
    }

    /// <summary>Changes what readers see, as a write that failed half way; a crash forgets it.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="length">Bytes.</param>
    public void Scribble(long offset, int length)
    {
        lock (_lock)
        {
            _memory.AsSpan((int)offset, length).Fill(0xEE);
        }
    }

    /// <summary>Begins to listen.</summary>
    public void Start()
    {
        _stop = new CancellationTokenSource();
        _tasks = [];
        lock (_lock)
        {
            _requests.Clear();
        }

        _listener = EndPoint is null ? NbdUris.Listen(ServerTransport.Unix, _directory, "volatile.sock") : ListenByTcp(EndPoint);
        _tasks.Add(AcceptAsync(_listener, _stop.Token));
    }

    /// <summary>Ends every connection at once, and forgets what was not flushed.</summary>
    public async Task CrashAsync()
    {
        if (_listener is null)
        {
            return;
        }

        await _stop.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        _listener = null;
        await Task.WhenAll(Snapshot()).ConfigureAwait(false);
        _stop.Dispose();
        File.Delete(SocketPath);
        lock (_lock)
        {
            Settle(change => change.IsForced || _random.NextDouble() < Survival);
            _memory = [.. _durable];
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await CrashAsync().ConfigureAwait(false);
        _directory.Dispose();
    }

    private Socket ListenByTcp(IPEndPoint endPoint)
    {
        var listener = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(endPoint);
        listener.Listen(64);
        EndPoint = (IPEndPoint)listener.LocalEndPoint!;
        return listener;
    }

    private Task[] Snapshot()
    {
        lock (_lock)
        {
            return [.. _tasks];
        }
    }

    private async Task AcceptAsync(Socket listener, CancellationToken stop)
    {
        try
        {
            while (true)
            {
                Socket socket = await listener.AcceptAsync(stop).ConfigureAwait(false);
                int index = Interlocked.Increment(ref _connections) - 1;
                lock (_lock)
                {
                    _tasks.Add(Task.Run(() => ServeAsync(socket, index, stop), CancellationToken.None));
                }
            }
        }
        catch (Exception error) when (error is OperationCanceledException or ObjectDisposedException or SocketException)
        {
            // Crashed.
        }
    }

    private async Task ServeAsync(Socket socket, int index, CancellationToken stop)
    {
        using (socket)
        {
            try
            {
                var script = new NbdScript(socket, index, stop);
                await script.Handshake(Export with { Size = (ulong)_durable.Length }).ConfigureAwait(false);
                while (await ServeOneAsync(script).ConfigureAwait(false))
                {
                }
            }
            catch (Exception error) when (error is OperationCanceledException or ObjectDisposedException or SocketException or ScriptException)
            {
                // Crashed, or left by the client.
            }
        }
    }

    private async Task<bool> ServeOneAsync(NbdScript script)
    {
        ScriptedRequest request = await script.ReadRequest().ConfigureAwait(false);
        if (request.Command == NbdCommand.Disc)
        {
            return false;
        }

        uint error = Before is { } before ? await before(script, request).ConfigureAwait(false) : 0;
        byte[] data = [];
        lock (_lock)
        {
            script.Stop.ThrowIfCancellationRequested();
            _requests.Add(request);
            error = error != 0 ? error : Execute(request, ref data);
        }

        if (error != 0 && request.Command == NbdCommand.Read && script.Structured)
        {
            await script.SendErrorChunk(request.Cookie, error).ConfigureAwait(false);
        }
        else if (error == 0 && request.Command == NbdCommand.Read && script.Structured)
        {
            await script.SendDataChunk(request.Cookie, request.Offset, data, done: true).ConfigureAwait(false);
        }
        else
        {
            await script.SendSimpleReply(request.Cookie, error, error == 0 ? data : default).ConfigureAwait(false);
        }

        return true;
    }

    private uint Execute(ScriptedRequest request, ref byte[] data)
    {
        bool forced = (request.Flags & NbdCommandFlags.Fua) != 0;
        switch (request.Command)
        {
            case NbdCommand.Read:
                data = _memory.AsSpan((int)request.Offset, request.Length).ToArray();
                return 0;
            case NbdCommand.Write:
                Apply(new Change(request.Offset, request.Payload, forced));
                return 0;
            case NbdCommand.WriteZeroes:
                Apply(new Change(request.Offset, new byte[request.Length], forced));
                return 0;
            case NbdCommand.Trim:
                // Undefined content: certainly not what was there.
                byte[] rubbish = new byte[request.Length];
                Array.Fill(rubbish, (byte)0xDD);
                Apply(new Change(request.Offset, rubbish, forced));
                return 0;
            case NbdCommand.Flush when FailFlushes > 0:
                FailFlushes--;
                _unflushed.RemoveAll(change => !change.IsForced && _random.Next(2) == 0);
                return (uint)NbdError.Io;
            case NbdCommand.Flush:
                Settle(static _ => true);
                return 0;
            default:
                return 0;
        }
    }

    private void Apply(Change change)
    {
        change.Data.CopyTo(_memory, change.Offset);
        _unflushed.Add(change);
    }

    private void Settle(Predicate<Change> survives)
    {
        foreach (Change change in _unflushed)
        {
            if (survives(change))
            {
                change.Data.CopyTo(_durable, change.Offset);
            }
        }

        _unflushed.Clear();
    }

    private sealed record Change(long Offset, byte[] Data, bool IsForced);
}
