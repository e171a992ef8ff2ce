using System.Runtime.CompilerServices;

namespace NbdFuse.Native.Block;

/// <summary>Reserved numbers, zero.</summary>
[InlineArray(8)]
public struct LoopConfigReserved
{
    private ulong _first;
}
