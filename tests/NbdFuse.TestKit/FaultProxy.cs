using System.Net;
using System.Net.Sockets;

namespace NbdFuse.TestKit;

/// <summary>Stands between a client and a real server, and drops, stalls, splits, corrupts and records what passes.</summary>
public sealed class FaultProxy : IAsyncDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Socket _listener;
    private readonly string _exportName;
    private readonly List<FaultProxyConnection> _connections = [];
    private readonly List<Task> _tasks = [];
    private readonly Task _accepting;
    private EndPoint _upstream;

    /// <summary>Starts the proxy.</summary>
    /// <param name="upstream">Address of the real server.</param>
    /// <param name="exportName">Name of the export, for <see cref="Uri"/>.</param>
    /// <param name="transport">How the proxy is reached.</param>
    public FaultProxy(EndPoint upstream, string exportName = "", ServerTransport transport = ServerTransport.Unix)
    {
        _upstream = upstream;
        _exportName = exportName;
        _listener = NbdUris.Listen(transport, _directory, "proxy.sock");
        EndPoint = _listener.LocalEndPoint!;
        _accepting = AcceptAsync();
    }

    /// <summary>Starts the proxy in front of a server.</summary>
    /// <param name="server">The server.</param>
    /// <param name="transport">How the proxy is reached.</param>
    public FaultProxy(RealServer server, ServerTransport transport = ServerTransport.Unix)
        : this(server.EndPoint, server.ExportName, transport)
    {
    }

    /// <summary>Where it listens.</summary>
    public EndPoint EndPoint { get; }

    /// <summary>NBD URI of the export behind it.</summary>
    public string Uri => NbdUris.For(EndPoint, _exportName);

    /// <summary>Plan for what the client sends, by the number of the connection from 0. Asked when a connection comes.</summary>
    public Func<int, FaultPlan> ToServer { get; set; } = static _ => FaultPlan.None;

    /// <summary>Plan for what the server sends, by the number of the connection from 0. Asked when a connection comes.</summary>
    public Func<int, FaultPlan> ToClient { get; set; } = static _ => FaultPlan.None;

    /// <summary>Close new connections at once.</summary>
    public bool Refuse { get; set; }

    /// <summary>Connections that were passed on so far.</summary>
    public int Connections => Snapshot().Length;

    /// <summary>Sends later connections elsewhere, as after a server was replaced.</summary>
    /// <param name="upstream">Address of the other server.</param>
    public void Redirect(EndPoint upstream) => _upstream = upstream;

    /// <summary>Breaks every connection that is open now.</summary>
    /// <param name="reset">By a reset (TCP) rather than by an orderly close.</param>
    public void DropAll(bool reset = false)
    {
        foreach (FaultProxyConnection connection in Snapshot())
        {
            connection.Break(reset);
        }
    }

    /// <summary>Holds back everything, in both directions of all connections, until <see cref="Release"/>.</summary>
    public void StallAll()
    {
        foreach (FaultProxyConnection connection in Snapshot())
        {
            connection.Stall();
        }
    }

    /// <summary>Lets everything that is stalled go on, for good.</summary>
    public void Release()
    {
        foreach (FaultProxyConnection connection in Snapshot())
        {
            connection.Release();
        }
    }

    /// <summary>What the client of a connection has sent so far.</summary>
    /// <param name="connection">Number of the connection, from 0.</param>
    public byte[] RecordedToServer(int connection) => Snapshot()[connection].RecordedToServer;

    /// <summary>What the server of a connection has sent so far, before it was tampered with.</summary>
    /// <param name="connection">Number of the connection, from 0.</param>
    public byte[] RecordedToClient(int connection) => Snapshot()[connection].RecordedToClient;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        DropAll();
        await Task.WhenAll(_tasks).ConfigureAwait(false);
        _stop.Dispose();
        _directory.Dispose();
    }

    private FaultProxyConnection[] Snapshot()
    {
        lock (_connections)
        {
            return [.. _connections];
        }
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket client;
            try
            {
                client = await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
            }
            catch (Exception error) when (error is OperationCanceledException or ObjectDisposedException or SocketException)
            {
                return;
            }

            if (Refuse)
            {
                client.Dispose();
                continue;
            }

            var server = new Socket(_upstream.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await server.ConnectAsync(_upstream, _stop.Token).ConfigureAwait(false);
            }
            catch (Exception error) when (error is OperationCanceledException or SocketException)
            {
                // The server is down: the client sees what it would see without the proxy, a little later.
                server.Dispose();
                client.Dispose();
                continue;
            }

            lock (_connections)
            {
                int index = _connections.Count;
                var connection = new FaultProxyConnection(client, server, ToServer(index), ToClient(index));
                _connections.Add(connection);
                _tasks.Add(Task.Run(() => connection.RunAsync(_stop.Token)));
            }
        }
    }
}
