using System.Runtime.CompilerServices;

namespace NbdFuse.Native.Block;

/// <summary>An unused key.</summary>
[InlineArray(32)]
public struct LoopKey
{
    private byte _first;
}
