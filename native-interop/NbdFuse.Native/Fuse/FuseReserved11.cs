using System.Runtime.CompilerServices;

namespace NbdFuse.Native.Fuse;

/// <summary>11 reserved numbers; sent as zeroes, ignored when received.</summary>
[InlineArray(11)]
public struct FuseReserved11
{
    private uint _first;
}
