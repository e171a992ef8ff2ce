namespace NbdFuse.Native;

/// <summary>Event bits of epoll (linux/eventpoll.h).</summary>
[Flags]
public enum EpollEvents : uint
{
    /// <summary>Nothing is asked for; errors and hang-ups are still reported.</summary>
    None = 0,

    /// <summary>EPOLLIN.</summary>
    In = 1,

    /// <summary>EPOLLPRI.</summary>
    Priority = 2,

    /// <summary>EPOLLOUT.</summary>
    Out = 4,

    /// <summary>EPOLLERR; always reported.</summary>
    Err = 8,

    /// <summary>EPOLLHUP; always reported.</summary>
    Hup = 0x10,

    /// <summary>EPOLLRDHUP: the peer has shut down its sending side.</summary>
    RdHup = 0x2000,

    /// <summary>EPOLLEXCLUSIVE: wake one of several epoll instances.</summary>
    Exclusive = 1u << 28,

    /// <summary>EPOLLONESHOT: disarmed after one event until modified.</summary>
    OneShot = 1u << 30,

    /// <summary>EPOLLET: report changes, not states.</summary>
    EdgeTriggered = 1u << 31,
}
