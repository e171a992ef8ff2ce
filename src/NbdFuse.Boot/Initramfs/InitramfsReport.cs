namespace NbdFuse.Boot;

/// <summary>What an initramfs has become.</summary>
/// <param name="Length">Bytes, compressed.</param>
/// <param name="Unpacked">Bytes in the memory of the machine, before the program starts.</param>
/// <param name="Modules">Number of kernel modules.</param>
/// <param name="KernelVersion">Of the modules; null without modules.</param>
/// <param name="Notes">What the user should know, one line each.</param>
public sealed record InitramfsReport(long Length, long Unpacked, int Modules, string? KernelVersion, IReadOnlyList<string> Notes);
