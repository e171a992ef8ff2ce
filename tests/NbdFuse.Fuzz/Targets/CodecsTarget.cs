using NbdFuse.Protocol;

namespace NbdFuse.Fuzz.Targets;

/// <summary>Every codec of the protocol on the same bytes: it understands them or says no, and never throws.</summary>
internal sealed class CodecsTarget : IFuzzTarget
{
    public string Name => "codecs";

    public IEnumerable<byte[]> Seeds
    {
        get
        {
            byte[] status = new byte[NbdBlockStatusChunk.GetSize(2, extended: true)];
            NbdBlockStatusChunk.Write(status, 5, [new NbdBlockExtent(4096, 1), new NbdBlockExtent(1UL << 40, 3)], extended: true);
            yield return status;
            status = new byte[NbdBlockStatusChunk.GetSize(2, extended: false)];
            NbdBlockStatusChunk.Write(status, 5, [new NbdBlockExtent(4096, 1), new NbdBlockExtent(1U << 31, 3)], extended: false);
            yield return status;
            byte[] request = new byte[NbdRequestHeader.Size];
            NbdRequestHeader.Write(request, 0, NbdCommand.Read, 1, 4096, 512);
            yield return request;
            byte[] info = new byte[NbdInfoReply.TextSize("a name")];
            NbdInfoReply.WriteName(info, "a name");
            yield return info;
            byte[] sizes = new byte[NbdInfoReply.BlockSizeBytes];
            NbdInfoReply.WriteBlockSize(sizes, 512, 4096, 1 << 25);
            yield return sizes;
            byte[] context = new byte[NbdMetaContext.GetSize(NbdMetaContextNames.BaseAllocation)];
            NbdMetaContext.Write(context, 3, NbdMetaContextNames.BaseAllocation);
            yield return context;
            byte[] error = new byte[NbdErrorChunk.HeaderSize + 5];
            NbdErrorChunk.WriteError(error, 28, "hello"u8);
            yield return error;
            foreach (byte[] file in Corpus.Files("handshake").Concat(Corpus.Files("server")))
            {
                yield return file;
            }
        }
    }

    public void Run(byte[] input)
    {
        // From each of some places on: recorded conversations hold messages one after the other.
        for (int start = 0; start <= Math.Min(input.Length, 256); start++)
        {
            Read(input.AsSpan(start));
        }
    }

    public void Dispose()
    {
    }

    private static void Read(ReadOnlySpan<byte> data)
    {
        _ = NbdNewstyleGreeting.TryRead(data, out _);
        _ = NbdClientGreeting.TryRead(data, out _);
        _ = NbdOptionHeader.TryRead(data, out _);
        _ = NbdOptionReplyHeader.TryRead(data, out _);
        _ = NbdExportNameReply.TryRead(data, out _);
        _ = NbdListEntry.TryRead(data, out _);
        _ = NbdMetaContext.TryRead(data, out _);
        _ = NbdMetaContextQuery.TryRead(data, out _, out _);
        _ = NbdOptionData.TryReadGo(data, out _, out _);
        _ = NbdOptionData.TryReadExportName(data, out _);
        _ = NbdInfoReply.TryReadType(data, out _);
        _ = NbdInfoReply.TryReadExport(data, out _, out _);
        _ = NbdInfoReply.TryReadName(data, out _);
        _ = NbdInfoReply.TryReadDescription(data, out _);
        _ = NbdInfoReply.TryReadBlockSize(data, out _, out _, out _);
        _ = NbdRequestHeader.TryRead(data, out _);
        _ = NbdExtendedRequestHeader.TryRead(data, out _);
        _ = NbdSimpleReplyHeader.TryRead(data, out _);
        _ = NbdStructuredReplyHeader.TryRead(data, out _);
        _ = NbdExtendedReplyHeader.TryRead(data, out _);
        _ = NbdOffsetDataChunk.TryRead(data, out _);
        _ = NbdOffsetHoleChunk.TryRead(data, out _);
        foreach (NbdReplyType type in (NbdReplyType[])[NbdReplyType.Error, NbdReplyType.ErrorOffset, (NbdReplyType)0x8123])
        {
            _ = NbdErrorChunk.TryRead(type, data, out _);
        }

        ReadStatus(data, extended: false);
        ReadStatus(data, extended: true);
    }

    private static void ReadStatus(ReadOnlySpan<byte> data, bool extended)
    {
        if (!NbdBlockStatusChunk.TryRead(data, extended, out NbdBlockStatusChunk chunk))
        {
            return;
        }

        NbdBlockStatusCheck check = default;
        for (int i = 0; i < chunk.Count; i++)
        {
            _ = check.Add(chunk[i], 1 << 20, one: false, narrow: true);
        }
    }
}
