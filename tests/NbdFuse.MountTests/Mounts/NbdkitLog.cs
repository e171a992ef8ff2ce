using NbdFuse.TestKit;

namespace NbdFuse.MountTests;

/// <summary>An nbdkit that writes down every request: what really reached the server, in its own words.</summary>
internal sealed class NbdkitLog : IAsyncDisposable
{
    private readonly TempDirectory _directory;
    private readonly string _file;

    private NbdkitLog(TempDirectory directory, string file, RealServer server)
    {
        _directory = directory;
        _file = file;
        Server = server;
    }

    /// <summary>The server.</summary>
    public RealServer Server { get; }

    /// <summary>Its URI.</summary>
    public string Uri => Server.Uri;

    /// <summary>All lines so far.</summary>
    public string[] Lines => File.Exists(_file) ? File.ReadAllLines(_file) : [];

    /// <summary>Starts the server.</summary>
    /// <param name="args">Further filters, plugin and their parameters.</param>
    public static async Task<NbdkitLog> StartAsync(params string[] args)
    {
        var directory = new TempDirectory();
        try
        {
            string file = directory["nbdkit.log"];
            return new NbdkitLog(directory, file, await RealServers.Nbdkit(["--filter=log", .. args, $"logfile={file}"]));
        }
        catch
        {
            directory.Dispose();
            throw;
        }
    }

    /// <summary>The lines about requests of a kind, without the lines about their ends.</summary>
    /// <param name="request">Its name in the log, as "Write".</param>
    public string[] Requests(string request) =>
        [.. Lines.Where(line => line.Contains($" {request} id=", StringComparison.Ordinal))];

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        _directory.Dispose();
    }
}
