using NbdFuse.Protocol;

namespace NbdFuse.UnitTests.Protocol;

/// <summary>One frame of the wire, byte for byte, with the code that writes and reads it.</summary>
/// <param name="Name">Name in test output.</param>
/// <param name="Bytes">The frame.</param>
/// <param name="MagicBytes">How many bytes at its start are magic: none may be wrong.</param>
/// <param name="Write">Writes the frame into a span that may be longer.</param>
/// <param name="Reads">Whether the reader accepts the bytes and finds the values that the frame was written with.</param>
internal sealed record GoldenFrame(
    string Name, byte[] Bytes, int MagicBytes, GoldenFrame.Writer Write, GoldenFrame.Reader Reads)
{
    public delegate void Writer(Span<byte> destination);

    public delegate bool Reader(ReadOnlySpan<byte> source);

    /// <summary>Every codec of fixed size.</summary>
    public static IReadOnlyList<GoldenFrame> All { get; } =
    [
        new(
            "request",
            Hex("25609513 0001 0006 1122334455667788 00000000fffff000 00001000"),
            4,
            d => NbdRequestHeader.Write(
                d, NbdCommandFlags.Fua, NbdCommand.WriteZeroes, 0x1122334455667788, 0xfffff000, 4096),
            s => NbdRequestHeader.TryRead(s, out NbdRequestHeader h) && h == new NbdRequestHeader(
                NbdCommandFlags.Fua, NbdCommand.WriteZeroes, 0x1122334455667788, 0xfffff000, 4096)),
        new(
            "simple reply",
            Hex("67446698 00000016 8877665544332211"),
            4,
            d => NbdSimpleReplyHeader.Write(d, 22, 0x8877665544332211),
            s => NbdSimpleReplyHeader.TryRead(s, out NbdSimpleReplyHeader h)
                && h == new NbdSimpleReplyHeader(22, 0x8877665544332211)),
        new(
            "structured reply",
            Hex("668e33ef 0001 8002 0102030405060708 00000010"),
            4,
            d => NbdStructuredReplyHeader.Write(
                d, NbdReplyFlags.Done, NbdReplyType.ErrorOffset, 0x0102030405060708, 16),
            s => NbdStructuredReplyHeader.TryRead(s, out NbdStructuredReplyHeader h) && h.IsDone && h.IsError
                && h == new NbdStructuredReplyHeader(
                    NbdReplyFlags.Done, NbdReplyType.ErrorOffset, 0x0102030405060708, 16)),
        new(
            "option",
            Hex("49484156454f5054 00000007 0000000a"),
            8,
            d => NbdOptionHeader.Write(d, NbdOption.Go, 10),
            s => NbdOptionHeader.TryRead(s, out NbdOptionHeader h) && h == new NbdOptionHeader(NbdOption.Go, 10)),
        new(
            "option reply",
            Hex("0003e889045565a9 00000003 80000002 00000004"),
            8,
            d => NbdOptionReplyHeader.Write(d, NbdOption.List, NbdOptionReplyType.ErrPolicy, 4),
            s => NbdOptionReplyHeader.TryRead(s, out NbdOptionReplyHeader h) && h.IsError
                && h == new NbdOptionReplyHeader(NbdOption.List, NbdOptionReplyType.ErrPolicy, 4)),
        new(
            "greeting",
            Hex("4e42444d41474943 49484156454f5054 0003"),
            16,
            d => NbdNewstyleGreeting.Write(d, NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes),
            s => NbdNewstyleGreeting.TryRead(s, out NbdNewstyleGreeting g)
                && g.Flags == (NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes)),
        new(
            "client greeting",
            Hex("00000003"),
            0,
            d => NbdClientGreeting.Write(d, NbdClientFlags.FixedNewstyle | NbdClientFlags.NoZeroes),
            s => NbdClientGreeting.TryRead(s, out NbdClientGreeting g)
                && g.Flags == (NbdClientFlags.FixedNewstyle | NbdClientFlags.NoZeroes)),
        new(
            "export name reply",
            Hex("0000000000100000 0105"),
            0,
            d => NbdExportNameReply.Write(
                d,
                0x100000,
                NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.CanMultiConn,
                withZeroes: false),
            s => NbdExportNameReply.TryRead(s, out NbdExportNameReply r) && r.ExportSize == 0x100000
                && (ushort)r.Flags == 0x105),
        new(
            "export name reply with zeroes",
            [.. Hex("0000000000100000 0001"), .. new byte[124]],
            0,
            d => NbdExportNameReply.Write(d, 0x100000, NbdTransmissionFlags.HasFlags, withZeroes: true),
            s => s.Length >= NbdExportNameReply.SizeWithZeroes && NbdExportNameReply.TryRead(s, out _)),
        new(
            "offset data chunk",
            Hex("0000000123456789"),
            0,
            d => NbdOffsetDataChunk.Write(d, 0x123456789),
            s => NbdOffsetDataChunk.TryRead(s, out NbdOffsetDataChunk c) && c.Offset == 0x123456789),
        new(
            "offset hole chunk",
            Hex("0000000123456789 00010000"),
            0,
            d => NbdOffsetHoleChunk.Write(d, 0x123456789, 65536),
            s => NbdOffsetHoleChunk.TryRead(s, out NbdOffsetHoleChunk c)
                && c == new NbdOffsetHoleChunk(0x123456789, 65536)),
        new(
            "error chunk",
            Hex("00000005 0003 626164"),
            0,
            d => NbdErrorChunk.WriteError(d, 5, "bad"u8),
            s => NbdErrorChunk.TryRead(NbdReplyType.Error, s, out NbdErrorChunk c) && c.Error == 5
                && c.Message.SequenceEqual("bad"u8) && c.Offset is null),
        new(
            "error offset chunk",
            Hex("0000001c 0003 626164 0000000000002000"),
            0,
            d => NbdErrorChunk.WriteErrorOffset(d, 28, "bad"u8, 0x2000),
            s => NbdErrorChunk.TryRead(NbdReplyType.ErrorOffset, s, out NbdErrorChunk c) && c.Error == 28
                && c.Message.SequenceEqual("bad"u8) && c.Offset == 0x2000),
        new(
            "info export",
            Hex("0000 0000000040000000 0003"),
            2,
            d => NbdInfoReply.WriteExport(
                d, 1 << 30, NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.ReadOnly),
            s => NbdInfoReply.TryReadExport(s, out ulong size, out NbdTransmissionFlags flags) && size == 1 << 30
                && flags == (NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.ReadOnly)),
        new(
            "info block size",
            Hex("0003 00000200 00001000 02000000"),
            2,
            d => NbdInfoReply.WriteBlockSize(d, 512, 4096, 32 << 20),
            s => NbdInfoReply.TryReadBlockSize(s, out uint min, out uint preferred, out uint max)
                && (min, preferred, max) == (512u, 4096u, 32u << 20)),
        new(
            "go",
            Hex("00000003 61c3a4 0002 0003 0001"),
            0,
            d => NbdOptionData.WriteGo(d, "aä", [NbdInfoType.BlockSize, NbdInfoType.Name]),
            s => NbdOptionData.TryReadGo(s, out string name, out NbdInfoType[] infos) && name == "aä"
                && infos.AsSpan().SequenceEqual([NbdInfoType.BlockSize, NbdInfoType.Name])),
        new(
            "extended request",
            Hex("21e41c71 0020 0001 1122334455667788 00000000fffff000 0000000100000000"),
            4,
            d => NbdExtendedRequestHeader.Write(
                d, NbdCommandFlags.PayloadLen, NbdCommand.Write, 0x1122334455667788, 0xfffff000, 1UL << 32),
            s => NbdExtendedRequestHeader.TryRead(s, out NbdExtendedRequestHeader h) && h.HasPayload && h == new NbdExtendedRequestHeader(
                NbdCommandFlags.PayloadLen, NbdCommand.Write, 0x1122334455667788, 0xfffff000, 1UL << 32)),
        new(
            "extended reply",
            Hex("6e8a278c 0001 8001 0102030405060708 0000000000001000 0000000000000010"),
            4,
            d => NbdExtendedReplyHeader.Write(d, NbdReplyFlags.Done, NbdReplyType.Error, 0x0102030405060708, 4096, 16),
            s => NbdExtendedReplyHeader.TryRead(s, out NbdExtendedReplyHeader h) && h.IsDone && h.IsError
                && h == new NbdExtendedReplyHeader(NbdReplyFlags.Done, NbdReplyType.Error, 0x0102030405060708, 4096, 16)),
        new(
            "block status chunk",
            Hex("00000007 00001000 00000003 fffff000 00000000"),
            0,
            d => NbdBlockStatusChunk.Write(d, 7, [new(4096, 3), new(0xfffff000, 0)], extended: false),
            s => NbdBlockStatusChunk.TryRead(s, extended: false, out NbdBlockStatusChunk c) && c.ContextId == 7 && c.Count == 2
                && c[0] == new NbdBlockExtent(4096, 3) && c[1] == new NbdBlockExtent(0xfffff000, 0)),
        new(
            "extended block status chunk",
            Hex("00000007 00000002 0000000000001000 0000000000000003 0000000100000000 8000000000000001"),
            0,
            d => NbdBlockStatusChunk.Write(d, 7, [new(4096, 3), new(1UL << 32, 0x8000000000000001)], extended: true),
            s => NbdBlockStatusChunk.TryRead(s, extended: true, out NbdBlockStatusChunk c) && c.ContextId == 7 && c.Count == 2
                && c[0] == new NbdBlockExtent(4096, 3) && c[1] == new NbdBlockExtent(1UL << 32, 0x8000000000000001)),
        new(
            "metadata context query",
            Hex("00000003 61c3a4 00000002 00000005 626173653a 00000003 783a79"),
            0,
            d => NbdMetaContextQuery.Write(d, "aä", ["base:", "x:y"]),
            s => NbdMetaContextQuery.TryRead(s, out string name, out string[] queries) && name == "aä"
                && queries.AsSpan().SequenceEqual(["base:", "x:y"])),
        new(
            "metadata context without queries",
            Hex("00000000 00000000"),
            0,
            d => NbdMetaContextQuery.Write(d, string.Empty, []),
            s => NbdMetaContextQuery.TryRead(s, out string name, out string[] queries) && name.Length == 0 && queries.Length == 0),
    ];

    public static byte[] Hex(string text) => Convert.FromHexString(text.Replace(" ", string.Empty, StringComparison.Ordinal));
}
