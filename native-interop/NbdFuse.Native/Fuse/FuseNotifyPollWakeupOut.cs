using System.Runtime.InteropServices;

namespace NbdFuse.Native.Fuse;

/// <summary>struct fuse_notify_poll_wakeup_out, 8 bytes (linux/fuse.h). Notification: a polled handle is ready.</summary>
[StructLayout(LayoutKind.Explicit, Size = 8)]
public struct FuseNotifyPollWakeupOut
{
    /// <summary>From the POLL request.</summary>
    [FieldOffset(0)]
    public ulong PollHandle;
}
