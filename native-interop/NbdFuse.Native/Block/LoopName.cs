using System.Runtime.CompilerServices;

namespace NbdFuse.Native.Block;

/// <summary>A NUL-terminated name.</summary>
[InlineArray(64)]
public struct LoopName
{
    private byte _first;
}
