using System.Runtime.InteropServices;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;

namespace NbdFuse.UnitTests.Ublk;

/// <summary>/dev/ublk-control, played: results by operation, the last of which is repeated.</summary>
internal sealed class FakeUblkControl
{
    private readonly Dictionary<uint, Queue<int>> _results = [];

    /// <summary>Operations with their numbers as they came.</summary>
    public List<(uint Operation, UblkControlCommand Command)> Commands { get; } = [];

    /// <summary>Old kernels: encoded numbers mean nothing.</summary>
    public bool KnowsOnlyLegacy { get; init; }

    /// <summary>New kernels without CONFIG_BLKDEV_UBLK_LEGACY_OPCODES.</summary>
    public bool KnowsOnlyEncoded { get; init; }

    /// <summary>Kernels before 6.5.</summary>
    public bool KnowsFeatures { get; init; } = true;

    public UblkDeviceInfo Info { get; set; }

    public UblkFeatures Granted { get; init; } = UblkFeatures.IoctlEncoding;

    public void Results(uint operation, params int[] results) => _results[operation & 0xff] = new Queue<int>(results);

    public int Count(uint operation) => Commands.Count(command => (command.Operation & 0xff) == (operation & 0xff));

    public int Execute(uint operation, UblkControlCommand command, Span<byte> buffer, CancellationToken cancellation)
    {
        Commands.Add((operation, command));
        bool encoded = operation > 0xff;
        if ((encoded && KnowsOnlyLegacy) || (!encoded && KnowsOnlyEncoded))
        {
            return -Errno.EOPNOTSUPP;
        }

        if (operation == UblkConstants.GetFeatures)
        {
            if (!KnowsFeatures)
            {
                return -Errno.ENODEV;
            }

            MemoryMarshal.Write(buffer, (ulong)Granted);
            return 0;
        }

        int result = !_results.TryGetValue(operation & 0xff, out Queue<int>? results) ? 0
            : results.Count > 1 ? results.Dequeue()
            : results.Peek();
        if (result < 0)
        {
            return result;
        }

        switch (operation & 0xff)
        {
            case UblkConstants.AddDevice & 0xff:
                UblkDeviceInfo info = MemoryMarshal.Read<UblkDeviceInfo>(buffer);
                info.DeviceId = info.DeviceId == uint.MaxValue ? 5 : info.DeviceId;
                info.Flags |= Granted;
                MemoryMarshal.Write(buffer, info);
                break;
            case UblkConstants.GetDeviceInfo & 0xff:
                MemoryMarshal.Write(buffer, Info);
                break;
        }

        return result;
    }
}
