using System.CommandLine;
using System.Globalization;
using NbdFuse.Boot;

namespace NbdFuse.Cli;

/// <summary>The verbs for booting from an export.</summary>
internal static class BootVerbs
{
    /// <summary>The verb that the first process of an initramfs runs.</summary>
    public const string RootVerb = "root";

    private const string Cpio = "cpio";
    private const string UImage = "uimage";

    /// <summary>initramfs.</summary>
    /// <param name="output">Standard output.</param>
    /// <param name="error">Standard error.</param>
    /// <param name="shared">Options that all verbs have.</param>
    public static Command Initramfs(TextWriter output, TextWriter error, params Option[] shared)
    {
        var file = new Option<string>("--output", "-o") { Description = "The file to write", HelpName = "FILE", Required = true };
        var kernel = new Option<string>("--kernel") { Description = "Take the modules of this kernel (default: the one that runs)", HelpName = "VERSION" };
        var modules = new Option<string>("--modules") { Description = "Take the modules of this directory, such as /mnt/lib/modules/6.12.0", HelpName = "DIR" };
        var noModules = new Option<bool>("--no-modules") { Description = "For a kernel that has all built in" };
        var extra = Words("--module", "NAME", "A further module");
        Option<string[]> driver = Words("--driver", "DRIVER", "A driver that must work: fuse, ublk or nbd (default: those that the kernel has)");
        var with = Words("--with", "PATH", "A further file or directory, with the libraries that programs need");
        var prefetch = new Option<string>("--prefetch") { Description = "A trace of a boot (nbdfuse.record), by which the next ones are read ahead", HelpName = "FILE" };
        var certificates = new Option<string>("--tls-certificates") { Description = "Directory with ca-cert.pem (client-cert.pem, client-key.pem, ca-crl.pem) for nbds:// at boot", HelpName = "DIR" };
        var psk = new Option<string>("--tls-psk") { Description = "File with the pre-shared key for nbds:// at boot", HelpName = "FILE" };
        var format = new Option<string>("--format") { Description = "cpio, or uimage for U-Boot's legacy format (default: cpio)", HelpName = "FORMAT" };
        var busybox = new Option<string>("--busybox") { Description = "A static busybox (default: the one of busybox-static)", HelpName = "PATH" };
        var architecture = new Option<string>("--arch") { Description = "Architecture of the machine that boots, such as aarch64; with --runtime", HelpName = "ARCH" };
        var runtime = new Option<string>("--runtime") { Description = "Directory of a .NET runtime for it: dotnet, host, shared", HelpName = "DIR" };
        var program = new Option<string>("--program") { Description = "With --runtime, directory of nbdfuse.dll (default: where this program is)", HelpName = "DIR" };
        var root = new Option<string>("--root") { Description = "Take libraries and busybox from this directory instead of /", HelpName = "DIR" };
        format.AcceptOnlyFromAmong(Cpio, UImage);
        driver.AcceptOnlyFromAmong([.. BootArguments.Drivers.Where(name => name != DeviceDrivers.Automatic)]);
        var command = new Command("initramfs", "Make an initramfs that boots from an export; see docs/BOOT.md")
        {
            file, kernel, modules, noModules, extra, driver, with, prefetch, certificates, psk, format, busybox, architecture, runtime, program, root,
        };
        Array.ForEach(shared, command.Options.Add);
        command.Validators.Add(result =>
        {
            if (new Option[] { kernel, modules, noModules }.Count(option => result.GetResult(option) is not null) > 1)
            {
                result.AddError("--kernel, --modules and --no-modules exclude each other");
            }

            if (result.GetResult(certificates) is not null && result.GetResult(psk) is not null)
            {
                result.AddError("--tls-certificates and --tls-psk exclude each other: give the one that the server uses");
            }

            if (result.GetResult(architecture) is not null && result.GetResult(runtime) is null)
            {
                result.AddError("--arch needs --runtime: this program is for its own architecture only");
            }
        });
        command.SetAction(async (result, _) =>
        {
            var arguments = new InitramfsArguments
            {
                File = result.GetRequiredValue(file),
                Kernel = result.GetValue(kernel),
                NoModules = result.GetValue(noModules),
                Options = new InitramfsOptions
                {
                    Modules = result.GetValue(modules),
                    ExtraModules = result.GetValue(extra) ?? [],
                    Drivers = result.GetValue(driver) ?? [],
                    With = result.GetValue(with) ?? [],
                    Prefetch = result.GetValue(prefetch),
                    TlsCertificates = result.GetValue(certificates),
                    TlsPsk = result.GetValue(psk),
                    IsUImage = result.GetValue(format) == UImage,
                    Busybox = result.GetValue(busybox),
                    Architecture = result.GetValue(architecture),
                    Runtime = result.GetValue(runtime),
                    Code = result.GetValue(program),
                    Root = result.GetValue(root) ?? "/",
                },
            };
            return await InitramfsCommand.RunAsync(arguments, output, error).ConfigureAwait(false);
        });
        return command;
    }

    /// <summary>root.</summary>
    /// <param name="output">Standard output: answers for the first process.</param>
    /// <param name="error">Standard error: the console.</param>
    /// <param name="shared">Options that all verbs have.</param>
    public static Command Root(TextWriter output, TextWriter error, params Option[] shared)
    {
        var command = new Command(RootVerb, "Mount the root that the kernel's command line names; for the first process of an initramfs only");
        var attach = new Option<bool>("--attach") { Description = "Make the device only, and print where the root filesystem is" };
        command.Options.Add(attach);
        Array.ForEach(shared, command.Options.Add);
        command.SetAction(async (result, _) =>
            await new BootRootCommand(output, error, result.GetValue(attach)).RunAsync().ConfigureAwait(false));
        return command;
    }

    /// <summary>install-hooks.</summary>
    /// <param name="output">Standard output.</param>
    /// <param name="shared">Options that all verbs have.</param>
    public static Command InstallHooks(TextWriter output, params Option[] shared)
    {
        var initramfsTools = new Option<bool>("--initramfs-tools") { Description = "For Debian's initramfs-tools (default: for what is there)" };
        var dracut = new Option<bool>("--dracut") { Description = "For dracut (default: for what is there)" };
        var root = new Option<string>("--root") { Description = "Root directory of the system (default: /)", HelpName = "DIR" };
        var program = new Option<string>("--program") { Description = "This program's path in that system (default: its path here)", HelpName = "PATH" };
        var uninstall = new Option<bool>("--uninstall") { Description = "Take the hooks away" };
        var command = new Command("install-hooks", "Have initramfs-tools or dracut put this program into their initramfs; see docs/BOOT.md")
        {
            initramfsTools, dracut, root, program, uninstall,
        };
        Array.ForEach(shared, command.Options.Add);
        command.SetAction(async (result, _) =>
        {
            string directory = Path.GetFullPath(result.GetValue(root) ?? "/");
            List<HookFramework> frameworks = [];
            if (result.GetValue(initramfsTools))
            {
                frameworks.Add(HookFramework.InitramfsTools);
            }

            if (result.GetValue(dracut))
            {
                frameworks.Add(HookFramework.Dracut);
            }

            bool removes = result.GetValue(uninstall);
            IReadOnlyList<HookFramework> chosen = frameworks.Count > 0 ? frameworks : removes ? Enum.GetValues<HookFramework>() : FrameworksOf(directory);
            foreach (HookFramework framework in chosen)
            {
                IReadOnlyList<string> files = removes
                    ? HookInstaller.Uninstall(directory, framework)
                    : HookInstaller.Install(directory, framework, result.GetValue(program) ?? Environment.ProcessPath!);
                foreach (string file in files)
                {
                    await output.WriteAsync($"{(removes ? "removed" : "written")}: {file}\n").ConfigureAwait(false);
                }
            }

            if (!removes)
            {
                await output.WriteAsync(chosen.Contains(HookFramework.InitramfsTools) ? "now run: update-initramfs -u\n" : "now run: dracut --force\n").ConfigureAwait(false);
            }

            return 0;
        });
        return command;
    }

    /// <summary>hook-tree: what the hooks call.</summary>
    public static Command HookTree()
    {
        var directory = new Argument<string>("DIR") { Description = "The framework's directory" };
        var command = new Command("hook-tree", "Put this program into an initramfs that a framework is making") { directory };
        command.Hidden = true;
        command.SetAction(result =>
        {
            string target = result.GetRequiredValue(directory);
            if (!Directory.Exists(target))
            {
                throw new BootException($"{target} is no directory");
            }

            InitramfsBuilder.WriteHookTree(InitramfsCommand.HookOptions(), target);
            return 0;
        });
        return command;
    }

    private static IReadOnlyList<HookFramework> FrameworksOf(string directory)
    {
        IReadOnlyList<HookFramework> found = HookInstaller.Find(directory);
        return found.Count > 0 ? found : throw new BootException("there is neither initramfs-tools nor dracut: say which one by --initramfs-tools or --dracut");
    }

    private static Option<string[]> Words(string name, string helpName, string description) => new(name)
    {
        Description = string.Create(CultureInfo.InvariantCulture, $"{description}; may be repeated"),
        HelpName = helpName,
        AllowMultipleArgumentsPerToken = false,
    };
}
