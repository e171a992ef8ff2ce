using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;

namespace NbdFuse.Fuzz.Targets;

/// <summary>
/// A server that says the input to a client that asks for the map of an export and for its first bytes, whatever it is asked: the
/// replies of the single requests, in each of their forms. A map goes from one end of the export to the other.
/// </summary>
internal sealed class MapTarget : IFuzzTarget
{
    private const ulong ExportBytes = 1 << 20;
    private const uint Context = 5;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    public string Name => "map";

    public IEnumerable<byte[]> Seeds => [Conversation(extended: false), Conversation(extended: true)];

    public void Run(byte[] input)
    {
        PosixException.Check(
            Posix.SocketPair(SocketConstants.AF_UNIX, SocketConstants.SOCK_STREAM | SocketConstants.SOCK_NONBLOCK, out int client, out int server),
            "make a socket pair");
        using FileDescriptor ours = FileDescriptor.Own(client);
        using FileDescriptor theirs = FileDescriptor.Own(server);
        for (int sent = 0; sent < input.Length;)
        {
            sent += PosixException.Check(Posix.Send(server, input.AsSpan(sent)), "send the input");
        }

        Posix.Shutdown(server, SocketConstants.SHUT_WR);
        var options = new NbdHandshakeOptions
        {
            WantExtendedHeaders = true,
            MetaContexts = [NbdMetaContextNames.BaseAllocation],
            WantTexts = false,
            Timeout = Patience,
        };
        try
        {
            NbdNegotiated negotiated = NbdHandshake.NegotiateAsync(ours, options, NullLogger.Instance).GetAwaiter().GetResult();
            using var connection = new NbdQueryConnection(new NegotiatedSocket(ours, negotiated), Patience, CancellationToken.None);
            long end = 0;
            long size = new NbdMapReader(connection, NbdMetaContextNames.BaseAllocation, extent =>
            {
                if (extent.Offset != end || extent.Length <= 0)
                {
                    throw new FuzzFailureException($"{extent} follows on {end}");
                }

                end += extent.Length;
            }).Run();
            if (end > size)
            {
                throw new FuzzFailureException($"a map of {end} of {size} bytes");
            }

            _ = connection.ReadStart(1024);
        }
        catch (NbdConnectException error) when (error.Reason == NbdConnectFailure.HandshakeTimeout)
        {
            throw new FuzzFailureException("the client waits although the server has hung up", error);
        }
        catch (NbdException error)
        {
            FuzzFiles.RequireOneLine(error);
        }
    }

    public void Dispose()
    {
    }

    private static byte[] Conversation(bool extended)
    {
        var said = new MemoryStream();
        byte[] greeting = new byte[NbdNewstyleGreeting.Size];
        NbdNewstyleGreeting.Write(greeting, NbdHandshakeFlags.FixedNewstyle | NbdHandshakeFlags.NoZeroes);
        said.Write(greeting);
        Reply(said, NbdOption.ExtendedHeaders, extended ? NbdOptionReplyType.Ack : NbdOptionReplyType.ErrUnsup, []);
        if (!extended)
        {
            Reply(said, NbdOption.StructuredReply, NbdOptionReplyType.Ack, []);
        }

        byte[] context = new byte[NbdMetaContext.GetSize(NbdMetaContextNames.BaseAllocation)];
        NbdMetaContext.Write(context, Context, NbdMetaContextNames.BaseAllocation);
        Reply(said, NbdOption.SetMetaContext, NbdOptionReplyType.MetaContext, context);
        Reply(said, NbdOption.SetMetaContext, NbdOptionReplyType.Ack, []);
        byte[] export = new byte[NbdInfoReply.ExportBytes];
        NbdInfoReply.WriteExport(export, ExportBytes, NbdTransmissionFlags.HasFlags);
        Reply(said, NbdOption.Go, NbdOptionReplyType.Info, export);
        Reply(said, NbdOption.Go, NbdOptionReplyType.Ack, []);
        byte[] status = new byte[NbdBlockStatusChunk.GetSize(3, extended)];
        NbdBlockStatusChunk.Write(
            status, Context, [new NbdBlockExtent(65536, 0), new NbdBlockExtent(131072, 3), new NbdBlockExtent(ExportBytes - 65536 - 131072, 0)], extended);
        Chunk(said, extended, extended ? NbdReplyType.BlockStatusExt : NbdReplyType.BlockStatus, 1, 0, isDone: false, status);
        Chunk(said, extended, NbdReplyType.None, 1, 0, isDone: true, []);
        byte[] data = new byte[8 + 512];
        NbdOffsetDataChunk.Write(data, 0);
        Chunk(said, extended, NbdReplyType.OffsetData, 2, 0, isDone: false, data);
        byte[] hole = new byte[NbdOffsetHoleChunk.Size];
        NbdOffsetHoleChunk.Write(hole, 512, 512);
        Chunk(said, extended, NbdReplyType.OffsetHole, 2, 0, isDone: true, hole);
        return said.ToArray();
    }

    private static void Reply(MemoryStream said, NbdOption option, NbdOptionReplyType type, byte[] data)
    {
        byte[] header = new byte[NbdOptionReplyHeader.Size];
        NbdOptionReplyHeader.Write(header, option, type, (uint)data.Length);
        said.Write(header);
        said.Write(data);
    }

    private static void Chunk(MemoryStream said, bool extended, NbdReplyType type, ulong cookie, ulong offset, bool isDone, byte[] payload)
    {
        byte[] header = new byte[extended ? NbdExtendedReplyHeader.Size : NbdStructuredReplyHeader.Size];
        NbdReplyFlags flags = isDone ? NbdReplyFlags.Done : NbdReplyFlags.None;
        if (extended)
        {
            NbdExtendedReplyHeader.Write(header, flags, type, cookie, offset, (ulong)payload.Length);
        }
        else
        {
            NbdStructuredReplyHeader.Write(header, flags, type, cookie, (uint)payload.Length);
        }

        said.Write(header);
        said.Write(payload);
    }
}
