using System.Globalization;
using Microsoft.Extensions.Logging;
using NbdFuse.Attach;
using NbdFuse.Attach.KernelNbd;
using NbdFuse.Boot;
using NbdFuse.Cache;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Cli;

/// <summary>
/// root: from the kernel's command line to a mounted root, in an initramfs, and then the process that serves it. The first process
/// hears one line on our standard output: "ready", or "failed shell", or "failed reboot".
/// </summary>
/// <param name="output">Standard output: the first process listens.</param>
/// <param name="error">Standard error: the console.</param>
/// <param name="isHook">
/// Only the device: an initramfs of a framework mounts it. It hears "ready", the device of the root filesystem, and its type or "-".
/// </param>
internal sealed class BootRootCommand(TextWriter output, TextWriter error, bool isHook = false)
{
    private const string CommandLine = "/proc/cmdline";
    private const string Run = "/run";
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    // A refusal of a server that is still starting, such as one without its exports yet.
    private const int Refusals = 3;

    // By then most systems are up. Until then a boot has the processor, and memory is free.
    private static readonly TimeSpan RehearsalDelay = TimeSpan.FromMinutes(1);

    private BootArguments _arguments = new();
    private BootConsole _console = new(error, isVerbose: false);
    private NetworkState _network = new(NetworkFacts.None, null, null);
    private string? _prefetch;
    private string? _record;
    private bool _isReady;

    /// <summary>Runs, for as long as the root is served.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync()
    {
        try
        {
            // Threads inherit it: those that serve the device are started later (PR_SET_IO_FLUSHER, see ProcessProtection).
            Posix.Prctl(Posix.PrSetIoFlusher, 1);
            await BootAsync().ConfigureAwait(false);
            return 0;
        }
        catch (Exception e) when (!_isReady)
        {
            _console.Say(ErrorText.Describe(e, _arguments.Debug).Replace($"{ErrorText.Program}: ", string.Empty, StringComparison.Ordinal).TrimEnd('\n'));
            Answer($"failed {(_arguments.Rescue ? "shell" : "reboot")}");
            return MountCommand.Failed;
        }
    }

    private async Task BootAsync()
    {
        _arguments = BootArguments.Parse(File.ReadAllText(CommandLine));
        _console = new BootConsole(error, _arguments.Debug);
        foreach (string note in _arguments.Notes)
        {
            _console.Say(note);
        }

        if (_arguments.Errors.Count > 0)
        {
            throw new BootException(string.Join("; ", _arguments.Errors));
        }

        if (_arguments.Export is not { } wish)
        {
            throw new BootException("the kernel's command line names no export; write nbdfuse=nbd://SERVER/EXPORT root=/dev/nbd0p1 (or without root=)");
        }

        IReadOnlyList<string> drivers = Drivers();
        BootModules.Load(drivers);
        if (wish.Uri is not { Transport: not NbdUriTransport.Tcp })
        {
            _network = new NetworkSetup(_arguments, _console).Configure();
        }

        ExportAddress address = wish.Resolve(_network.Facts);
        foreach (string note in address.Notes)
        {
            _console.Say(note);
        }

        if (address.Uri.Tls && _arguments.Driver == KernelNbdKind.Name)
        {
            throw new BootException("nbdfuse.driver=nbd: the kernel's driver cannot speak TLS (nbds://); leave it out, or use ublk or fuse");
        }

        ChooseTraces();
        await AttachAsync(address).ConfigureAwait(false);
    }

    // They make a boot faster, or the next one: none of them is worth to fail for.
    private void ChooseTraces()
    {
        _record = _arguments.Record;
        _prefetch = _arguments.Prefetch ?? (File.Exists(InitramfsBuilder.PrefetchPath) ? InitramfsBuilder.PrefetchPath : null);
        if (string.IsNullOrEmpty(_prefetch))
        {
            _prefetch = null;
        }

        if (_arguments.Driver == KernelNbdKind.Name && (_record ?? _prefetch) is not null)
        {
            _console.Say("with the driver nbd the kernel reads by itself: nothing is recorded, or read ahead by a trace");
            _record = _prefetch = null;
        }

        if (_prefetch is null)
        {
            return;
        }

        try
        {
            AccessTrace trace = AccessTrace.Read(_prefetch);
            _console.Say(string.Create(CultureInfo.InvariantCulture, $"{trace.Count} ranges are read ahead by a trace"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _console.Say($"nothing is read ahead: {ErrorText.OneLine(e.Message)}");
            _prefetch = null;
        }
    }

    private IReadOnlyList<string> Drivers() =>
        _arguments.Driver == DeviceDrivers.Automatic
            ? [.. DeviceDrivers.All.Where(driver => driver.IsAutomatic).Select(driver => driver.Name)]
            : DeviceDrivers.Names.Contains(_arguments.Driver)
                ? [_arguments.Driver]
                : throw new BootException($"nbdfuse.driver={_arguments.Driver}: this version has only {string.Join(", ", DeviceDrivers.Names)}");

    /// <summary>What a URI says about TLS, and what the initramfs was made with.</summary>
    private static NbdTlsOptions TlsOf(NbdUri uri)
    {
        NbdTlsOptions options = NbdTlsOptions.FromUri(uri);
        if (options.Mode == NbdTlsMode.Off || (options.CertificatesDirectory ?? options.PskFile) is not null)
        {
            return options;
        }

        return options.Type is null or NbdTlsType.Psk && File.Exists(InitramfsBuilder.TlsPskPath)
            ? options with { PskFile = InitramfsBuilder.TlsPskPath }
            : options.Type is null or NbdTlsType.X509 && Directory.Exists(InitramfsBuilder.TlsDirectory)
                ? options with { CertificatesDirectory = InitramfsBuilder.TlsDirectory }
                : options;
    }

    // A machine without a clock that runs on starts in 1970 or so: no certificate is valid then.
    private static string Describe(NbdException e) => e is NbdConnectException { Reason: NbdConnectFailure.TlsFailed }
        ? string.Create(CultureInfo.InvariantCulture, $"{ErrorText.OneLine(e.Message)} (this machine's clock says {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC)")
        : ErrorText.OneLine(e.Message);

    private async Task AttachAsync(ExportAddress address)
    {
        NbdUri uri = address.Uri;
        NbdUri? alternate = address.Alternate;
        TimeSpan pause = FirstPause;
        string told = string.Empty;
        int refusals = 0;
        _console.Say($"the root is {uri}");
        while (true)
        {
            try
            {
                await ServeAsync(uri).ConfigureAwait(false);
                return;
            }
            catch (NbdServerErrorException e) when (!_isReady && alternate is not null && e.Code == NbdOptionReplyType.ErrUnknown)
            {
                _console.Say($"the server does not know the export '{NbdText.Sanitize(uri.ExportName, 200)}': trying '{NbdText.Sanitize(alternate.ExportName, 200)}'");
                (uri, alternate) = (alternate, null);
                continue;
            }
            catch (NbdException e) when (!_isReady && (e is NbdConnectException { Reason: not (NbdConnectFailure.TlsRequired or NbdConnectFailure.TlsCredentials) } || _arguments.RootWait || ++refusals < Refusals))
            {
                // Each cause is told once.
                if (told != e.Message)
                {
                    _console.Say($"{Describe(e)}; trying again");
                    told = e.Message;
                }
            }

            await Task.Delay(pause).ConfigureAwait(false);
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    private async Task ServeAsync(NbdUri uri)
    {
        AttachEntry entry = RuntimeDirectory.CreateEntry();
        var log = new CommandLogOptions(_arguments.Debug ? LogVerbosity.Verbose : LogVerbosity.Normal, _arguments.Debug);
        using AttachLogging logging = AttachLogging.ToFile(entry.LogPath, log);
        using ILoggerFactory loggers = logging.Factory(AttachLogging.LevelOf(log.Verbosity));
        Exception? failure = null;
        try
        {
            using var daemon = new AttachDaemon(
                new AttachArguments
                {
                    Uri = uri,
                    Tls = TlsOf(uri),
                    Driver = _arguments.Driver,
                    ReadOnly = _arguments.Overlay,
                    PrefetchFile = _prefetch,
                    RecordFile = _record,
                    AroundBytes = ExportTraces.AroundBytesAtBoot(),
                    RehearsalDelay = RehearsalDelay,
                    Words = [uri.ToString()],
                },
                entry,
                loggers,
                log);
            await daemon.RunAsync(device =>
            {
                try
                {
                    HandOverRoot(device, entry);
                    logging.Flush();
                    return true;
                }
                catch (Exception e)
                {
                    failure = e;
                    return false;
                }
            }).ConfigureAwait(false);
        }
        catch (Exception e) when (_isReady)
        {
            // Nobody is there to hear it; the log in /run stays.
            AttachLog.Failed(loggers.CreateLogger(ErrorText.Program), e.Message, e);
            logging.Flush();
            throw;
        }

        if (failure is not null)
        {
            throw new BootException(failure.Message, failure);
        }
    }

    private void HandOverRoot(string device, AttachEntry entry)
    {
        (string holder, FilesystemProbe? filesystem) = RootFinder.Find(device, _arguments.Root);
        if (!isHook)
        {
            RootMount.Mount(holder, filesystem, _arguments, _console);
        }
        else if (_arguments.Overlay)
        {
            _console.Say("nbdfuse.overlay= is for nbdfuse's own initramfs: the device is read-only, and nothing is put over it");
        }

        try
        {
            AttachState state = entry.Read() ?? new AttachState();
            HandOver.WriteNetwork(Run, _network);
            HandOver.WriteShutdown(Run, string.Empty, state.Pid, device, state.Driver);

            // From here on everything that this process looks up lies in its own filesystem.
            PosixException.Check(Posix.Chroot(InitramfsBuilder.Tree), InitramfsBuilder.Tree);
        }
        catch (Exception)
        {
            if (!isHook)
            {
                RootMount.Undo();
            }

            throw;
        }

        Directory.SetCurrentDirectory("/");
        _isReady = true;
        Answer(isHook ? $"ready {holder} {filesystem?.Type ?? "-"}" : _arguments.Init is { } init ? string.Create(CultureInfo.InvariantCulture, $"ready {init}") : "ready");

        // Neither the console, which lies in a filesystem of the first process, nor the pipe.
        using FileDescriptor nothing = FileDescriptor.OwnOrThrow(Posix.Open("/dev/null", OpenFlags.ReadWrite), "/dev/null");
        for (int number = 0; number <= 2; number++)
        {
            PosixException.Check(Posix.DupOnto(nothing.Value, number), "close the console");
        }
    }

    private void Answer(string line)
    {
        output.Write(line + "\n");
        output.Flush();
    }
}
