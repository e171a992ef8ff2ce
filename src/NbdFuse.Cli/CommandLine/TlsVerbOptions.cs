using System.CommandLine;

namespace NbdFuse.Cli;

/// <summary>The options for TLS of the verbs that connect to a server.</summary>
internal sealed class TlsVerbOptions
{
    private readonly Option<string> _mode = new("--tls")
    {
        Description = "Encryption: off, allow (if the server offers it) or require (default: require for nbds://, else off)",
        HelpName = "MODE",
    };

    private readonly Option<string> _certificates = new("--tls-certificates")
    {
        Description = "Directory with ca-cert.pem, and client-cert.pem and client-key.pem if the server wants them",
        HelpName = "DIR",
    };

    private readonly Option<string> _psk = new("--tls-psk") { Description = "File with the pre-shared key: USER:HEXKEY", HelpName = "FILE" };

    private readonly Option<string> _hostName = new("--tls-hostname")
    {
        Description = "Name that the server's certificate bears, if not the host of the URI",
        HelpName = "NAME",
    };

    /// <summary>Adds them to a verb.</summary>
    /// <param name="command">The verb.</param>
    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { _mode, _certificates, _psk, _hostName })
        {
            command.Options.Add(option);
        }
    }

    /// <summary>Reads them.</summary>
    /// <param name="result">The command line.</param>
    public TlsWords Read(ParseResult result) =>
        new(result.GetValue(_mode), result.GetValue(_certificates), result.GetValue(_psk), result.GetValue(_hostName));
}
