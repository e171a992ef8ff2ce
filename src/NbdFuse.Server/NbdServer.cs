using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Server;

/// <summary>
/// A small honest NBD server: fixed newstyle, OPT_GO, structured replies, several connections, every command. It serves
/// what the quick start mounts, and is one of the peers of the tests.
/// </summary>
/// <remarks>THREADING: all members may be called from any thread. A client that breaks the protocol loses its own
/// connection and nothing else.</remarks>
public sealed class NbdServer : IAsyncDisposable
{
    private const int Backlog = 128;
    private readonly NbdServerOptions _options;
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<long, Task> _connections = new();
    private Socket? _listener;
    private Task _accepting = Task.CompletedTask;
    private string? _socketPath;
    private long _lastId;
    private int _open;

    /// <summary>Makes a server that does not listen yet.</summary>
    /// <param name="options">What to serve.</param>
    /// <exception cref="ArgumentException">No export, a name twice, or a name that is no legal string.</exception>
    public NbdServer(NbdServerOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaximumConnections, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaximumOptions, 1);
        if (options.Exports.Count == 0)
        {
            throw new ArgumentException("A server needs an export.", nameof(options));
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (NbdServerExport export in options.Exports)
        {
            // Also throws for a name or description that can't be sent.
            NbdListEntry.GetSize(export.Name, export.Description);
            NbdBlockSizes sizes = export.BlockSizes;
            if (!NbdBlockSizes.TryCreate(sizes.Minimum, sizes.Preferred, sizes.Maximum, out _))
            {
                throw new ArgumentException($"The block sizes of export '{export.Name}' break the protocol's rules.", nameof(options));
            }

            if (!names.Add(export.Name))
            {
                throw new ArgumentException($"There are two exports named '{export.Name}'.", nameof(options));
            }
        }

        _options = options;
    }

    /// <summary>Where the server listens, with the port that the kernel chose; null before the start.</summary>
    public EndPoint? EndPoint { get; private set; }

    /// <summary>Connections that are open now.</summary>
    public int OpenConnections => Volatile.Read(ref _open);

    /// <summary>Connections that were accepted so far, refused ones included.</summary>
    public long AcceptedConnections => Interlocked.Read(ref _lastId);

    /// <summary>Starts to listen. When the task has ended, clients can connect.</summary>
    /// <param name="endPoint">An <see cref="IPEndPoint"/> (port 0: any) or a <see cref="UnixDomainSocketEndPoint"/>.</param>
    /// <exception cref="SocketException">The address is in use or not allowed.</exception>
    public async Task StartAsync(EndPoint endPoint)
    {
        string? path = endPoint is UnixDomainSocketEndPoint ? endPoint.ToString() : null;
        bool hasFile = !string.IsNullOrEmpty(path) && path[0] is not ('@' or '\0');
        if (hasFile && _options.ReplaceStaleSocket)
        {
            await RemoveStaleSocketAsync(path!).ConfigureAwait(false);
        }

        var listener = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            if (endPoint is IPEndPoint ip)
            {
                // The plain option: .NET's ReuseAddress also sets SO_REUSEPORT, and then a second server on the same port would
                // silently get half of a client's connections.
                listener.SetRawSocketOption(SocketConstants.SOL_SOCKET, SocketConstants.SO_REUSEADDR, BitConverter.GetBytes(1));
                if (ip.Address.Equals(IPAddress.IPv6Any))
                {
                    listener.DualMode = true;
                }
            }

            listener.Bind(endPoint);
            _socketPath = hasFile ? Path.GetFullPath(path!) : null;
            listener.Listen(Backlog);
        }
        catch
        {
            listener.Dispose();
            throw;
        }

        Start(listener);
    }

    /// <summary>Serves a socket that listens already, as handed over by socket activation.</summary>
    /// <param name="listener">The socket; it belongs to the server from here on.</param>
    public void Start(Socket listener)
    {
        if (_listener is not null)
        {
            throw new InvalidOperationException("The server has been started already.");
        }

        _listener = listener;
        EndPoint = listener.LocalEndPoint;
        Log.Listening(_options.Logger, EndPoint?.ToString() ?? "a socket without a name");
        _accepting = AcceptAsync(listener);
    }

    /// <summary>Serves one connection to its end, as under inetd.</summary>
    /// <param name="socket">A connected socket; it is closed at the end.</param>
    /// <returns>A task that ends with the connection and never fails because of the client.</returns>
    public Task ServeConnectionAsync(Socket socket)
    {
        if (socket.ProtocolType == ProtocolType.Tcp
            || socket.AddressFamily is AddressFamily.InterNetwork or AddressFamily.InterNetworkV6)
        {
            socket.NoDelay = true;
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        }

        return ServeConnectionAsync(new NetworkStream(socket, ownsSocket: true));
    }

    /// <summary>Serves one connection to its end.</summary>
    /// <param name="stream">A duplex stream; it is closed at the end.</param>
    /// <returns>A task that ends with the connection and never fails because of the client.</returns>
    public Task ServeConnectionAsync(Stream stream)
    {
        long id = Interlocked.Increment(ref _lastId);
        if (Interlocked.Increment(ref _open) > _options.MaximumConnections)
        {
            Interlocked.Decrement(ref _open);
            Log.TooManyConnections(_options.Logger, id, _options.MaximumConnections);
            stream.Dispose();
            return Task.CompletedTask;
        }

        // On the pool: the first bytes must not be served inside the accept loop.
        Task task = Task.Run(() => ServeAsync(stream, id));
        _connections[id] = task;
        task.ContinueWith(
            (_, key) => _connections.TryRemove((long)key!, out Task? _), id, CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        return task;
    }

    /// <summary>Stops accepting, closes every connection and waits until they are gone.</summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        _listener?.Dispose();
        await _accepting.ConfigureAwait(false);
        await Task.WhenAll(_connections.Values).ConfigureAwait(false);
        if (Interlocked.Exchange(ref _socketPath, null) is string path)
        {
            File.Delete(path);
        }
    }

    /// <summary>Stops the server. The backends stay open.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        _stop.Dispose();
    }

    private static async Task RemoveStaleSocketAsync(string path)
    {
        if (!File.Exists(path))
        {
            return;
        }

        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await probe.ConnectAsync(new UnixDomainSocketEndPoint(path)).ConfigureAwait(false);
        }
        catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionRefused)
        {
            // Also what a plain file answers: that one must not be deleted, but make the bind fail.
            if (Posix.Lstat(path, out FileStatus status) == 0 && status.IsSocket)
            {
                File.Delete(path);
            }
        }
    }

    private async Task AcceptAsync(Socket listener)
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                Socket socket = await listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
                Log.Accepted(_options.Logger, AcceptedConnections + 1, Peer(socket));
                _ = ServeConnectionAsync(socket);
            }
            catch (Exception error) when (error is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
            catch (SocketException error)
            {
                if (_stop.IsCancellationRequested)
                {
                    return;
                }

                // The client was gone before it was accepted, or descriptors ran out: neither may end the server, nor make
                // it spin.
                Log.AcceptFailed(_options.Logger, error.Message);
                await Task.Delay(100, CancellationToken.None).ConfigureAwait(false);
            }
        }
    }

    private static string Peer(Socket socket)
    {
        try
        {
            return socket.RemoteEndPoint?.ToString() is { Length: > 0 } name ? name : "a local client";
        }
        catch (SocketException)
        {
            return "a client that has gone";
        }
    }

    private async Task ServeAsync(Stream stream, long id)
    {
        try
        {
            await using (stream.ConfigureAwait(false))
            {
                await ConverseAsync(stream, id).ConfigureAwait(false);
            }

            Log.Ended(_options.Logger, id);
        }
        catch (ClientViolationException error)
        {
            Log.Violation(_options.Logger, id, error.Message);
        }
        catch (OperationCanceledException)
        {
            Log.Lost(_options.Logger, id, "the server stops");
        }
        catch (Exception error) when (error is IOException or SocketException or ObjectDisposedException)
        {
            Log.Lost(_options.Logger, id, error.Message);
        }
        catch (Exception error)
        {
            // A failing backend ends the connection that met it; the others may not even use it.
            Log.Failed(_options.Logger, error, id);
        }
        finally
        {
            Interlocked.Decrement(ref _open);
        }
    }

    private async Task ConverseAsync(Stream stream, long id)
    {
        using var reader = new WireReader(stream);
        using var writer = new WireWriter(stream);
        var handshake = new ServerHandshake(_options, reader, writer);
        NbdServerExport? export;
        using (var deadline = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token))
        {
            deadline.CancelAfter(_options.HandshakeTimeout);
            try
            {
                export = await handshake.RunAsync(deadline.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
            {
                throw new ClientViolationException(
                    $"it had not chosen an export after {_options.HandshakeTimeout.TotalSeconds} s");
            }
        }

        if (export is null)
        {
            return;
        }

        Log.Transmission(
            _options.Logger,
            id,
            NbdText.Sanitize(export.Name, 256),
            export.Flags(handshake.Structured, statusPayload: handshake.Extended && _options.BlockStatus).ToString(),
            handshake.Structured);
        using var transmission = new ServerTransmission(
            export, handshake.Structured, handshake.Extended, handshake.HasStatus(export), reader, writer, _options.Logger, id);
        await transmission.RunAsync(_stop.Token).ConfigureAwait(false);
    }
}
