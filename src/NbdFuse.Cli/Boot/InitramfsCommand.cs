using System.Globalization;
using NbdFuse.Boot;
using NbdFuse.Cache;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>initramfs: writes the file, and tells what it has become.</summary>
internal static class InitramfsCommand
{
    private const string SourceDate = "SOURCE_DATE_EPOCH";
    private const int SecretMode = 0x180;
    private const string RunningKernel = "/proc/sys/kernel/osrelease";

    /// <summary>Runs.</summary>
    /// <param name="arguments">What the user asked for.</param>
    /// <param name="output">Standard output.</param>
    /// <param name="error">Standard error.</param>
    /// <returns>The exit code.</returns>
    public static async Task<int> RunAsync(InitramfsArguments arguments, TextWriter output, TextWriter error)
    {
        InitramfsOptions options = WithProgram(arguments.Options) with
        {
            Modules = arguments.NoModules ? null : arguments.Options.Modules ?? FindModules(arguments.Kernel, arguments.Options.Root),
            Time = Time(),
        };

        if (options.Prefetch is not null)
        {
            // A bad one is told now rather than by each boot.
            AccessTrace.Read(options.Prefetch);
        }

        // A file that is there stays whole until the new one is.
        string temporary = arguments.File + ".new";
        InitramfsReport report;
        try
        {
            // A key is for nobody else's eyes. A file that is there may have another mode.
            File.Delete(temporary);
            using FileStream file = new(temporary, FileMode.CreateNew, FileAccess.Write);
            if (options.HasSecret)
            {
                PosixException.Check(Posix.Chmod(temporary, SecretMode), temporary);
            }

            report = InitramfsBuilder.Build(options, file);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }

        File.Move(temporary, arguments.File, overwrite: true);
        foreach (string note in report.Notes)
        {
            await error.WriteAsync($"{ErrorText.Program}: {ErrorText.OneLine(note)}\n").ConfigureAwait(false);
        }

        string kernel = report.KernelVersion is null ? "no modules" : $"{report.Modules} modules of kernel {report.KernelVersion}";
        await output.WriteAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"{arguments.File}: {report.Length / 1048576.0:F1} MiB, {report.Unpacked / 1048576.0:F1} MiB unpacked, {kernel}\n")).ConfigureAwait(false);
        return 0;
    }

    /// <summary>What goes into a framework's initramfs: this program, and the trace and the credentials for TLS that the administrator has put at their places.</summary>
    public static InitramfsOptions HookOptions()
    {
        InitramfsOptions options = WithProgram(new InitramfsOptions()) with
        {
            TlsPsk = File.Exists(InitramfsBuilder.TlsPskPath) ? InitramfsBuilder.TlsPskPath : null,
            TlsCertificates = !File.Exists(InitramfsBuilder.TlsPskPath) && Directory.Exists(InitramfsBuilder.TlsDirectory) ? InitramfsBuilder.TlsDirectory : null,
        };
        if (!File.Exists(InitramfsBuilder.PrefetchPath))
        {
            return options;
        }

        AccessTrace.Read(InitramfsBuilder.PrefetchPath);
        return options with { Prefetch = InitramfsBuilder.PrefetchPath };
    }

    private static InitramfsOptions WithProgram(InitramfsOptions options)
    {
        bool isCode = File.Exists(Path.Combine(AppContext.BaseDirectory, "nbdfuse.dll"));
        if (options.Runtime is not null)
        {
            return options with
            {
                Code = options.Code ?? (isCode
                    ? AppContext.BaseDirectory
                    : throw new BootException("--runtime needs the program's code: give the directory of nbdfuse.dll by --program")),
            };
        }

        if (isCode)
        {
            throw new BootException("this is a build that needs a runtime: give one by --runtime DIR, or use the published program");
        }

        return options with { Program = Environment.ProcessPath };
    }

    private static string FindModules(string? kernel, string root)
    {
        string version = kernel ?? File.ReadAllText(RunningKernel).Trim();
        if (version.Contains('/', StringComparison.Ordinal))
        {
            throw new UsageException("initramfs: --kernel takes a version, as uname -r prints it; a directory is given by --modules", showUsage: false);
        }

        foreach (string place in new[] { "lib/modules", "usr/lib/modules" })
        {
            string directory = Path.Combine(root, place, version);
            if (Directory.Exists(directory))
            {
                return directory;
            }
        }

        throw new BootException(
            $"there are no modules of kernel {version} in /lib/modules; name another kernel by --kernel, a directory by --modules, or say --no-modules");
    }

    private static long Time() => Environment.GetEnvironmentVariable(SourceDate) is not { Length: > 0 } text ? 0
        : uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out uint seconds) ? seconds
        : throw new UsageException($"initramfs: {SourceDate} is a number of seconds from 0 to {uint.MaxValue}", showUsage: false);
}
