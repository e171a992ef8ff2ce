using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace NbdFuse.Native.Ublk;

/// <summary>The kernel's descriptions of a queue's requests: read-only memory shared by /dev/ublkcN.</summary>
/// <remarks>
/// The first process to map it is the device's server until recovery: another one's mapping is refused (EINVAL).
/// THREADING: a description is stable from the completion of its tag's fetch to the commit.
/// </remarks>
public sealed unsafe class UblkDescriptorMap : IDisposable
{
    private const int ProtectRead = 1;
    private const int Populate = 0x8000;

    private readonly int _depth;
    private readonly nuint _length;
    private byte* _address;

    private UblkDescriptorMap(byte* address, nuint length, int depth)
    {
        _address = address;
        _length = length;
        _depth = depth;
    }

    /// <summary>Maps the descriptions of a queue.</summary>
    /// <param name="fd">/dev/ublkcN.</param>
    /// <param name="queue">Number of the queue.</param>
    /// <param name="depth">Depth of the device, 1 to 4096.</param>
    /// <exception cref="PosixException">The kernel refused.</exception>
    public static UblkDescriptorMap Map(int fd, int queue, int depth)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(depth, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(depth, UblkConstants.MaximumDepth);
        nuint length = RoundUp(depth);
        long offset = (long)RoundUp(UblkConstants.MaximumDepth) * queue;
        void* address = Libc.mmap(null, length, ProtectRead, Mapping.Shared | Populate, fd, offset);
        if (address == (void*)-1)
        {
            throw new PosixException("map the request descriptions of a ublk device", Marshal.GetLastSystemError());
        }

        return new UblkDescriptorMap((byte*)address, length, depth);
    }

    /// <summary>Reads the description of a request, once: what is checked is what is used.</summary>
    /// <param name="tag">Number of the request, below the depth.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public UblkIoDescriptor Read(int tag)
    {
        ObjectDisposedException.ThrowIf(_address == null, this);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)tag, (uint)_depth, nameof(tag));
        // SAFETY: inside the mapping, which lives until Dispose.
        return Unsafe.ReadUnaligned<UblkIoDescriptor>(_address + ((nuint)tag * (nuint)sizeof(UblkIoDescriptor)));
    }

    /// <summary>Takes the mapping away.</summary>
    public void Dispose()
    {
        byte* address = _address;
        _address = null;
        if (address != null)
        {
            Mapping.Unmap(address, _length);
        }
    }

    private static nuint RoundUp(int depth)
    {
        long page = Environment.SystemPageSize;
        return (nuint)((((long)depth * sizeof(UblkIoDescriptor)) + page - 1) / page * page);
    }
}
