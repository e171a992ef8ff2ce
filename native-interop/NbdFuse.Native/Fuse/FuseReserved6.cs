using System.Runtime.CompilerServices;

namespace NbdFuse.Native.Fuse;

/// <summary>6 reserved numbers; sent as zeroes, ignored when received.</summary>
[InlineArray(6)]
public struct FuseReserved6
{
    private uint _first;
}
