using System.CommandLine;
using System.CommandLine.Parsing;
using NbdFuse.Client;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>Options of attach for a server that is lost. They mean the same as those of a mount, and are read by the same code.</summary>
internal sealed class RecoveryVerbOptions
{
    private readonly Option<string> _reconnectTimeout = new("--reconnect-timeout")
    {
        Description = "How long a lost server is waited for (default: never give up; 0: its loss is an error at once)",
        HelpName = "SECONDS|never",
    };

    private readonly Option<string> _onTimeout = new("--on-timeout")
    {
        Description = "What happens then: error, or wait, which only says so (default: error)",
        HelpName = "ACTION",
    };

    private readonly Option<string> _writeLog = new("--write-log")
    {
        Description = "Unflushed writes kept for a server that crashes (default: 16M; 0: none)",
        HelpName = "SIZE",
    };

    private readonly Option<bool> _shared = new("--shared") { Description = "Others write to the export, too: no write log" };

    private readonly Option<string[]> _also = new("--also")
    {
        Description = "Another server with the same export, should this one be lost; for exports that are only read",
        HelpName = "URI",
        AllowMultipleArgumentsPerToken = false,
    };

    private readonly Option<string> _failover = new("--failover")
    {
        Description = "shared-storage: all servers have the same storage, and the export may be written to",
        HelpName = "shared-storage",
    };

    private readonly Option<bool> _compact = new("--no-extended-headers") { Description = "Talk to the server as to older ones" };

    /// <summary>Makes the options.</summary>
    public RecoveryVerbOptions()
    {
        _reconnectTimeout.Validators.Add(Check(text => NbdfuseArgumentParser.ReadReconnectTimeout(text)));
        _onTimeout.Validators.Add(Check(text => NbdfuseArgumentParser.ReadOnTimeout(text)));
        _failover.Validators.Add(Check(text => NbdfuseArgumentParser.ReadFailover(text)));
        _also.Validators.Add(CheckUris);
        _writeLog.Validators.Add(Check(text => NbdfuseArgumentParser.ReadWriteLog(text)));
    }

    /// <summary>Adds them to a command.</summary>
    /// <param name="command">The command.</param>
    public void AddTo(Command command)
    {
        command.Options.Add(_reconnectTimeout);
        command.Options.Add(_onTimeout);
        command.Options.Add(_writeLog);
        command.Options.Add(_shared);
        command.Options.Add(_also);
        command.Options.Add(_failover);
        command.Options.Add(_compact);
    }

    /// <summary>Further servers are nothing for a driver whose connections belong to the kernel.</summary>
    /// <param name="driver">The option for the driver.</param>
    /// <param name="name">Its name.</param>
    public void RefuseFor(Option<string> driver, string name) => _also.Validators.Add(result =>
    {
        if (result.GetValue(driver) == name)
        {
            result.AddError($"the driver {name} takes no further servers (--also): use --driver ublk or --driver fuse");
        }
    });

    /// <summary>What was asked for.</summary>
    /// <param name="result">The command line, which has been found right.</param>
    /// <param name="tls">The options for TLS.</param>
    public NbdExportOptions Read(ParseResult result, TlsWords tls) => new()
    {
        Also = NbdfuseArgumentParser.ReadAlso(result.GetValue(_also) ?? [], tls),
        SharedStorage = result.GetValue(_failover) is not null,
        ReconnectTimeout = result.GetValue(_reconnectTimeout) is { } time ? NbdfuseArgumentParser.ReadReconnectTimeout(time) : Timeout.InfiniteTimeSpan,
        OnTimeout = result.GetValue(_onTimeout) is { } action ? NbdfuseArgumentParser.ReadOnTimeout(action) : NbdTimeoutAction.Error,
        WriteLogBytes = result.GetValue(_writeLog) is { } size ? NbdfuseArgumentParser.ReadWriteLog(size) : NbdfuseArguments.DefaultWriteLogBytes,
        Shared = result.GetValue(_shared),
        ExtendedHeaders = !result.GetValue(_compact),
    };

    private static void CheckUris(OptionResult result)
    {
        foreach (Token token in result.Tokens)
        {
            try
            {
                _ = NbdUri.Parse(token.Value);
            }
            catch (NbdUriException e)
            {
                result.AddError(e.Message);
            }
        }
    }

    private static Action<OptionResult> Check<T>(Func<string, T> read) => result =>
    {
        try
        {
            _ = read(result.Tokens.Count > 0 ? result.Tokens[^1].Value : string.Empty);
        }
        catch (UsageException e)
        {
            result.AddError(e.Message);
        }
    };
}
