using System.Runtime.CompilerServices;

namespace NbdFuse.Native.Block;

/// <summary>Unused numbers.</summary>
[InlineArray(2)]
public struct LoopInit
{
    private ulong _first;
}
