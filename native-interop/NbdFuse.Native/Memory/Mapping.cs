using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>mmap(2) and its relatives.</summary>
internal static unsafe class Mapping
{
    internal const int Shared = 1;
    internal const int Private = 2;
    internal const int Anonymous = 0x20;

    private const int ProtectReadWrite = 3;
    private const int NoReserve = 0x4000;

    internal static byte* Map(nuint length, int flags, int fd, string what)
    {
        void* address = Libc.mmap(null, length, ProtectReadWrite, flags | NoReserve, fd, 0);
        if (address == (void*)-1)
        {
            throw new PosixException($"map {length} bytes for {what}", Marshal.GetLastSystemError());
        }

        return (byte*)address;
    }

    internal static void Unmap(byte* address, nuint length)
    {
        if (Libc.munmap(address, length) != 0)
        {
            throw new PosixException("unmap memory", Marshal.GetLastSystemError());
        }
    }

    internal static int Lock(byte* address, nuint length) =>
        Libc.mlock(address, length) == 0 ? 0 : -Marshal.GetLastSystemError();
}
