using System.Runtime.InteropServices;

namespace NbdFuse.Native;

internal static unsafe partial class Libc
{
    [LibraryImport(Name)]
    internal static partial nint recvfrom(int fd, void* buffer, nuint length, int flags, void* address, uint* addressLength);

    [LibraryImport(Name)]
    internal static partial int pthread_sigmask(int how, void* set, void* old);
}
