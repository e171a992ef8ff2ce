using System.Net.Sockets;

namespace NbdFuse.TestKit;

/// <summary>One connection of a <see cref="FaultProxy"/>.</summary>
internal sealed class FaultProxyConnection(Socket client, Socket server, FaultPlan toServer, FaultPlan toClient)
{
    private readonly MemoryStream _recordToServer = new();
    private readonly MemoryStream _recordToClient = new();
    private readonly Lock _gateLock = new();
    private TaskCompletionSource _gate = OpenGate();
    private bool _wasReleased;

    public byte[] RecordedToServer => Copy(_recordToServer);

    public byte[] RecordedToClient => Copy(_recordToClient);

    public async Task RunAsync(CancellationToken stop)
    {
        if (client.AddressFamily != AddressFamily.Unix)
        {
            client.NoDelay = true;
        }

        if (server.AddressFamily != AddressFamily.Unix)
        {
            server.NoDelay = true;
        }

        await Task.WhenAll(
            PumpAsync(client, server, toServer, _recordToServer, stop),
            PumpAsync(server, client, toClient, _recordToClient, stop)).ConfigureAwait(false);
        client.Dispose();
        server.Dispose();
    }

    public void Break(bool reset)
    {
        if (reset)
        {
            try
            {
                client.LingerState = new LingerOption(true, 0);
                server.LingerState = new LingerOption(true, 0);
            }
            catch (Exception error) when (error is ObjectDisposedException or SocketException)
            {
                // It is broken already.
                return;
            }
        }

        client.Dispose();
        server.Dispose();
        Release();
    }

    public void Stall()
    {
        lock (_gateLock)
        {
            if (_gate.Task.IsCompleted)
            {
                _gate = new(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }
    }

    public void Release()
    {
        lock (_gateLock)
        {
            _wasReleased = true;
            _gate.TrySetResult();
        }
    }

    // Decided under the same lock as Release: a release between seeing the fault and shutting the gate would else be lost, and
    // the gate would stay shut for good.
    private void StallByPlan()
    {
        lock (_gateLock)
        {
            if (!_wasReleased)
            {
                Stall();
            }
        }
    }

    private static TaskCompletionSource OpenGate()
    {
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        gate.SetResult();
        return gate;
    }

    private async Task PumpAsync(Socket from, Socket to, FaultPlan plan, MemoryStream record, CancellationToken stop)
    {
        byte[] buffer = new byte[64 * 1024];
        long passed = 0;
        try
        {
            int count;
            while ((count = await from.ReceiveAsync(buffer, stop).ConfigureAwait(false)) > 0)
            {
                lock (record)
                {
                    record.Write(buffer, 0, count);
                }

                if (plan.CorruptAt is long corrupt && corrupt >= passed && corrupt < passed + count)
                {
                    buffer[corrupt - passed] ^= plan.CorruptMask;
                }

                int at = 0;
                while (at < count)
                {
                    int piece = plan.PieceSize > 0 ? Math.Min(plan.PieceSize, count - at) : count - at;
                    piece = (int)Math.Min(piece, NextFault(plan, passed) - passed);
                    if (piece == 0)
                    {
                        if (passed >= plan.DropAfter)
                        {
                            Break(plan.Reset);
                            return;
                        }

                        StallByPlan();
                    }

                    await Gate().WaitAsync(stop).ConfigureAwait(false);
                    int sent = await to.SendAsync(buffer.AsMemory(at, piece), stop).ConfigureAwait(false);
                    at += sent;
                    passed += sent;
                }

                if (passed >= plan.DropAfter)
                {
                    Break(plan.Reset);
                    return;
                }
            }

            to.Shutdown(SocketShutdown.Send);
        }
        catch (Exception error) when (error is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // One side is gone: the other must learn it.
            Break(reset: false);
        }
    }

    private Task Gate()
    {
        lock (_gateLock)
        {
            return _gate.Task;
        }
    }

    // Number of bytes after which the next fault is due.
    private long NextFault(FaultPlan plan, long passed)
    {
        long next = plan.DropAfter ?? long.MaxValue;
        lock (_gateLock)
        {
            if (!_wasReleased && plan.StallAfter is long stall && stall >= passed)
            {
                next = Math.Min(next, stall);
            }
        }

        return Math.Max(next, passed);
    }

    private static byte[] Copy(MemoryStream record)
    {
        lock (record)
        {
            return record.ToArray();
        }
    }
}
