using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace NbdFuse.VmTests.Harness;

/// <summary>
/// The line to the shell of a guest (a port of virtio-serial; the other end is harness.sh). To the guest: <c>RUN ID BASE64</c>,
/// <c>DUMP ID</c>, <c>OFF</c>. From it: <c>READY UPTIME</c>, then <c>END ID CODE STDOUT-LENGTH STDERR-LENGTH</c> or
/// <c>PART ...</c>, followed by so many bytes.
/// </summary>
internal sealed class GuestChannel : IDisposable
{
    private const int MaximumOutput = 4 << 20;

    private readonly Socket _socket;
    private readonly NetworkStream _stream;
    private readonly ConcurrentDictionary<int, TaskCompletionSource<GuestReply>> _ends = new();
    private readonly ConcurrentDictionary<int, TaskCompletionSource<GuestReply>> _parts = new();
    private readonly SemaphoreSlim _sending = new(1);
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _lastId;

    /// <summary>Takes a connected socket over and begins to read.</summary>
    public GuestChannel(Socket socket)
    {
        _socket = socket;
        _stream = new NetworkStream(socket);
        Closed = ReadAllAsync();
    }

    /// <summary>Ends when the guest is ready for commands; fails when it dies before.</summary>
    public Task Ready => _ready.Task;

    /// <summary>Ends when the other side has gone. Never fails.</summary>
    public Task Closed { get; }

    /// <summary>Starts a command.</summary>
    /// <param name="script">Text for a shell.</param>
    /// <returns>Its number, and its end; that fails with an <see cref="IOException"/> when the guest dies.</returns>
    public (int Id, Task<GuestReply> End) Start(string script)
    {
        int id = Interlocked.Increment(ref _lastId);
        var end = new TaskCompletionSource<GuestReply>(TaskCreationOptions.RunContinuationsAsynchronously);
        _ends[id] = end;
        _ = SendAsync($"RUN {id} {Convert.ToBase64String(Encoding.UTF8.GetBytes(script))}\n", end);
        return (id, end.Task);
    }

    /// <summary>Asks what a running command has said so far, and the kernel what is blocked.</summary>
    public Task<GuestReply> DumpAsync(int id)
    {
        TaskCompletionSource<GuestReply> part =
            _parts.GetOrAdd(id, static _ => new TaskCompletionSource<GuestReply>(TaskCreationOptions.RunContinuationsAsynchronously));
        _ = SendAsync($"DUMP {id}\n", part);
        return part.Task;
    }

    /// <summary>Asks the guest to power off.</summary>
    public Task PowerOffAsync() => SendAsync("OFF\n", null);

    /// <inheritdoc/>
    public void Dispose()
    {
        _stream.Dispose();
        _socket.Dispose();
        _sending.Dispose();
    }

    private async Task SendAsync(string line, TaskCompletionSource<GuestReply>? waiter)
    {
        try
        {
            await _sending.WaitAsync().ConfigureAwait(false);
            try
            {
                await _stream.WriteAsync(Encoding.ASCII.GetBytes(line)).ConfigureAwait(false);
            }
            finally
            {
                _sending.Release();
            }
        }
        catch (Exception error) when (error is IOException or ObjectDisposedException)
        {
            waiter?.TrySetException(new IOException("The guest has gone.", error));
        }

        if (Closed.IsCompleted)
        {
            // Registered after the reader had failed the others.
            waiter?.TrySetException(new IOException("The guest has gone."));
        }
    }

    private async Task ReadAllAsync()
    {
        Exception reason = new IOException("The guest has gone.");
        try
        {
            while (await ReadLineAsync().ConfigureAwait(false) is string line)
            {
                string[] words = line.Split(' ');
                switch (words[0])
                {
                    case "READY":
                        _ready.TrySetResult();
                        break;
                    case "END" or "PART" when words.Length == 5:
                        int[] numbers = [.. words.Skip(1).Select(static word => int.Parse(word, CultureInfo.InvariantCulture))];
                        var reply = new GuestReply(
                            numbers[1],
                            await ReadTextAsync(numbers[2]).ConfigureAwait(false),
                            await ReadTextAsync(numbers[3]).ConfigureAwait(false));
                        if ((words[0] == "END" ? _ends : _parts).TryRemove(numbers[0], out TaskCompletionSource<GuestReply>? waiter))
                        {
                            waiter.TrySetResult(reply);
                        }

                        break;
                    default:
                        throw new InvalidDataException($"The guest sent '{line}'.");
                }
            }
        }
        catch (Exception error) when (error is IOException or ObjectDisposedException or InvalidDataException or FormatException)
        {
            reason = new IOException($"The guest has gone: {error.Message}", error);
        }

        _ready.TrySetException(reason);
        foreach (TaskCompletionSource<GuestReply> waiter in _ends.Values.Concat(_parts.Values))
        {
            waiter.TrySetException(reason);
        }
    }

    private async Task<string?> ReadLineAsync()
    {
        var line = new StringBuilder();
        byte[] one = new byte[1];
        while (await _stream.ReadAsync(one).ConfigureAwait(false) == 1)
        {
            if (one[0] == '\n')
            {
                return line.ToString();
            }

            line.Append((char)one[0]);
            if (line.Length > 200)
            {
                throw new InvalidDataException($"The guest sent '{line}...'.");
            }
        }

        return null;
    }

    private async Task<string> ReadTextAsync(int length)
    {
        if (length is < 0 or > MaximumOutput)
        {
            throw new InvalidDataException($"The guest sent a length of {length}.");
        }

        byte[] data = new byte[length];
        await _stream.ReadExactlyAsync(data).ConfigureAwait(false);
        return Encoding.UTF8.GetString(data);
    }
}
