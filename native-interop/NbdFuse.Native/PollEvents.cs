namespace NbdFuse.Native;

/// <summary>Event bits of poll(2).</summary>
[Flags]
public enum PollEvents : short
{
    /// <summary>Nothing: the call timed out.</summary>
    None = 0,

    /// <summary>POLLIN.</summary>
    In = 1,

    /// <summary>POLLPRI.</summary>
    Priority = 2,

    /// <summary>POLLOUT.</summary>
    Out = 4,

    /// <summary>POLLERR; always reported.</summary>
    Err = 8,

    /// <summary>POLLHUP; always reported.</summary>
    Hup = 0x10,

    /// <summary>POLLNVAL: the descriptor is not open.</summary>
    Invalid = 0x20,

    /// <summary>POLLRDHUP: the peer has shut down its sending side.</summary>
    RdHup = 0x2000,
}
