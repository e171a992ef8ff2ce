using NbdFuse.Block;

namespace NbdFuse.UnitTests.Block;

/// <summary>What a device was asked for: a copy, as requests are used again.</summary>
internal readonly record struct SeenRequest(BlockOperation Operation, BlockRequestFlags Flags, long Offset, long Length);
