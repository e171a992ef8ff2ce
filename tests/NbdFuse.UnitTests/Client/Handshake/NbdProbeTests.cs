using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Client.Transports;
using Xunit;

namespace NbdFuse.UnitTests.Client.Handshake;

public sealed class NbdProbeTests
{
    [Fact]
    public async Task An_export_of_nbdkit_is_described()
    {
        string nbdkit = Requires.Tool("nbdkit", "--version");
        NbdServerInfo info = await Deadline.Within(
            NbdProbe.InfoAsync(new CommandTarget([nbdkit, "-s", "memory", "3M"]), "any"), "the answer");
        Assert.Equal("newstyle-fixed", info.Protocol);
        Assert.True(info.StructuredReplies);
        Assert.False(info.Tls);
        NbdListedExport export = Assert.Single(info.Exports);
        Assert.Equal("any", export.Name);
        Assert.Equal(3ul << 20, export.Info?.Size);
        Assert.True(export.Info?.CanMultiConn);
    }

    [Fact]
    public async Task The_exports_of_nbdkit_are_listed_and_described()
    {
        string nbdkit = Requires.Tool("nbdkit", "--version");
        NbdServerInfo info = await Deadline.Within(
            NbdProbe.ListAsync(new SocketActivationTarget([nbdkit, "memory", "3M"])), "the answer");
        Assert.Equal(3ul << 20, Assert.Single(info.Exports).Info?.Size);
    }

    [Fact]
    public async Task An_oldstyle_nbdkit_is_recognised()
    {
        string nbdkit = Requires.Tool("nbdkit", "--version");
        NbdConnectException error = await Assert.ThrowsAsync<NbdConnectException>(() => Deadline.Within(
            NbdProbe.InfoAsync(new CommandTarget([nbdkit, "-s", "--oldstyle", "memory", "3M"]), string.Empty), "the answer"));
        Assert.Equal(NbdConnectFailure.OldstyleServer, error.Reason);
    }

    [Fact]
    public async Task The_exports_of_a_server_without_INFO_are_described_over_a_connection_each()
    {
        using var directory = new TempDirectory();
        using Listener listener = Listener.Unix(directory["s"]);
        Task server = Task.Factory.StartNew(
            () =>
            {
                using (var peer = ScriptedPeer.Over(listener.Accept()))
                {
                    peer.Begin();
                    peer.ExpectOption(NbdOption.List);
                    peer.Reply(NbdOption.List, NbdOptionReplyType.Server, Wire.ListEntry("good"));
                    peer.Reply(NbdOption.List, NbdOptionReplyType.Server, Wire.ListEntry("bad"));
                    peer.Ack(NbdOption.List);
                    peer.ExpectOption(NbdOption.Info);
                    peer.Refuse(NbdOption.Info, NbdOptionReplyType.ErrUnsup);
                    peer.ExpectAbort();
                }

                foreach (bool good in (bool[])[true, false])
                {
                    using var peer = ScriptedPeer.Over(listener.Accept());
                    peer.Begin(NbdOptionReplyType.ErrUnsup);
                    peer.ExpectOption(NbdOption.Info);
                    peer.Refuse(NbdOption.Info, NbdOptionReplyType.ErrUnsup);
                    peer.ExpectOption(NbdOption.Go);
                    peer.Refuse(NbdOption.Go, NbdOptionReplyType.ErrUnsup);
                    peer.ExpectOption(NbdOption.ExportName);
                    if (good)
                    {
                        peer.Send(Wire.ExportNameReply(1234, NbdTransmissionFlags.HasFlags, withZeroes: false));
                        peer.Read(NbdRequestHeader.Size);
                        peer.ExpectEnd();
                    }
                }
            },
            TaskCreationOptions.LongRunning);
        NbdServerInfo info = await Deadline.Within(NbdProbe.ListAsync(new UnixTarget(directory["s"])), "the answer");
        await Deadline.Within(server, "the script");
        Assert.Equal(["good", "bad"], info.Exports.Select(export => export.Name));
        Assert.Equal(1234ul, info.Exports[0].Info?.Size);
        Assert.Null(info.Exports[1].Info);
        Assert.Contains("no such export", info.Exports[1].InfoError, StringComparison.Ordinal);
    }
}
