using System.Numerics;
using System.Runtime.CompilerServices;
using NbdFuse.Block;
using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

/// <summary>Sizes, limits and memory of a device, computed from the export, or checked against it. Immutable.</summary>
internal sealed record UblkGeometry
{
    /// <summary>Shortest and longest payload buffers in bytes.</summary>
    internal const int MinimumPayload = 128 * 1024;

    /// <inheritdoc cref="MinimumPayload"/>
    internal const int MaximumPayload = 1 << 20;

    /// <summary>Most requests at once, unless asked for: NBD servers do not get faster beyond it, and each needs a buffer.</summary>
    internal const int DefaultDepth = 128;

    /// <summary>"NBDFUSE" and a version: by it we know devices of ours again. The kernel keeps the number and does not look at it.</summary>
    internal const ulong ServerMark = 0x01_45_53_55_46_44_42_4E;

    // The kernel counts in 32 bits of bytes in places (UINT_MAX >> 9).
    private const long MaximumZeroSectors = uint.MaxValue / UblkConstants.SectorBytes;
    private const int MaximumPhysicalBlock = 65536;
    private const int MaximumGranularity = 1 << 20;

    /// <summary>Requests that the kernel hands out at once.</summary>
    internal required int Depth { get; init; }

    /// <summary>What the kernel is told, or has told us.</summary>
    internal required UblkParams Params { get; init; }

    /// <summary>What requests are checked against.</summary>
    internal required UblkLimits Limits { get; init; }

    /// <summary>Bytes of the export behind the last whole logical block: the kernel cannot reach them.</summary>
    internal required int TailBytes { get; init; }

    /// <summary>Size of the device in bytes.</summary>
    internal long Size => Limits.Sectors * UblkConstants.SectorBytes;

    /// <summary>Computes what a new device is to be.</summary>
    /// <param name="export">The export itself, without layers that offer more than it has.</param>
    /// <param name="options">What was asked for.</param>
    /// <param name="queueCapacity">Slots of the queue; one of them is kept for a FLUSH of our own.</param>
    /// <exception cref="UblkException">The export cannot be a device.</exception>
    internal static UblkGeometry Compute(BlockDeviceInfo export, UblkOptions options, int queueCapacity)
    {
        int logical = options.LogicalBlock;
        if (!BitOperations.IsPow2(logical) || logical is < 512 or > 4096)
        {
            throw new UblkException($"a logical block of {logical} bytes is not possible; use 512, 1024, 2048 or 4096");
        }

        long blocks = export.Size / logical;
        if (blocks == 0)
        {
            throw new UblkException(
                $"the export has {export.Size} bytes, less than one block of {logical}; it cannot be a block device");
        }

        int payload = PayloadFor(export);
        bool readOnly = export.IsReadOnly || options.IsReadOnly;
        UblkParams parameters = new()
        {
            Length = (uint)Unsafe.SizeOf<UblkParams>(),
            Types = UblkParamTypes.Basic,
            Basic = BasicFor(export, logical, payload, blocks, readOnly),
        };
        if (!readOnly)
        {
            parameters.Discard = DiscardFor(export, logical, 1 << parameters.Basic.PhysicalBlockShift);
            if (parameters.Discard.MaximumDiscardSectors != 0 || parameters.Discard.MaximumWriteZeroesSectors != 0)
            {
                parameters.Types |= UblkParamTypes.Discard;
            }
        }

        return new UblkGeometry
        {
            Depth = DepthFor(options, payload, queueCapacity),
            Params = parameters,
            Limits = new UblkLimits
            {
                Sectors = (long)parameters.Basic.DeviceSectors,
                PayloadBytes = payload,
                IsReadOnly = readOnly,
                DiscardIsTrim = export.CanTrim,
            },
            TailBytes = (int)(export.Size - (blocks * logical)),
        };
    }

    /// <summary>What the kernel is asked to add.</summary>
    /// <param name="options">What was asked for.</param>
    internal UblkDeviceInfo ToDeviceInfo(UblkOptions options) => new()
    {
        Queues = 1,
        Depth = (ushort)Depth,
        MaximumIo = (uint)Limits.PayloadBytes,
        DeviceId = (uint)options.DeviceId,

        // Replaced at the start; by it one that died before that is known.
        ServerPid = Environment.ProcessId,
        Flags = options.Recovery ? UblkFeatures.UserRecovery | UblkFeatures.RecoveryReissue : UblkFeatures.None,
        ServerFlags = ServerMark,
    };

    private static int PayloadFor(BlockDeviceInfo export)
    {
        int payload = Math.Clamp(CeilingPow2(export.PreferredBlock), MinimumPayload, MaximumPayload);
        while (payload > MinimumPayload && payload > export.MaximumPayload)
        {
            payload /= 2;
        }

        return payload;
    }

    private static int DepthFor(UblkOptions options, int payload, int queueCapacity)
    {
        int wanted = options.Depth > 0
            ? Math.Min(options.Depth, UblkConstants.MaximumDepth)
            : Math.Clamp(options.BufferBytes / payload, 1, DefaultDepth);
        return Math.Max(1, Math.Min(wanted, queueCapacity - 1));
    }

    private static UblkBasicParams BasicFor(BlockDeviceInfo export, int logical, int payload, long blocks, bool readOnly)
    {
        UblkAttributes attributes = UblkAttributes.None;
        attributes |= readOnly ? UblkAttributes.ReadOnly : 0;
        attributes |= export.IsRotational ? UblkAttributes.Rotational : 0;

        // Without a volatile cache the kernel would never send FLUSH, and what the server holds in memory would never be durable.
        attributes |= export.CanFlush ? UblkAttributes.VolatileCache : 0;
        attributes |= export.CanFlush && export.CanFua ? UblkAttributes.Fua : 0;

        // Below the minimum block we read, change and write back; up to 4096 a preference is worth the same hint.
        int physical = Math.Max(export.MinimumBlock, Math.Min(export.PreferredBlock, 4096));
        physical = Math.Clamp(CeilingPow2(physical), logical, MaximumPhysicalBlock);
        int optimal = Math.Clamp(CeilingPow2(export.PreferredBlock), physical, Math.Max(physical, payload));
        return new UblkBasicParams
        {
            Attributes = attributes,
            LogicalBlockShift = Shift(logical),
            PhysicalBlockShift = Shift(physical),
            MinimumIoShift = Shift(physical),
            OptimalIoShift = Shift(optimal),
            MaximumSectors = (uint)(payload / UblkConstants.SectorBytes),
            DeviceSectors = (ulong)blocks * (ulong)(logical / UblkConstants.SectorBytes),
        };
    }

    private static UblkDiscardParams DiscardFor(BlockDeviceInfo export, int logical, int physical)
    {
        // Whole blocks, at least one: a limit of 0 means that there is none of it.
        long blocks = Math.Clamp(export.MaximumZeroes / logical, 1, MaximumZeroSectors * UblkConstants.SectorBytes / logical);
        uint sectors = (uint)(blocks * (logical / UblkConstants.SectorBytes));
        bool discard = export.CanTrim || export.CanWriteZeroes;
        return new UblkDiscardParams
        {
            Granularity = (uint)Math.Clamp(CeilingPow2(export.PreferredBlock), physical, Math.Max(physical, MaximumGranularity)),
            MaximumDiscardSectors = discard ? sectors : 0,
            MaximumSegments = (ushort)(discard ? 1 : 0),

            // Where the export has no command for it the kernel writes zeroes itself.
            MaximumWriteZeroesSectors = export.CanWriteZeroes ? sectors : 0,
        };
    }

    private static int CeilingPow2(int value) => (int)Math.Min(BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, value)), 1u << 30);

    private static byte Shift(int powerOfTwo) => (byte)BitOperations.Log2((uint)powerOfTwo);
}
