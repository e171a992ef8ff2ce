using System.Net.Sockets;

namespace NbdFuse.TestKit;

/// <summary>
/// One connection of a <see cref="ScriptedNbdServer"/>, in the hands of the test. Every wait has a deadline; whatever the
/// client does against the script's expectation is a <see cref="ScriptException"/>.
/// </summary>
public sealed partial class NbdScript
{
    private readonly Socket _socket;
    private readonly CancellationToken _stop;

    internal NbdScript(Socket socket, int index, CancellationToken stop)
    {
        _socket = socket;
        _stop = stop;
        Index = index;
    }

    /// <summary>Number of the connection, from 0.</summary>
    public int Index { get; }

    /// <summary>Structured replies were agreed on by <see cref="AcceptGo"/>.</summary>
    public bool Structured { get; private set; }

    /// <summary>Cancelled when the test ends.</summary>
    public CancellationToken Stop => _stop;

    /// <summary>Sends bytes as they are.</summary>
    /// <param name="bytes">The bytes.</param>
    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        using CancellationTokenSource deadline = NewDeadline();
        while (!bytes.IsEmpty)
        {
            try
            {
                bytes = bytes[await _socket.SendAsync(bytes, deadline.Token).ConfigureAwait(false)..];
            }
            catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
            {
                throw new ScriptException($"The client does not take the script's bytes: {bytes.Length} are left.");
            }
        }
    }

    /// <summary>Sends bytes one by one.</summary>
    /// <param name="bytes">The bytes.</param>
    public async Task SendBytewise(ReadOnlyMemory<byte> bytes)
    {
        if (_socket.AddressFamily != AddressFamily.Unix)
        {
            _socket.NoDelay = true;
        }

        for (int index = 0; index < bytes.Length; index++)
        {
            await SendAsync(bytes.Slice(index, 1)).ConfigureAwait(false);
        }
    }

    /// <summary>Waits for exactly this many bytes.</summary>
    /// <param name="count">How many.</param>
    /// <param name="what">What they are, for the message.</param>
    public async Task<byte[]> ReceiveAsync(int count, string what = "bytes")
    {
        byte[] data = new byte[count];
        int have = 0;
        using CancellationTokenSource deadline = NewDeadline();
        while (have < count)
        {
            int received;
            try
            {
                received = await _socket.ReceiveAsync(data.AsMemory(have), deadline.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
            {
                throw new ScriptException($"Waited {Deadline.Default.TotalSeconds} s for {what}: {have} of {count} bytes came.");
            }

            if (received == 0)
            {
                throw new ScriptException($"The client closed the connection instead of sending {what} ({have} of {count} bytes came).");
            }

            have += received;
        }

        return data;
    }

    /// <summary>Waits until the client closes, and fails when it sends something instead.</summary>
    public async Task ExpectClose()
    {
        byte[] unexpected = await DrainAsync(1).ConfigureAwait(false);
        if (unexpected.Length > 0)
        {
            throw new ScriptException($"The client sent 0x{unexpected[0]:x2} instead of closing.");
        }
    }

    /// <summary>Takes, and throws away, what the client sends until it closes.</summary>
    public async Task DiscardUntilClose() => await DrainAsync(int.MaxValue).ConfigureAwait(false);

    /// <summary>Neither sends nor receives until the test ends.</summary>
    public async Task StaySilent() =>
        await Task.Delay(Timeout.InfiniteTimeSpan, _stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    /// <summary>Closes in the ordinary way.</summary>
    public void Close() => _socket.Close();

    /// <summary>Ends the sending side only.</summary>
    public void ShutdownSend() => _socket.Shutdown(SocketShutdown.Send);

    /// <summary>Closes so that the client sees a reset (TCP), like a crashed machine.</summary>
    public void Reset()
    {
        _socket.LingerState = new LingerOption(true, 0);
        _socket.Close();
    }

    private async Task<byte[]> DrainAsync(int limit)
    {
        byte[] buffer = new byte[64 * 1024];
        using CancellationTokenSource deadline = NewDeadline();
        while (true)
        {
            int received;
            try
            {
                received = await _socket.ReceiveAsync(buffer, deadline.Token).ConfigureAwait(false);
            }
            catch (SocketException error) when (error.SocketErrorCode == SocketError.ConnectionReset)
            {
                return [];
            }
            catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
            {
                throw new ScriptException($"Waited {Deadline.Default.TotalSeconds} s for the client to close.");
            }

            if (received == 0 || received >= limit)
            {
                return buffer[..received];
            }
        }
    }

    private CancellationTokenSource NewDeadline()
    {
        var deadline = CancellationTokenSource.CreateLinkedTokenSource(_stop);
        deadline.CancelAfter(Deadline.Default);
        return deadline;
    }
}
