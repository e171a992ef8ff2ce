using NbdFuse.Boot;

namespace NbdFuse.Cli;

/// <summary>What initramfs asks for.</summary>
internal sealed record InitramfsArguments
{
    /// <summary>The file to write.</summary>
    public required string File { get; init; }

    /// <summary>Version of the kernel whose modules are taken; null for the one that runs, unless the options name a directory.</summary>
    public string? Kernel { get; init; }

    /// <summary>No modules at all.</summary>
    public bool NoModules { get; init; }

    /// <summary>The rest; program, modules and time are filled in by the command.</summary>
    public required InitramfsOptions Options { get; init; }
}
