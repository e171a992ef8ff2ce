using System.Net;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;

namespace NbdFuse.TestKit;

/// <summary>
/// A server that does exactly what the test says, right or wrong. A script that fails makes the test fail: its exception
/// is thrown by <see cref="Finished"/>, or else when the server is disposed.
/// </summary>
public sealed class ScriptedNbdServer : IAsyncDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Socket _listener;
    private readonly Func<NbdScript, Task> _script;
    private readonly List<Task> _scripts = [];
    private readonly List<Socket> _sockets = [];
    private readonly Task _accepting;
    private readonly TaskCompletionSource _first = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ExceptionDispatchInfo? _complaint;
    private bool _observed;

    /// <summary>Starts the server.</summary>
    /// <param name="script">Run for each connection; see <see cref="NbdScript.Index"/>. The connection is closed after it.</param>
    /// <param name="transport">How it is reached.</param>
    public ScriptedNbdServer(Func<NbdScript, Task> script, ServerTransport transport = ServerTransport.Unix)
    {
        _script = script;
        _listener = NbdUris.Listen(transport, _directory);
        EndPoint = _listener.LocalEndPoint!;
        _accepting = AcceptAsync();
    }

    /// <summary>Where it listens.</summary>
    public EndPoint EndPoint { get; }

    /// <summary>Its NBD URI, with an empty export name.</summary>
    public string Uri => NbdUris.For(EndPoint, string.Empty);

    /// <summary>Path of the unix socket, or null.</summary>
    public string? SocketPath => EndPoint is UnixDomainSocketEndPoint ? EndPoint.ToString() : null;

    /// <summary>Connections so far.</summary>
    public int Connections
    {
        get
        {
            lock (_scripts)
            {
                return _scripts.Count;
            }
        }
    }

    /// <summary>Waits until the first connection has come and all scripts that were started have ended well.</summary>
    public async Task Finished()
    {
        _observed = true;
        await Deadline.Within(_first.Task, "a client to connect to the script").ConfigureAwait(false);
        await Deadline.Within(Task.WhenAll(Snapshot()), "the script to end").ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        ExceptionDispatchInfo? complaint = Volatile.Read(ref _complaint);
        await _stop.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        await Task.WhenAll(Snapshot()).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (Socket socket in _sockets)
        {
            socket.Dispose();
        }

        _stop.Dispose();
        _directory.Dispose();

        // Scripts that were still running were ended by this very call: their complaints mean nothing.
        if (!_observed)
        {
            complaint?.Throw();
        }
    }

    private Task[] Snapshot()
    {
        lock (_scripts)
        {
            return [.. _scripts];
        }
    }

    private async Task AcceptAsync()
    {
        for (int index = 0; ; index++)
        {
            Socket socket;
            try
            {
                socket = await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
            }
            catch (Exception error) when (error is OperationCanceledException or ObjectDisposedException or SocketException)
            {
                return;
            }

            _sockets.Add(socket);
            int number = index;
            lock (_scripts)
            {
                _scripts.Add(Task.Run(() => RunAsync(socket, number)));
            }

            _first.TrySetResult();
        }
    }

    private async Task RunAsync(Socket socket, int index)
    {
        try
        {
            await _script(new NbdScript(socket, index, _stop.Token)).ConfigureAwait(false);
        }
        catch (Exception complaint)
        {
            // Before the socket is closed: whoever sees that may end the test at once.
            Interlocked.CompareExchange(ref _complaint, ExceptionDispatchInfo.Capture(complaint), null);
            throw;
        }
        finally
        {
            socket.Dispose();
        }
    }
}
