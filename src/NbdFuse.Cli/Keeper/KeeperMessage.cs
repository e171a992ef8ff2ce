namespace NbdFuse.Cli;

/// <summary>
/// First byte of a message between a keeper and its worker, over a SOCK_SEQPACKET socket. Keeper and worker may be of different
/// versions after an upgrade: numbers are never used anew, and unknown messages are ignored.
/// </summary>
internal enum KeeperMessage : byte
{
    /// <summary>
    /// Keeper to worker, the first message: begin. One byte of <see cref="ActivationFlags"/>, then the text of
    /// <see cref="Mounted"/>. Descriptors: the state of the mount; when there is a mount, /dev/fuse and its helper's socket, if any.
    /// </summary>
    Activate = 1,

    /// <summary>
    /// Keeper to worker: the predecessor can do no harm any more, and the kernel was asked to send again what it had taken, if it can.
    /// </summary>
    Go = 2,

    /// <summary>Keeper to worker: make room for a successor (<see cref="KeeperLink.HandOverCode"/>).</summary>
    HandOver = 3,

    /// <summary>Keeper to worker, after <see cref="Activate"/>: the write log of the predecessor. Descriptor: its memory.</summary>
    LeftLog = 4,

    /// <summary>Keeper to worker, after <see cref="LeftLog"/>: the buffers of the predecessor. Descriptor: their memory.</summary>
    LeftBuffers = 5,

    /// <summary>Worker to keeper: it is there, and takes signals.</summary>
    Hello = 16,

    /// <summary>
    /// Worker to keeper: a mount was made. Text: path, name of the file in it or nothing, "helper" or nothing, separated by NUL.
    /// Descriptors: /dev/fuse, and the socket of a helper, if any.
    /// </summary>
    Mounted = 17,

    /// <summary>Worker to keeper: one connection to the server. Descriptor: its socket.</summary>
    Connection = 18,

    /// <summary>Worker to keeper: requests are taken from now on.</summary>
    Serving = 19,

    /// <summary>Worker to keeper: the file can be used. Text: its path.</summary>
    Usable = 20,

    /// <summary>Worker to keeper: for systemd (sd_notify(3)). Text: the state.</summary>
    Notify = 21,

    /// <summary>Worker to keeper: it ends, and nobody shall follow it.</summary>
    Done = 22,

    /// <summary>Worker to keeper: it ends, nobody can follow it, and the mount has to be cut off.</summary>
    Failed = 23,

    /// <summary>Worker to keeper: it is about to die of a fault of its own.</summary>
    Crashed = 24,

    /// <summary>Worker to keeper: its write log, which the next worker must find. Descriptor: its memory.</summary>
    WriteLog = 25,

    /// <summary>Worker to keeper: why it fails. Text: for whoever has started the keeper.</summary>
    Explain = 26,

    /// <summary>Worker to keeper: it ends the mount, and whoever waits for it must fail. The keeper closes what it holds of it.</summary>
    LetGo = 27,

    /// <summary>
    /// Worker to keeper, before it takes a request: the buffers into which it takes requests (<see cref="Fuse.FuseSlotRecord"/>).
    /// Descriptor: their memory.
    /// </summary>
    Buffers = 28,

    /// <summary>Worker to keeper: a device was made that outlives it; the next worker needs nothing of it but its name.</summary>
    Outlives = 29,
}
