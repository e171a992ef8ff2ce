using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Client.Handshake;
using NbdFuse.UnitTests.Client.Transports;
using Xunit;

namespace NbdFuse.UnitTests.Client.Queries;

/// <summary>A scripted server for queries: it has the context base:allocation under the number 7, and another under 8.</summary>
internal static class QueryPeer
{
    public const ulong Size = 1 << 20;

    /// <summary>Reads a map from a server that answers by the script.</summary>
    public static async Task<List<NbdMapExtent>> MapAsync(
        bool extended, Action<ScriptedPeer> script, ulong size = Size, bool two = false, NbdBlockSizes? sizes = null)
    {
        List<NbdMapExtent> map = [];
        await RunAsync(extended, script, size, two, sizes, target => NbdQuery.MapAsync(target, "disk", "base:allocation", map.Add));
        return map;
    }

    public static async Task<T> RunAsync<T>(
        bool extended, Action<ScriptedPeer> script, ulong size, bool two, NbdBlockSizes? sizes, Func<NbdTarget, Task<T>> query)
    {
        using var directory = new TempDirectory();
        using Listener listener = Listener.Unix(directory["s"]);
        Task server = Task.Factory.StartNew(
            () =>
            {
                using ScriptedPeer peer = ScriptedPeer.Over(listener.Accept());
                Begin(peer, extended, size, two, sizes);
                script(peer);
            },
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        Task<T> work = Deadline.Within(query(new UnixTarget(directory["s"])), "the query");
        await Task.WhenAny(work, server);
        if (server.IsFaulted)
        {
            await server;
        }

        T result = await work;
        await Deadline.Within(server, "the script");
        return result;
    }

    public static NbdExtendedRequestHeader ReadRequest(ScriptedPeer peer, bool extended)
    {
        NbdExtendedRequestHeader request;
        if (extended)
        {
            Assert.True(NbdExtendedRequestHeader.TryRead(peer.Read(NbdExtendedRequestHeader.Size), out request));
            return request;
        }

        Assert.True(NbdRequestHeader.TryRead(peer.Read(NbdRequestHeader.Size), out NbdRequestHeader compact));
        return new(compact.Flags, compact.Command, compact.Cookie, compact.Offset, compact.Length);
    }

    public static byte[] Chunk(
        NbdExtendedRequestHeader request, bool extended, NbdReplyType type, bool done, byte[] payload, ulong? length = null)
    {
        byte[] header = new byte[extended ? NbdExtendedReplyHeader.Size : NbdStructuredReplyHeader.Size];
        NbdReplyFlags flags = done ? NbdReplyFlags.Done : NbdReplyFlags.None;
        ulong bytes = length ?? (ulong)payload.Length;
        if (extended)
        {
            NbdExtendedReplyHeader.Write(header, flags, type, request.Cookie, request.Offset, bytes);
        }
        else
        {
            NbdStructuredReplyHeader.Write(header, flags, type, request.Cookie, (uint)bytes);
        }

        return [.. header, .. payload];
    }

    public static byte[] Extents(bool extended, uint context, params NbdBlockExtent[] extents)
    {
        byte[] payload = new byte[NbdBlockStatusChunk.GetSize(extents.Length, extended)];
        NbdBlockStatusChunk.Write(payload, context, extents, extended);
        return payload;
    }

    public static NbdReplyType StatusType(bool extended) => extended ? NbdReplyType.BlockStatusExt : NbdReplyType.BlockStatus;

    public static byte[] Status(NbdExtendedRequestHeader request, bool extended, params NbdBlockExtent[] extents) =>
        Chunk(request, extended, StatusType(extended), done: true, Extents(extended, 7, extents));

    public static void ExpectGoodbye(ScriptedPeer peer, bool extended)
    {
        Assert.Equal(NbdCommand.Disc, ReadRequest(peer, extended).Command);
        peer.ExpectEnd();
    }

    private static void Begin(ScriptedPeer peer, bool extended, ulong size, bool two, NbdBlockSizes? sizes)
    {
        peer.Greet();
        peer.ExpectOption(NbdOption.ExtendedHeaders);
        if (extended)
        {
            peer.Ack(NbdOption.ExtendedHeaders);
        }
        else
        {
            peer.Refuse(NbdOption.ExtendedHeaders, NbdOptionReplyType.ErrUnsup);
            peer.ExpectOption(NbdOption.StructuredReply);
            peer.Ack(NbdOption.StructuredReply);
        }

        (NbdOption option, _) = peer.ReadOption();
        if (option == NbdOption.SetMetaContext)
        {
            foreach ((uint id, string name) in new[] { (7u, "base:allocation"), (8u, "x:other") }[..(two ? 2 : 1)])
            {
                byte[] data = new byte[NbdMetaContext.GetSize(name)];
                NbdMetaContext.Write(data, id, name);
                peer.Reply(NbdOption.SetMetaContext, NbdOptionReplyType.MetaContext, data);
            }

            peer.Ack(NbdOption.SetMetaContext);
            peer.ExpectOption(NbdOption.Go);
        }

        peer.InfoExport(size: size);
        if (sizes is { } block)
        {
            peer.Info(NbdOption.Go, Wire.BlockSize(block.Minimum, block.Preferred, block.Maximum));
        }

        peer.Ack();
    }
}
