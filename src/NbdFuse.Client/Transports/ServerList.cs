using Microsoft.Extensions.Logging;

namespace NbdFuse.Client;

/// <summary>The servers that an export may be had from, and which of them it is had from at present.</summary>
/// <remarks>
/// THREADING: the present one is chosen on the loop, when its connections are taken over; any thread may ask. A server is refused
/// by the search while nothing is connected, or by the loop while nothing is searched for.
/// </remarks>
internal sealed class ServerList : IAsyncDisposable
{
    private readonly NbdTransport[] _transports;
    private readonly string[] _exports;
    private readonly string?[] _refusals;
    private volatile int _current;

    /// <summary>Makes the transports; nothing is connected yet.</summary>
    /// <param name="first">The server that is named first.</param>
    /// <param name="options">Of the export.</param>
    /// <param name="logger">Log.</param>
    public ServerList(NbdTarget first, NbdExportOptions options, ILogger logger)
    {
        _transports =
        [
            NbdTransport.Create(first, options.Transport, logger),
            .. options.Also.Select(also => NbdTransport.Create(also.Target, options.Transport with { Tls = also.Tls }, logger)),
        ];
        _exports = [options.ExportName, .. options.Also.Select(also => also.ExportName)];
        _refusals = new string?[_transports.Length];
    }

    /// <summary>How many there are: 1 or more.</summary>
    public int Count => _transports.Length;

    /// <summary>The present one, or the last.</summary>
    public int Current
    {
        get => _current;
        set => _current = value;
    }

    /// <summary>The transport of the present one.</summary>
    public NbdTransport Transport => _transports[_current];

    /// <summary>Whether a lost server is found again, or another one in its place.</summary>
    public bool CanReconnect => _transports.Any(transport => transport.Target.CanReconnect);

    /// <summary>Makes connections to a server.</summary>
    /// <param name="server">Its number.</param>
    public NbdTransport this[int server] => _transports[server];

    /// <summary>Names a server for messages.</summary>
    /// <param name="server">Its number.</param>
    public string NameOf(int server) => _transports[server].Target.ToString()!;

    /// <summary>What the export is called at a server.</summary>
    /// <param name="server">Its number.</param>
    public string ExportOf(int server) => _exports[server];

    /// <summary>Whether a server was found to have another export since the last one that had the right one.</summary>
    /// <param name="server">Its number.</param>
    public bool IsRefused(int server) => _refusals[server] is not null;

    /// <summary>A server has another export.</summary>
    /// <param name="server">Its number.</param>
    /// <param name="difference">What is different.</param>
    /// <returns>False when none is left that could have the right one.</returns>
    public bool Refuse(int server, string difference)
    {
        _refusals[server] = difference;
        return _refusals.Contains(null);
    }

    /// <summary>Each may be tried again.</summary>
    public void Forgive() => Array.Clear(_refusals);

    /// <summary>What was different at each of them.</summary>
    public string Refusals() => string.Join("; ", _refusals.Select((refusal, server) => $"{NameOf(server)}: {refusal}"));

    /// <summary>See <see cref="NbdTransport.Abandon"/>.</summary>
    public void Abandon() => Array.ForEach(_transports, transport => transport.Abandon());

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (NbdTransport transport in _transports)
        {
            await transport.DisposeAsync().ConfigureAwait(false);
        }
    }
}
