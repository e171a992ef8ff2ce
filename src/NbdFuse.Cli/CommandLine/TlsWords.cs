using NbdFuse.Client;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>What the options for TLS say; null is what was not given. They win over the URI.</summary>
/// <param name="Mode">--tls.</param>
/// <param name="Certificates">--tls-certificates: a directory.</param>
/// <param name="PskFile">--tls-psk: a file, never the key itself, which others would see in the list of processes.</param>
/// <param name="HostName">--tls-hostname.</param>
internal sealed record TlsWords(string? Mode = null, string? Certificates = null, string? PskFile = null, string? HostName = null)
{
    /// <summary>Words of --tls.</summary>
    public static readonly string[] Modes = ["off", "allow", "require"];

    /// <summary>Joins them with a URI.</summary>
    /// <param name="uri">The URI, or null when the server is named otherwise.</param>
    /// <exception cref="UsageException">They contradict each other.</exception>
    public NbdTlsOptions With(NbdUri? uri)
    {
        NbdTlsOptions options = uri is null ? new NbdTlsOptions() : NbdTlsOptions.FromUri(uri);
        NbdTlsMode mode = Mode switch
        {
            null => options.Mode,
            "off" => NbdTlsMode.Off,
            "allow" => NbdTlsMode.Allow,
            "require" => NbdTlsMode.Require,
            _ => throw Wrong($"--tls is one of {string.Join(", ", Modes)}, not \"{Mode}\""),
        };
        if (options.Mode == NbdTlsMode.Require && mode != NbdTlsMode.Require)
        {
            throw Wrong($"the URI insists on TLS, and --tls={Mode} does not: use one that begins with nbd, not nbds, or leave --tls out");
        }

        if (Certificates is not null && PskFile is not null)
        {
            throw Wrong("--tls-certificates and --tls-psk exclude each other: give the one that the server uses");
        }

        if (new[] { Certificates, PskFile, HostName }.Contains(string.Empty))
        {
            throw Wrong("an option of TLS has no value");
        }

        if (mode == NbdTlsMode.Off && (Certificates ?? PskFile ?? HostName) is not null)
        {
            throw Wrong("options of TLS, and no TLS: add --tls=require, or use nbds://, nbds+unix:// or nbds+vsock://");
        }

        if (Certificates is not null)
        {
            options = options with { CertificatesDirectory = Path.GetFullPath(Certificates), PskFile = null, Type = NbdTlsType.X509 };
        }
        else if (PskFile is not null)
        {
            options = options with { PskFile = Path.GetFullPath(PskFile), CertificatesDirectory = null, Type = NbdTlsType.Psk };
        }

        return options with { Mode = mode, HostName = HostName ?? options.HostName };
    }

    private static UsageException Wrong(string message) => new(message, showUsage: false);
}
