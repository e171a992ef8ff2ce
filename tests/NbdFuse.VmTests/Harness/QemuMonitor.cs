using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace NbdFuse.VmTests.Harness;

/// <summary>QEMU's control line (QMP: one JSON object per line).</summary>
internal sealed class QemuMonitor : IDisposable
{
    private readonly Socket _socket;
    private readonly StreamReader _reader;
    private readonly StreamWriter _writer;
    private readonly SemaphoreSlim _lock = new(1);
    private bool _isNegotiated;

    /// <summary>Takes a connected socket over.</summary>
    public QemuMonitor(Socket socket)
    {
        _socket = socket;
        var stream = new NetworkStream(socket);
        _reader = new StreamReader(stream);
        _writer = new StreamWriter(stream) { AutoFlush = true };
    }

    /// <summary>Runs a command.</summary>
    /// <param name="command">Its name.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <exception cref="GuestException">QEMU refused it, or has gone.</exception>
    public async Task ExecuteAsync(string command, JsonObject arguments)
    {
        await _lock.WaitAsync().ConfigureAwait(false);
        try
        {
            if (!_isNegotiated)
            {
                await SendAsync("qmp_capabilities", []).ConfigureAwait(false);
                _isNegotiated = true;
            }

            await SendAsync(command, arguments).ConfigureAwait(false);
        }
        finally
        {
            _lock.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _reader.Dispose();
        _socket.Dispose();
        _lock.Dispose();
    }

    private async Task SendAsync(string command, JsonObject arguments)
    {
        var request = new JsonObject { ["execute"] = command, ["arguments"] = arguments };
        await _writer.WriteLineAsync(request.ToJsonString()).ConfigureAwait(false);
        while (await _reader.ReadLineAsync().ConfigureAwait(false) is string line)
        {
            // A greeting and events come in between.
            using JsonDocument answer = JsonDocument.Parse(line);
            if (answer.RootElement.TryGetProperty("error", out JsonElement error))
            {
                throw new GuestException($"QEMU refused {request.ToJsonString()}: {error}");
            }

            if (answer.RootElement.TryGetProperty("return", out _))
            {
                return;
            }
        }

        throw new GuestException($"QEMU went away before it answered {command}.");
    }
}
