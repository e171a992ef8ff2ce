using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>struct iovec, 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct IoVector
{
    internal byte* Base;
    internal nuint Length;
}
