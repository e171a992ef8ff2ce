using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>struct msghdr of glibc and musl on 64-bit Linux, 56 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct MessageHeader
{
    internal byte* Name;
    internal uint NameLength;
    internal IoVector* Vectors;
    internal nuint VectorCount;
    internal byte* Control;
    internal nuint ControlLength;
    internal int Flags;
}
