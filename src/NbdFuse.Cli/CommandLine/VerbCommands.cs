using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Net;
using Microsoft.Extensions.Logging;
using NbdFuse.Client;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>The verbs, in System.CommandLine: they are this program's own, so no getopt rules bind them.</summary>
internal sealed class VerbCommands
{
    /// <summary>First words that are verbs rather than mountpoints.</summary>
    public static readonly string[] Names = ["info", "list", "map", "serve", "attach", "detach", "status", "upgrade", "initramfs", "install-hooks", "root", "hook-tree", "help", "version", LoopHelper.Verb, NbdIoctlHelper.Verb];

    // The first of the names have a help of their own.
    private const int WithHelp = 11;

    private readonly TextWriter _output;
    private readonly TextWriter _error;
    private readonly Option<bool> _json = new("--json") { Description = "Print JSON (info, list: with nbdinfo's keys)" };
    private readonly Option<bool> _verbose = new("--verbose", "-v") { Description = "Log in detail to standard error" };
    private readonly Option<bool> _debug = new("--debug") { Description = "Show stack traces of errors" };

    /// <summary>Prepares the verbs.</summary>
    /// <param name="output">Standard output.</param>
    /// <param name="error">Standard error.</param>
    public VerbCommands(TextWriter output, TextWriter error)
    {
        _output = output;
        _error = error;
    }

    /// <summary>Runs a verb.</summary>
    /// <param name="arguments">The command line, the verb first.</param>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync(IReadOnlyList<string> arguments)
    {
        switch (arguments[0])
        {
            case "version":
                await _output.WriteAsync(HelpTexts.Version).ConfigureAwait(false);
                return 0;
            case "help" when arguments.Count == 1 || Array.IndexOf(Names, arguments[1]) is < 0 or >= WithHelp:
                await _output.WriteAsync(HelpTexts.Usage).ConfigureAwait(false);
                return 0;
            case NbdIoctlHelper.Verb:
                return await NbdIoctlHelper.RunAsync([.. arguments.Skip(1)], _output).ConfigureAwait(false);
            case BootVerbs.RootVerb when arguments.Count == 1:
                // The way of the initramfs, without the parser: that would be half a second of a boot on a slow machine.
                return await new BootRootCommand(_output, _error).RunAsync().ConfigureAwait(false);
            case LoopHelper.Verb:
                return LoopHelperCommand.Run([.. arguments.Skip(1)]);
            case "help":
                arguments = [arguments[1], "--help"];
                break;
        }

        // No response files: @NAME is an abstract socket.
        ParseResult result = Root(arguments).Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null });
        var configuration = new InvocationConfiguration
        {
            Output = _output,
            Error = _error,
            EnableDefaultExceptionHandler = false,
            ProcessTerminationTimeout = null,
        };
        if (result.Errors.Count > 0)
        {
            // One line, as for every other error, instead of the whole help.
            string text = string.Join("; ", result.Errors.Select(e => e.Message.TrimEnd('.')));
            throw new UsageException($"{arguments[0]}: {ErrorText.OneLine(text)}; see '{ErrorText.Program} help {arguments[0]}'", showUsage: false);
        }

        try
        {
            return await result.InvokeAsync(configuration).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not UsageException)
        {
            string lines = ErrorText.Describe(e, result.GetValue(_debug));
            await _error.WriteAsync(ErrorText.ForStandardError(lines, ErrorText.FatalLevel)).ConfigureAwait(false);
            return MountCommand.Failed;
        }
    }

    private static NbdUri ParseUri(ArgumentResult argument)
    {
        if (!NbdUri.TryParse(argument.Tokens[0].Value, out NbdUri? uri, out string? error))
        {
            argument.AddError(error);
        }

        return uri!;
    }

    private static Argument<NbdUri> UriArgument() => new("URI")
    {
        Description = "The export, such as nbd://host/name or nbd+unix:///name?socket=/path",
        CustomParser = ParseUri,
    };

    private RootCommand Root(IReadOnlyList<string> words)
    {
        var attach = new AttachVerbs(_output, _error, words, LogOptions);
        var root = new RootCommand("Mount NBD exports as files");
        root.Subcommands.Add(Info());
        root.Subcommands.Add(List());
        root.Subcommands.Add(MapVerb.Create(UriArgument(), _json, [_verbose, _debug], Loggers, _output));
        root.Subcommands.Add(Serve());
        root.Subcommands.Add(attach.Attach(UriArgument(), _verbose, _debug));
        root.Subcommands.Add(attach.Detach(_debug));
        root.Subcommands.Add(attach.Status(_json, _debug));
        root.Subcommands.Add(Upgrade());
        root.Subcommands.Add(BootVerbs.Initramfs(_output, _error, _debug));
        root.Subcommands.Add(BootVerbs.InstallHooks(_output, _debug));
        root.Subcommands.Add(BootVerbs.HookTree());
        root.Subcommands.Add(BootVerbs.Root(_output, _error, _verbose, _debug));
        return root;
    }

    private CommandLogOptions LogOptions(ParseResult result) =>
        new(result.GetValue(_verbose) ? LogVerbosity.Verbose : LogVerbosity.Normal, result.GetValue(_debug));

    private ILoggerFactory Loggers(ParseResult result) => CommandLogging.Create(LogOptions(result));

    private Command Upgrade()
    {
        var target = new Argument<string>("MOUNTPOINT|DEV") { Description = "Where a file is mounted, or a device that is attached, with --keeper" };
        var command = new Command("upgrade", "Serve a file or device by a new process, of the program that is installed now; no request is lost")
        {
            target, _debug,
        };
        command.SetAction(async (result, _) => await UpgradeCommand.RunAsync(result.GetRequiredValue(target)).ConfigureAwait(false));
        return command;
    }

    private Command Info()
    {
        var tls = new TlsVerbOptions();
        Argument<NbdUri> uri = UriArgument();
        var size = new Option<bool>("--size") { Description = "Print the size in bytes, and nothing else" };
        var isWord = new Option<string>("--is") { Description = "Print nothing; exit code 0 yes, 2 no, 1 error", HelpName = "WHAT" };
        var can = new Option<string>("--can", "--has") { Description = "Print nothing; exit code 0 yes, 2 no, 1 error", HelpName = "WHAT" };
        RequireWord(isWord, ExportQuestions.IsWords);
        RequireWord(can, ExportQuestions.CanWords);
        var noContent = new Option<bool>("--no-content") { Description = "Do not read the export to tell what it holds, by file(1)" };
        var command = new Command("info", "Show what a server says about one export, as nbdinfo does")
        {
            uri, _json, size, isWord, can, noContent, _verbose, _debug,
        };
        tls.AddTo(command);
        command.SetAction(async (result, cancellationToken) =>
        {
            using ILoggerFactory loggers = Loggers(result);
            NbdUri server = result.GetRequiredValue(uri);
            NbdTlsOptions encryption = tls.Read(result).With(server);
            ILogger logger = loggers.CreateLogger("nbd");
            ServerReport report = await ServerQuery.InfoAsync(server, encryption, logger, cancellationToken).ConfigureAwait(false);
            NbdExportInfo export = report.Exports[0].Info!;
            if ((result.GetValue(isWord) ?? result.GetValue(can)) is { } word)
            {
                return ExportQuestions.Answer(
                    ExportQuestions.Normalize(word), export, report.StructuredReplies, report.Tls, report.ExtendedHeaders)
                    ? ExportQuestions.Yes
                    : ExportQuestions.No;
            }

            if (!result.GetValue(size) && !result.GetValue(noContent))
            {
                string? content = await ServerQuery.ContentAsync(server, encryption, logger, cancellationToken).ConfigureAwait(false);
                report = report with { Exports = [report.Exports[0] with { Content = content }] };
            }

            string text = result.GetValue(size) ? $"{export.Size}\n" : result.GetValue(_json) ? report.ToJson() : report.ToText();
            await _output.WriteAsync(text).ConfigureAwait(false);
            return 0;
        });
        return command;
    }

    private static void RequireWord(Option<string> option, string[] words) => option.Validators.Add(result =>
    {
        if (result.Tokens.Count == 1 && Array.IndexOf(words, ExportQuestions.Normalize(result.Tokens[0].Value)) < 0)
        {
            result.AddError($"{option.Name} knows no '{ErrorText.OneLine(result.Tokens[0].Value)}', only {string.Join(", ", words)}");
        }
    });

    private Command List()
    {
        var tls = new TlsVerbOptions();
        Argument<NbdUri> uri = UriArgument();
        var command = new Command("list", "Show all exports that a server lists, as nbdinfo --list does") { uri, _json, _verbose, _debug };
        tls.AddTo(command);
        command.SetAction(async (result, cancellationToken) =>
        {
            using ILoggerFactory loggers = Loggers(result);
            ServerReport report = await ServerQuery
                .ListAsync(result.GetRequiredValue(uri), tls.Read(result).With(result.GetRequiredValue(uri)), loggers.CreateLogger("nbd"), cancellationToken).ConfigureAwait(false);
            await _output.WriteAsync(result.GetValue(_json) ? report.ToJson() : report.ToText()).ConfigureAwait(false);
            return 0;
        });
        return command;
    }

    private Command Serve()
    {
        var file = new Argument<string>("FILE")
        {
            Description = "File or block device to serve",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var memory = new Option<long?>("--memory")
        {
            Description = "Serve memory of this size instead, such as 512M; zeroes at first",
            HelpName = "SIZE",
            CustomParser = argument =>
            {
                if (!SizeText.TryParse(argument.Tokens[0].Value, out long bytes))
                {
                    argument.AddError($"'{argument.Tokens[0].Value}' is no size: write bytes, or a number with K, M, G or T");
                }

                return bytes;
            },
        };
        var port = new Option<int?>("--port", "-p")
        {
            Description = "TCP port, 0 for a free one (default: 10809)",
            HelpName = "N",
            CustomParser = argument =>
            {
                if (!ushort.TryParse(argument.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out ushort number))
                {
                    argument.AddError("--port is a number from 0 to 65535");
                }

                return number;
            },
        };
        var unix = new Option<string>("--unix", "-U") { Description = "Unix socket to listen on instead; @NAME is abstract", HelpName = "PATH" };
        var bind = new Option<IPAddress>("--bind")
        {
            Description = "Address to listen at (default: 127.0.0.1, this machine only)",
            HelpName = "ADDR",
            CustomParser = argument =>
            {
                if (!IPAddress.TryParse(argument.Tokens[0].Value, out IPAddress? address))
                {
                    argument.AddError($"'{argument.Tokens[0].Value}' is no IP address; 0.0.0.0 and :: mean all interfaces");
                }

                return address;
            },
        };
        var name = new Option<string>("--name") { Description = "Name of the export (default: empty)", HelpName = "EXPORT" };
        var description = new Option<string>("--description") { Description = "Text that clients can show", HelpName = "TEXT" };
        var readOnly = new Option<bool>("--read-only", "-r") { Description = "Refuse writes" };
        var pidFile = new Option<string>("--pidfile", "-P") { Description = "Write the process id here when clients can connect", HelpName = "FILE" };
        var command = new Command("serve", "Run the embedded server; prints its URI when clients can connect")
        {
            file, memory, port, unix, bind, name, description, readOnly, pidFile, _verbose, _debug,
        };
        command.Validators.Add(result =>
        {
            if (result.GetResult(memory) is null == result.GetResult(file) is not { Tokens.Count: > 0 })
            {
                result.AddError("give either --memory SIZE or a FILE");
            }

            if (result.GetResult(unix) is not null && (result.GetResult(port) is not null || result.GetResult(bind) is not null))
            {
                result.AddError("--unix excludes --port and --bind");
            }
        });
        command.SetAction(async (result, _) =>
        {
            using ILoggerFactory loggers = Loggers(result);
            var options = new ServeOptions
            {
                Port = result.GetValue(port),
                UnixPath = result.GetValue(unix),
                Bind = result.GetValue(bind) ?? IPAddress.Loopback,
                Name = result.GetValue(name) ?? string.Empty,
                Description = result.GetValue(description),
                ReadOnly = result.GetValue(readOnly),
                PidFile = result.GetValue(pidFile),
                MemoryBytes = result.GetValue(memory),
                File = result.GetValue(file),
            };
            return await ServeCommand.RunAsync(options, loggers, _output).ConfigureAwait(false);
        });
        return command;
    }
}
