using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>Owns one file descriptor and closes it exactly once.</summary>
public sealed class FileDescriptor : SafeHandle
{
    private FileDescriptor(int fd)
        : base(-1, ownsHandle: true)
    {
        SetHandle(fd);
    }

    /// <summary>The descriptor's number. Valid only while this object is neither disposed nor collected.</summary>
    public int Value => (int)handle;

    /// <inheritdoc/>
    public override bool IsInvalid => handle < 0;

    /// <summary>Takes ownership of a descriptor that nobody else closes.</summary>
    /// <param name="fd">An open descriptor, at least 0.</param>
    public static FileDescriptor Own(int fd)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(fd);
        return new FileDescriptor(fd);
    }

    /// <summary>Takes ownership of a call's result, or throws what the call reports.</summary>
    /// <param name="result">A descriptor, or a negative errno.</param>
    /// <param name="what">What was attempted, for the message.</param>
    public static FileDescriptor OwnOrThrow(int result, string what) => Own(PosixException.Check(result, what));

    /// <summary>Gives the descriptor up without closing it: the caller owns it from here on.</summary>
    /// <returns>The descriptor, or -1 when it was already closed or given up.</returns>
    public int Detach()
    {
        int fd = IsClosed ? -1 : Value;
        SetHandleAsInvalid();
        return fd;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => Posix.Close(Value) >= 0;
}
