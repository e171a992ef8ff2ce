using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>struct rlimit (setrlimit(2)), 64 bits wide.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ResourceLimit
{
    /// <summary>What holds (rlim_cur).</summary>
    public ulong Current;

    /// <summary>What it may be raised to (rlim_max).</summary>
    public ulong Maximum;
}
