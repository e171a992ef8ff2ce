using System.Net;
using System.Text;
using Microsoft.Extensions.Logging;
using NbdFuse.Native;

namespace NbdFuse.Client;

/// <summary>Connects by TCP to the addresses of a name, one after the other.</summary>
internal sealed class TcpTransport : NbdTransport
{
    private readonly TcpTarget _target;

    // The addresses of the last successful look-up. A reconnection tries them before it asks the resolver again: its
    // configuration and libraries may lie on the very device whose connection is lost.
    private IPAddress[]? _known;

    // Where the last connection went.
    private volatile IPAddress? _chosen;

    // One that took a connection, and no handshake came of it: the last to be tried again.
    private volatile IPAddress? _doubtful;

    /// <summary>Prepares the transport.</summary>
    public TcpTransport(TcpTarget target, NbdTransportOptions options, ILogger logger)
        : base(target, options, logger) => _target = target;

    /// <inheritdoc/>
    public override async Task<FileDescriptor> ConnectAsync(CancellationToken cancellationToken = default)
    {
        long start = MonotonicClock.Milliseconds;
        IPAddress[]? known = _known;
        NbdConnectException? stale = null;
        if (known is not null)
        {
            try
            {
                // Half of the time stays for new addresses.
                return await ConnectAsync(known, Options.ConnectTimeout / 2, cancellationToken).ConfigureAwait(false);
            }
            catch (NbdConnectException e)
            {
                stale = e;
            }
        }

        IPAddress[] resolved = await ResolveAsync(stale, Remaining(start), cancellationToken).ConfigureAwait(false);
        if (stale is not null && resolved.AsSpan().SequenceEqual(known))
        {
            throw stale;
        }

        // A literal address needs no memory, and keeps all the time for itself.
        _known = IPAddress.TryParse(_target.Host, out _) ? null : resolved;
        return await ConnectAsync(resolved, Remaining(start), cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override Task<FileDescriptor> ConnectAgainAsync(CancellationToken cancellationToken = default) =>
        _chosen is { } address
            ? ConnectAsync([address], Options.ConnectTimeout, cancellationToken)
            : ConnectAsync(cancellationToken);

    private protected override void OnHandshakeFailed() => _doubtful = _chosen;

    private TimeSpan Remaining(long start)
    {
        TimeSpan left = Options.ConnectTimeout - TimeSpan.FromMilliseconds(MonotonicClock.Milliseconds - start);
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }

    private async Task<IPAddress[]> ResolveAsync(NbdConnectException? stale, TimeSpan timeout, CancellationToken cancellationToken)
    {
        if (IPAddress.TryParse(_target.Host, out IPAddress? literal))
        {
            return [literal];
        }

        string reason;
        Exception? cause = null;
        try
        {
            Task<IPAddress[]> lookUp = Options.Resolve is { } resolve
                ? resolve(_target.Host, cancellationToken)
                : Dns.GetHostAddressesAsync(_target.Host, cancellationToken);
            IPAddress[] addresses = await lookUp.WaitAsync(timeout, cancellationToken).ConfigureAwait(false);
            if (addresses.Length > 0)
            {
                return addresses;
            }

            reason = "the name has no address";
        }
        catch (System.Net.Sockets.SocketException e)
        {
            cause = e;
            reason = e.Message;
        }
        catch (ArgumentException e)
        {
            cause = e;
            reason = "this is no host name";
        }
        catch (TimeoutException e)
        {
            cause = e;
            reason = $"the name was not resolved within {timeout.TotalSeconds:0.###} s";
        }

        // When the old addresses are dead and the resolver is, too, the old addresses are the news.
        throw stale ?? new NbdConnectException(
            NbdConnectFailure.NameNotResolved, $"connect to {Target}: {reason}; check the name of the host", cause);
    }

    private Task<FileDescriptor> ConnectAsync(
        IPAddress[] addresses, TimeSpan timeout, CancellationToken cancellationToken) =>
        BlockingWork.RunAsync(() => Connect(addresses, timeout, cancellationToken), cancellationToken);

    private FileDescriptor Connect(IPAddress[] addresses, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var wait = new DeadlineWait(timeout, cancellationToken);
        if (addresses.Length > 1 && _doubtful is { } doubtful && Array.IndexOf(addresses, doubtful) >= 0)
        {
            addresses = [.. addresses.Where(address => !address.Equals(doubtful)), doubtful];
        }

        int[] errors = new int[addresses.Length];
        for (int i = 0; i < addresses.Length; i++)
        {
            var endPoint = new IPEndPoint(addresses[i], _target.Port);
            Log.Connecting(Logger, endPoint.ToString());

            // Each address gets its share, so that a dead first one leaves time for the others.
            int slice = wait.RemainingMilliseconds / (addresses.Length - i);
            errors[i] = SocketConnector.Connect(SocketAddresses.ForIP(endPoint), wait, slice, out FileDescriptor? socket);
            if (socket is not null)
            {
                TcpOptions.Apply(socket.Value, Options, Logger);
                _chosen = addresses[i];
                return socket;
            }

            Log.ConnectFailed(Logger, endPoint.ToString(), Errno.Describe(errors[i]));
        }

        throw Failure(addresses, errors);
    }

    private NbdConnectException Failure(IPAddress[] addresses, int[] errors)
    {
        NbdConnectFailure reason =
            Array.Exists(errors, e => e == -Errno.ECONNREFUSED) ? NbdConnectFailure.Refused
            : Array.Exists(errors, e => e == -Errno.ETIMEDOUT) ? NbdConnectFailure.ConnectTimeout
            : NbdConnectFailure.Unreachable;
        string remedy = reason switch
        {
            NbdConnectFailure.Refused => "is the server running?",
            NbdConnectFailure.ConnectTimeout => "is the host up, and does a firewall let the port through?",
            _ => "check the network and the address",
        };
        var message = new StringBuilder($"connect to {Target}: ");
        if (Array.TrueForAll(errors, e => e == errors[0]))
        {
            message.Append(Errno.Describe(errors[0]));
        }
        else
        {
            for (int i = 0; i < errors.Length; i++)
            {
                message.Append(i == 0 ? string.Empty : ", ").Append(addresses[i]).Append(": ").Append(Errno.Describe(errors[i]));
            }
        }

        return new NbdConnectException(
            reason, message.Append("; ").Append(remedy).ToString(), new PosixException("connect", errors[^1]));
    }
}
