using NbdFuse.TestKit;

namespace NbdFuse.VmTests.Ublk;

/// <summary>nbdkit on this machine with a file, and a list of what it was asked.</summary>
internal sealed class UblkServer : IAsyncDisposable
{
    private readonly TempDirectory _directory = new();
    private readonly string _file;
    private RealServer? _server;

    private UblkServer(long size)
    {
        _file = _directory["disk"];
        using FileStream file = File.Create(_file);
        file.SetLength(size);
    }

    /// <summary>The file behind the export.</summary>
    public string BackingFile => _file;

    /// <summary>The export, as the guest reaches it.</summary>
    public string Uri => Harness.Guest.UriOf(_server!);

    /// <summary>Starts one.</summary>
    /// <param name="size">Bytes.</param>
    public static async Task<UblkServer> StartAsync(long size)
    {
        var server = new UblkServer(size);
        server._server = await RealServers
            .Nbdkit(ServerTransport.Tcp, "--filter=log", "file", server._file, $"logfile={server._directory["log"]}").ConfigureAwait(false);
        return server;
    }

    /// <summary>Calls of one kind, such as Write, with their parameters, in order.</summary>
    public string[] Calls(string kind) =>
    [
        .. ReadLog().Where(line => line.EndsWith(" ...", StringComparison.Ordinal) && line.Contains($" {kind} ", StringComparison.Ordinal)),
    ];

    /// <summary>Calls that change something.</summary>
    public string[] Changes() => [.. Calls("Write"), .. Calls("Trim"), .. Calls("Zero")];

    /// <summary>The last call that changed something was followed by a FLUSH.</summary>
    public bool EndsFlushed()
    {
        string[] lines = ReadLog();
        int changed = Array.FindLastIndex(lines, line => line.Contains(" Write ", StringComparison.Ordinal) || line.Contains(" Zero ", StringComparison.Ordinal));
        int flushed = Array.FindLastIndex(lines, line => line.Contains(" Flush ", StringComparison.Ordinal));
        return changed < flushed;
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync().ConfigureAwait(false);
        }

        _directory.Dispose();
    }

    private string[] ReadLog()
    {
        using FileStream log = new(_directory["log"], FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using StreamReader reader = new(log);
        return reader.ReadToEnd().Split('\n');
    }
}
