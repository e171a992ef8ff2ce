using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>TLS for all connections of one transport: credentials, read once, and the pumps that run. Safe for several threads.</summary>
internal sealed class TlsClient : IAsyncDisposable
{
    // A pump gives what was sent last a second.
    private static readonly TimeSpan PumpTimeout = TimeSpan.FromSeconds(3);

    private readonly NbdTlsOptions _options;
    private readonly string? _host;
    private readonly ILogger _logger;
    private readonly Lock _lock = new();
    private readonly List<TlsPump> _pumps = [];
    private TlsContext? _context;
    private TlsErrors? _errors;
    private bool _isDisposed;
    private volatile bool _wasEncrypted;

    /// <summary>Prepares; nothing is read yet.</summary>
    /// <param name="options">The options; the mode is not <see cref="NbdTlsMode.Off"/>.</param>
    /// <param name="target">What is connected to.</param>
    /// <param name="logger">Log.</param>
    public TlsClient(NbdTlsOptions options, NbdTarget target, ILogger logger)
    {
        _options = options;
        _host = options.HostName ?? (target as TcpTarget)?.Host;
        _logger = logger;
    }

    /// <summary>
    /// Whether a connection without TLS is none. Also once there was one with it: whoever breaks a connection must not get the
    /// next one in plain text.
    /// </summary>
    public bool IsRequired => _options.Mode == NbdTlsMode.Require || _wasEncrypted;

    /// <summary>TLS for one connection.</summary>
    /// <exception cref="NbdConnectException">The credentials cannot be used.</exception>
    public TlsUpgrade Prepare()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (_context is null)
            {
                _context = TlsCredentials.Load(_options, _host, _logger, out bool hasCertificate, out string? user);
                _errors = new TlsErrors(_context.Kind, _host, hasCertificate, user);
            }

            return new TlsUpgrade(this, _context, _errors!, _host, _logger);
        }
    }

    /// <summary>Keeps a pump that runs; from now on there is no way back to plain text.</summary>
    public void Keep(TlsPump pump)
    {
        _wasEncrypted = true;
        lock (_lock)
        {
            _pumps.RemoveAll(p => p.Ended.IsCompleted);
            _pumps.Add(pump);
        }
    }

    /// <summary>Waits for the last bytes of connections that their users have closed.</summary>
    public async ValueTask DisposeAsync()
    {
        Task ended;
        lock (_lock)
        {
            _isDisposed = true;
            ended = Task.WhenAll(_pumps.Select(pump => pump.Ended));
        }

        try
        {
            await ended.WaitAsync(PumpTimeout).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // Somebody still holds a connection: its pump ends with it, or with the process.
            Log.TlsPumpLeft(_logger);
        }

        _context?.Dispose();
    }
}
