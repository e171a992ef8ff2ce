using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>A counter with cache lines of its own: producers and consumer must not invalidate each other's.</summary>
[StructLayout(LayoutKind.Explicit, Size = 256)]
internal struct PaddedLong
{
    [FieldOffset(128)]
    internal long Value;
}
