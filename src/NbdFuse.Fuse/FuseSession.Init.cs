using System.Buffers.Binary;
using Microsoft.Extensions.Logging;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

public sealed partial class FuseSession
{
    private const int MajorVersion = 7;

    /// <summary>INIT up to 7.35 ends after the flags; the second half of the flags follows since 7.36.</summary>
    private const int ShortInit = 16;

    private bool Init(in FuseInHeader header, ReadOnlySpan<byte> body, int buffer)
    {
        if (body.Length < ShortInit)
        {
            return Malformed(header, buffer, body.Length);
        }

        uint major = BinaryPrimitives.ReadUInt32LittleEndian(body);
        uint minor = BinaryPrimitives.ReadUInt32LittleEndian(body[4..]);
        uint readAhead = BinaryPrimitives.ReadUInt32LittleEndian(body[8..]);
        uint flags = BinaryPrimitives.ReadUInt32LittleEndian(body[12..]);
        bool extended = ((FuseInitFlags)flags & FuseInitFlags.InitExtended) != 0 && body.Length >= ShortInit + 4;
        uint flags2 = extended ? BinaryPrimitives.ReadUInt32LittleEndian(body[ShortInit..]) : 0;

        if (major > MajorVersion)
        {
            // The kernel sends INIT again, in our version.
            return Succeed(header, buffer, new FuseInitOut { Major = MajorVersion, Minor = FuseNegotiation.NewestMinor });
        }

        if (major < MajorVersion || minor < FuseNegotiation.OldestMinor)
        {
            Fail(header, buffer, Errno.EPROTO);
            End(
                FuseEndReason.Unsupported,
                Errno.EPROTO,
                $"the kernel speaks FUSE {major}.{minor}; {MajorVersion}.{FuseNegotiation.OldestMinor} or newer is needed");
            return false;
        }

        FuseNegotiation negotiation = FuseNegotiation.Negotiate(
            (int)Math.Min(minor, int.MaxValue), readAhead, (FuseInitFlags)(((ulong)flags2 << 32) | flags), _options.Mount, _queue.Capacity);
        Volatile.Write(ref _negotiation, negotiation);

        // Before the answer: whoever is killed behind it must not leave a successor who waits for an INIT that never comes.
        _options.SavedState?.SaveNegotiation(negotiation);
        int length = negotiation.Write(out FuseInitOut reply);
        AnswerWith(buffer, header.Unique, reply, length);
        LogReady(_logger, negotiation.Minor, negotiation.Flags, negotiation.MaximumWrite, negotiation.MaximumBackground);
        _ready.TrySetResult();
        return false;
    }

    [LoggerMessage(
        Level = LogLevel.Debug,
        Message = "FUSE 7.{Minor}: flags {Flags}, writes up to {MaximumWrite} bytes, {Background} background requests")]
    private static partial void LogReady(ILogger logger, int minor, FuseInitFlags flags, int maximumWrite, int background);
}
