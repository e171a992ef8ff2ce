using System.Runtime.InteropServices;

namespace NbdFuse.Native;

/// <summary>One entry of poll(2): struct pollfd, 8 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct PollDescriptor
{
    /// <summary>The descriptor; a negative one is skipped.</summary>
    public int Fd;

    /// <summary>The events asked for.</summary>
    public PollEvents Events;

    /// <summary>The events that hold, written by the call.</summary>
    public PollEvents Returned;

    /// <summary>An entry that asks for <paramref name="events"/> on <paramref name="fd"/>.</summary>
    /// <param name="fd">The descriptor.</param>
    /// <param name="events">The events asked for.</param>
    public PollDescriptor(int fd, PollEvents events)
    {
        Fd = fd;
        Events = events;
    }
}
