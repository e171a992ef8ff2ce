namespace NbdFuse.VmTests.Harness;

/// <summary>What a guest is made of. Every guest has busybox, our program, a network card and loop.ko.</summary>
public sealed record GuestOptions
{
    /// <summary>Memory in MiB.</summary>
    public int MemoryMiB { get; init; } = 512;

    /// <summary>
    /// Modules that are loaded before the first command, each with its parameters, as <c>nbd nbds_max=2</c>.
    /// </summary>
    public IReadOnlyList<string> Modules { get; init; } = [];

    /// <summary>Modules that a command may load by <c>modprobe</c>, or the kernel by itself. Those of <see cref="Modules"/> are there anyway.</summary>
    public IReadOnlyList<string> AvailableModules { get; init; } = [];

    /// <summary>
    /// Programs of this machine (names, as <c>fio</c>) that the guest finds in PATH, with the libraries that they are linked
    /// with. They lie on a read-only disk, mounted as /usr, so that they cost the guest no memory before they are used.
    /// </summary>
    public IReadOnlyList<string> Programs { get; init; } = [];

    /// <summary>
    /// Whether there is a command <c>guest-tool</c>: tests/NbdFuse.GuestTool, with the runtime of this machine.
    /// </summary>
    public bool HasGuestTool { get; init; }

    /// <summary>Further files.</summary>
    public IReadOnlyList<GuestFile> Files { get; init; } = [];

    /// <summary>Whether there is a disk with programs.</summary>
    internal bool HasDisk => Programs.Count > 0 || HasGuestTool;

    /// <summary>Further arguments of the kernel.</summary>
    public string KernelArguments { get; init; } = string.Empty;

    /// <summary>Further arguments of QEMU.</summary>
    public IReadOnlyList<string> QemuArguments { get; init; } = [];

    /// <summary>How long the way to the first command may take.</summary>
    public TimeSpan BootTimeout { get; init; } = TimeSpan.FromSeconds(120);
}
