using System.Globalization;
using System.Runtime.CompilerServices;
using NbdFuse.Cache;
using NbdFuse.Client;
using NbdFuse.Fuse;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>
/// Reads the command line that libnbd's nbdfuse takes: options, MOUNTPOINT[/FILENAME], then a mode with an exact number of words.
/// </summary>
internal static class NbdfuseArgumentParser
{
    /// <summary>All options: first libnbd's in its order, then own ones.</summary>
    internal static readonly GetoptOption[] Options =
    [
        new(OptionId.FuseHelp, Long: "fuse-help"),
        new(OptionId.Help, Long: "help"),
        new(OptionId.LongOptions, Long: "long-options", IsListed: false),
        new(OptionId.ShortOptions, Long: "short-options", IsListed: false),
        new(OptionId.Connections, 'C', "connections", TakesArgument: true),
        new(OptionId.Verbose, 'd'),
        new(OptionId.MountOption, 'o', TakesArgument: true),
        new(OptionId.PidFile, 'P', "pidfile", TakesArgument: true),
        new(OptionId.PidFile, Long: "pid-file", TakesArgument: true),
        new(OptionId.ReadOnly, 'r', "readonly"),
        new(OptionId.ReadOnly, Long: "read-only"),
        new(OptionId.SingleThread, 's'),
        new(OptionId.Verbose, 'v', "verbose"),
        new(OptionId.Version, 'V', "version"),
        new(OptionId.Also, Long: "also", TakesArgument: true, IsOwn: true),
        new(OptionId.Cache, Long: "cache", TakesArgument: true, IsOwn: true),
        new(OptionId.Debug, Long: "debug", IsOwn: true),
        new(OptionId.Export, Long: "export", TakesArgument: true, IsOwn: true),
        new(OptionId.Failover, Long: "failover", TakesArgument: true, IsOwn: true),
        new(OptionId.Keeper, Long: "keeper", IsOwn: true),
        new(OptionId.Movers, Long: "movers", TakesArgument: true, IsOwn: true),
        new(OptionId.NoExtendedHeaders, Long: "no-extended-headers", IsOwn: true),
        new(OptionId.OnTimeout, Long: "on-timeout", TakesArgument: true, IsOwn: true),
        new(OptionId.Prefetch, Long: "prefetch", TakesArgument: true, IsOwn: true),
        new(OptionId.Punch, Long: "punch", TakesArgument: true, IsOwn: true),
        new(OptionId.Quiet, 'q', "quiet", IsOwn: true),
        new(OptionId.ReadAhead, Long: "readahead", TakesArgument: true, IsOwn: true),
        new(OptionId.ReconnectTimeout, Long: "reconnect-timeout", TakesArgument: true, IsOwn: true),
        new(OptionId.Record, Long: "record", TakesArgument: true, IsOwn: true),
        new(OptionId.RequestTimeout, Long: "request-timeout", TakesArgument: true, IsOwn: true),
        new(OptionId.Respawn, Long: "respawn", IsOwn: true),
        new(OptionId.Shared, Long: "shared", IsOwn: true),
        new(OptionId.Spin, Long: "spin", TakesArgument: true, IsOwn: true),
        new(OptionId.Tls, Long: "tls", TakesArgument: true, IsOwn: true),
        new(OptionId.TlsCertificates, Long: "tls-certificates", TakesArgument: true, IsOwn: true),
        new(OptionId.TlsHostName, Long: "tls-hostname", TakesArgument: true, IsOwn: true),
        new(OptionId.TlsPsk, Long: "tls-psk", TakesArgument: true, IsOwn: true),
        new(OptionId.WriteLog, Long: "write-log", TakesArgument: true, IsOwn: true),
    ];

    /// <summary>The most threads that --movers takes.</summary>
    internal const int MaximumMovers = 16;

    // A month: longer than anybody waits, and far from every overflow.
    private const int MaximumSeconds = 31 * 24 * 3600;
    private const long MinimumWriteLog = 256 * 1024;
    private const long MaximumWriteLog = 1L << 30;

    private static readonly GetoptParser Getopt = new(Options);

    /// <summary>Reads the arguments.</summary>
    /// <exception cref="UsageException">They are wrong.</exception>
    /// <exception cref="NbdUriException">The URI is.</exception>
    public static NbdfuseArguments Parse(IReadOnlyList<string> words)
    {
        var result = new NbdfuseArguments();
        List<string> mountOptions = [];
        List<string> also = [];
        string? export = null;
        var tls = new TlsWords();
        var operands = new StrongBox<int>();
        foreach ((OptionId id, string? argument) in Getopt.Read(words, operands))
        {
            // Each option acts when it is met: "nbdfuse --help --bogus" is help.
            if (ActionOf(id) is { } action)
            {
                return new NbdfuseArguments { Action = action };
            }

            switch (id)
            {
                case OptionId.MountOption:
                    mountOptions.Add(argument!);
                    break;
                case OptionId.Also:
                    also.Add(argument!);
                    break;
                case OptionId.Export:
                    export = argument;
                    break;
                case OptionId.Tls:
                    tls = tls with { Mode = argument };
                    break;
                case OptionId.TlsCertificates:
                    tls = tls with { Certificates = argument };
                    break;
                case OptionId.TlsHostName:
                    tls = tls with { HostName = argument };
                    break;
                case OptionId.TlsPsk:
                    tls = tls with { PskFile = argument };
                    break;
                default:
                    result = Apply(result, id, argument);
                    break;
            }
        }

        string[] rest = [.. words.Skip(operands.Value)];
        if (rest.Length < 2)
        {
            throw new UsageException();
        }

        result = result with { MountOptions = mountOptions, MountPoint = rest[0], ExportName = export ?? string.Empty };
        result = WithMode(result, rest.AsSpan(1), export, tls) with { Also = ReadAlso(also, tls) };
        return result.Respawn ? result with { Target = Respawning(result.Target!) } : result;
    }

    /// <summary>Reads the values of --also.</summary>
    /// <param name="also">URIs.</param>
    /// <param name="tls">The options for TLS, which hold for all servers; those of a URI for that one.</param>
    internal static IReadOnlyList<NbdAlternative> ReadAlso(IEnumerable<string> also, TlsWords tls) =>
    [
        .. also.Select(text =>
        {
            NbdUri uri = NbdUri.Parse(text);
            return new NbdAlternative(NbdTarget.FromUri(uri), uri.ExportName, tls.With(uri));
        }),
    ];

    /// <summary>Reads the value of --failover.</summary>
    /// <param name="text">The value.</param>
    /// <returns>True.</returns>
    internal static bool ReadFailover(string text) => text == "shared-storage"
        ? true
        : throw new UsageException($"--failover is \"shared-storage\", not \"{text}\"", showUsage: false);

    private static NbdTarget Respawning(NbdTarget target) => target switch
    {
        CommandTarget command => command with { Respawn = true },
        SocketActivationTarget activation => activation with { Respawn = true },
        _ => throw new UsageException("--respawn is for servers that are started here: --command and [ CMD ]", showUsage: false),
    };

    private static NbdfuseAction? ActionOf(OptionId id) => id switch
    {
        OptionId.Help => NbdfuseAction.Help,
        OptionId.FuseHelp => NbdfuseAction.FuseHelp,
        OptionId.Version => NbdfuseAction.Version,
        OptionId.LongOptions => NbdfuseAction.LongOptions,
        OptionId.ShortOptions => NbdfuseAction.ShortOptions,
        _ => null,
    };

    private static NbdfuseArguments Apply(NbdfuseArguments result, OptionId id, string? argument) => id switch
    {
        OptionId.Connections => result with { Connections = ReadConnections(argument!) },
        OptionId.PidFile => result with
        {
            // Before the work directory can matter, as with libnbd.
            PidFile = argument is { Length: > 0 } ? argument : throw new UsageException("--pidfile needs the name of a file", showUsage: false),
        },
        OptionId.ReadOnly => result with { ReadOnly = true },
        OptionId.SingleThread => result,
        OptionId.Verbose => result with { Verbose = true, Quiet = false },
        OptionId.Quiet => result with { Quiet = true, Verbose = false },
        OptionId.Debug => result with { Debug = true },
        OptionId.Failover => result with { SharedStorage = ReadFailover(argument!) },
        OptionId.Respawn => result with { Respawn = true },
        OptionId.Keeper => result with { Keeper = true },
        OptionId.Punch => result with
        {
            Punch = argument switch
            {
                "zero" => PunchMode.Zero,
                "trim" => PunchMode.Trim,
                _ => throw new UsageException($"--punch is \"zero\" or \"trim\", not \"{argument}\"", showUsage: false),
            },
        },
        OptionId.Spin => result with
        {
            Spin = argument switch
            {
                "auto" => SpinMode.Auto,
                "off" => SpinMode.Off,
                _ => throw new UsageException($"--spin is \"auto\" or \"off\", not \"{argument}\"", showUsage: false),
            },
        },
        OptionId.Movers => result with
        {
            Movers = int.TryParse(argument, NumberStyles.None, CultureInfo.InvariantCulture, out int movers) && movers <= MaximumMovers
                ? movers
                : throw new UsageException($"--movers is a number of threads from 0 to {MaximumMovers}, not \"{argument}\"", showUsage: false),
        },
        OptionId.Cache => result with { CacheBytes = ReadCacheSize("--cache", BlockCacheOptions.MaximumBytes, argument!) },
        OptionId.Prefetch => result with { PrefetchFile = ReadFileName("--prefetch", argument) },
        OptionId.Record => result with { RecordFile = ReadFileName("--record", argument) },
        OptionId.ReadAhead => result with { ReadAheadBytes = ReadCacheSize("--readahead", BlockCacheOptions.MaximumReadAheadBytes, argument!) },
        OptionId.ReconnectTimeout => result with { ReconnectTimeout = ReadReconnectTimeout(argument!) },
        OptionId.RequestTimeout => result with { RequestTimeout = ReadSeconds("--request-timeout", argument!, string.Empty) },
        OptionId.OnTimeout => result with { OnTimeout = ReadOnTimeout(argument!) },
        OptionId.WriteLog => result with { WriteLogBytes = ReadWriteLog(argument!) },
        OptionId.Shared => result with { Shared = true },
        OptionId.NoExtendedHeaders => result with { ExtendedHeaders = false },
        _ => throw new InvalidOperationException($"The option {id} has no meaning."),
    };

    private static long ReadCacheSize(string option, long maximum, string text) =>
        SizeText.TryParse(text, out long bytes)
            && (bytes == 0 || (bytes >= BlockCacheOptions.MinimumBytes && bytes <= maximum))
            ? bytes
            : throw new UsageException($"{option} is 0, or a size from 1M to {SizeText.Exact((ulong)maximum)} such as 64M, not \"{text}\"", showUsage: false);

    private static string ReadFileName(string option, string? text) =>
        text is { Length: > 0 } ? text : throw new UsageException($"{option} needs the name of a file", showUsage: false);

    private static TimeSpan ReadSeconds(string option, string text, string alternative) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds) && seconds <= MaximumSeconds
            ? TimeSpan.FromSeconds(seconds)
            : throw new UsageException(
                $"{option} is a number of seconds from 0 to {MaximumSeconds}{alternative}, not \"{text}\"", showUsage: false);

    /// <summary>Reads the value of --reconnect-timeout.</summary>
    /// <param name="text">The value.</param>
    /// <exception cref="UsageException">It is wrong.</exception>
    internal static TimeSpan ReadReconnectTimeout(string text) =>
        text == "never" ? Timeout.InfiniteTimeSpan : ReadSeconds("--reconnect-timeout", text, " or \"never\"");

    /// <summary>Reads the value of --on-timeout.</summary>
    /// <param name="text">The value.</param>
    /// <exception cref="UsageException">It is wrong.</exception>
    internal static NbdTimeoutAction ReadOnTimeout(string text) => text switch
    {
        "error" => NbdTimeoutAction.Error,
        "wait" => NbdTimeoutAction.Wait,
        _ => throw new UsageException($"--on-timeout is \"error\" or \"wait\", not \"{text}\"", showUsage: false),
    };

    /// <summary>Reads the value of --write-log.</summary>
    /// <param name="text">The value.</param>
    /// <exception cref="UsageException">It is wrong.</exception>
    internal static long ReadWriteLog(string text) =>
        SizeText.TryParse(text, out long bytes) && (bytes == 0 || bytes is >= MinimumWriteLog and <= MaximumWriteLog)
            ? bytes
            : throw new UsageException(
                $"--write-log is a size from 256K to 1G, such as 16M, or 0 for none, not \"{text}\"", showUsage: false);

    private static int ReadConnections(string text) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out uint connections)
            && connections is >= 1 and <= NbdfuseArguments.MaximumConnections
            ? (int)connections
            : throw new UsageException(
                $"--connections parameter must be an unsigned integer >= 1 (and <= {NbdfuseArguments.MaximumConnections})", showUsage: false);

    private static NbdfuseArguments WithMode(NbdfuseArguments result, ReadOnlySpan<string> mode, string? export, TlsWords tls)
    {
        bool isUri = !mode[0].StartsWith('-') || mode[0] == "--uri";
        result = isUri && mode[0] != "[" ? result : result with { Tls = tls.With(null) };
        if (mode[0] == "[")
        {
            return mode.Length >= 3 && mode[^1] == "]"
                ? result with { Target = new SocketActivationTarget(mode[1..^1].ToArray()) }
                : throw new UsageException();
        }

        if (!mode[0].StartsWith('-'))
        {
            return mode.Length == 1 ? WithUri(result, mode[0], export, tls) : throw new UsageException();
        }

        ReadOnlySpan<string> words = mode[1..];
        switch (mode[0])
        {
            case "--command" or "--cmd":
                return result with { Target = new CommandTarget(AtLeastOne(words)) };
            case "--socket-activation" or "--systemd-socket-activation":
                return result with { Target = new SocketActivationTarget(AtLeastOne(words)) };
            case "--fd":
                Expect(words, 1);
                return result with { Target = new DescriptorTarget(ReadDescriptor(words[0])) };
            case "--tcp":
                Expect(words, 2);
                return result with { Target = new TcpTarget(words[0], ReadPort(words[1])) };
            case "--unix":
                Expect(words, 1);
                return result with { Target = new UnixTarget(words[0]) };
            case "--vsock":
                Expect(words, 2);
                return result with
                {
                    Target = new VsockTarget(ReadUnsigned(words[0], "vsock cid"), ReadUnsigned(words[1], "vsock port")),
                };
            case "--uri":
                Expect(words, 1);
                return WithUri(result, words[0], export, tls);
            default:
                throw new UsageException($"unknown mode: {mode[0]}");
        }
    }

    private static NbdfuseArguments WithUri(NbdfuseArguments result, string text, string? export, TlsWords tls)
    {
        NbdUri uri = NbdUri.Parse(text);
        if (export is not null && uri.ExportName.Length != 0)
        {
            throw new UsageException(
                "the URI names an export already: leave --export out, or the path of the URI", showUsage: false);
        }

        return result with
        {
            Target = NbdTarget.FromUri(uri),
            ExportName = export ?? uri.ExportName,
            Tls = tls.With(uri),
            Warnings = uri.Warnings,
        };
    }

    private static string[] AtLeastOne(ReadOnlySpan<string> words) =>
        words.IsEmpty ? throw new UsageException() : words.ToArray();

    private static void Expect(ReadOnlySpan<string> words, int count)
    {
        if (words.Length != count)
        {
            throw new UsageException();
        }
    }

    private static int ReadDescriptor(string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int fd)
            ? fd
            : throw new UsageException($"could not parse file descriptor: {text}", showUsage: false);

    private static uint ReadUnsigned(string text, string what) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out uint number)
            ? number
            : throw new UsageException($"could not parse {what}: {text}", showUsage: false);

    // A name from /etc/services is possible with libnbd; nbd is the one that anybody would use.
    private static int ReadPort(string text) =>
        text == "nbd" ? NbdLimits.DefaultPort
        : ushort.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ushort port) && port != 0 ? port
        : throw new UsageException($"could not parse port: {text}; it is a number from 1 to 65535", showUsage: false);
}
