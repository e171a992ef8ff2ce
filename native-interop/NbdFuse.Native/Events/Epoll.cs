using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>
/// An epoll instance and its array of struct epoll_event, which is packed to 12 bytes on x86-64 and has 16 elsewhere.
/// </summary>
internal sealed unsafe class Epoll : IDisposable
{
    private const int OperationAdd = 1;
    private const int OperationDelete = 2;
    private const int OperationModify = 3;
    private const int CreateCloexec = 0x80000;

    internal static readonly int Stride = Posix.IsArm64 ? 16 : 12;
    internal static readonly int DataOffset = Posix.IsArm64 ? 8 : 4;

    private readonly FileDescriptor _epoll;
    private readonly int _maximum;
    private byte* _events;

    internal Epoll(int maximum)
    {
        int fd = Libc.epoll_create1(CreateCloexec);
        if (fd < 0)
        {
            throw new PosixException("create an epoll instance", Marshal.GetLastSystemError());
        }

        _epoll = FileDescriptor.Own(fd);
        _maximum = maximum;
        // SAFETY: owned by this object, freed once in Dispose, which the loop calls after its thread has ended.
        _events = (byte*)NativeMemory.AllocZeroed((nuint)maximum, (nuint)Stride);
    }

    public void Dispose()
    {
        _epoll.Dispose();
        NativeMemory.Free(_events);
        _events = null;
    }

    internal int Add(int fd, EpollEvents events, ulong data) => Control(OperationAdd, fd, events, data);

    internal int Modify(int fd, EpollEvents events, ulong data) => Control(OperationModify, fd, events, data);

    internal int Remove(int fd) => Control(OperationDelete, fd, EpollEvents.None, 0);

    /// <summary>Waits; EINTR counts as no event, because the caller looks at the clock anyway.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal int Wait(int timeoutMs)
    {
        int count = Libc.epoll_wait(_epoll.Value, _events, _maximum, timeoutMs);
        return count >= 0 ? count : WaitFailed();
    }

    internal EpollEvents EventsAt(int index) => (EpollEvents)Unsafe.ReadUnaligned<uint>(_events + (index * Stride));

    internal ulong DataAt(int index) => Unsafe.ReadUnaligned<ulong>(_events + (index * Stride) + DataOffset);

    private static int WaitFailed()
    {
        int error = Marshal.GetLastSystemError();
        return error == Errno.EINTR ? 0 : throw new PosixException("wait for events", error);
    }

    private int Control(int operation, int fd, EpollEvents events, ulong data)
    {
        byte* entry = stackalloc byte[16];
        Unsafe.WriteUnaligned(entry, (uint)events);
        Unsafe.WriteUnaligned(entry + DataOffset, data);
        return Libc.epoll_ctl(_epoll.Value, operation, fd, entry) == 0 ? 0 : -Marshal.GetLastSystemError();
    }
}
