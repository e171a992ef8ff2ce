using System.Net;
using System.Net.Sockets;

namespace NbdFuse.TestKit;

/// <summary>
/// A listener that says the given bytes to everybody, whatever they say: no protocol at all. It records what it was told.
/// </summary>
public sealed class RawPeer : IAsyncDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Socket _listener;
    private readonly byte[] _bytes;
    private readonly int _pieceSize;
    private readonly bool _close;
    private readonly List<Task> _connections = [];
    private readonly MemoryStream _received = new();
    private readonly Task _accepting;

    /// <summary>Starts the peer.</summary>
    /// <param name="bytes">What it says.</param>
    /// <param name="pieceSize">Bytes per send; 0 sends all at once, 1 trickles.</param>
    /// <param name="close">Close after the last byte; else stay, and say no more.</param>
    /// <param name="transport">How it is reached.</param>
    public RawPeer(byte[] bytes, int pieceSize = 0, bool close = false, ServerTransport transport = ServerTransport.Unix)
    {
        _bytes = bytes;
        _pieceSize = pieceSize > 0 ? pieceSize : Math.Max(1, bytes.Length);
        _close = close;
        _listener = NbdUris.Listen(transport, _directory);
        EndPoint = _listener.LocalEndPoint!;
        _accepting = AcceptAsync();
    }

    /// <summary>Where it listens.</summary>
    public EndPoint EndPoint { get; }

    /// <summary>Its NBD URI, with an empty export name.</summary>
    public string Uri => NbdUris.For(EndPoint, string.Empty);

    /// <summary>What all clients together have said so far.</summary>
    public byte[] Received
    {
        get
        {
            lock (_received)
            {
                return _received.ToArray();
            }
        }
    }

    /// <summary>Waits until a client has come and all that came have left: then <see cref="Received"/> is all that they said.</summary>
    public async Task ClientsLeftAsync()
    {
        await Deadline.Until(() => _connections.Count > 0, "a client").ConfigureAwait(false);
        await Deadline.Within(Task.WhenAll(_connections.ToArray()), "the clients to leave").ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        await Task.WhenAll(_connections).ConfigureAwait(false);
        _stop.Dispose();
        _directory.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            try
            {
                Socket socket = await _listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
                _connections.Add(Task.Run(() => ServeAsync(socket)));
            }
            catch (Exception error) when (error is OperationCanceledException or ObjectDisposedException or SocketException)
            {
                return;
            }
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        using (socket)
        {
            try
            {
                Task recording = RecordAsync(socket);
                for (int at = 0; at < _bytes.Length; at += _pieceSize)
                {
                    ReadOnlyMemory<byte> piece = _bytes.AsMemory(at, Math.Min(_pieceSize, _bytes.Length - at));
                    while (!piece.IsEmpty)
                    {
                        piece = piece[await socket.SendAsync(piece, _stop.Token).ConfigureAwait(false)..];
                    }
                }

                if (_close)
                {
                    socket.Shutdown(SocketShutdown.Send);
                }

                await recording.ConfigureAwait(false);
            }
            catch (Exception error) when (error is OperationCanceledException or SocketException)
            {
                // The client left, or the test ended: the peer has no opinion on either.
                return;
            }
        }
    }

    private async Task RecordAsync(Socket socket)
    {
        byte[] buffer = new byte[16 * 1024];
        int count;
        while ((count = await socket.ReceiveAsync(buffer, _stop.Token).ConfigureAwait(false)) > 0)
        {
            lock (_received)
            {
                _received.Write(buffer, 0, count);
            }
        }
    }
}
