using System.CommandLine;
using System.Globalization;
using NbdFuse.Boot;

namespace NbdFuse.Cli;

/// <summary>The verbs for booting from an export.</summary>
internal static class BootVerbs
{
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
            file, kernel, modules, noModules, extra, driver, with, format, busybox, architecture, runtime, program, root,
        };
        Array.ForEach(shared, command.Options.Add);
        command.Validators.Add(result =>
        {
            if (new Option[] { kernel, modules, noModules }.Count(option => result.GetResult(option) is not null) > 1)
            {
                result.AddError("--kernel, --modules and --no-modules exclude each other");
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
        var command = new Command("root", "Mount the root that the kernel's command line names; for the first process of an initramfs only");
        Array.ForEach(shared, command.Options.Add);
        command.SetAction(async (_, _) => await new BootRootCommand(output, error).RunAsync().ConfigureAwait(false));
        return command;
    }

    private static Option<string[]> Words(string name, string helpName, string description) => new(name)
    {
        Description = string.Create(CultureInfo.InvariantCulture, $"{description}; may be repeated"),
        HelpName = helpName,
        AllowMultipleArgumentsPerToken = false,
    };
}
