using NbdFuse.Client;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Transports;

public sealed class NbdTargetTests
{
    public static TheoryData<string, NbdTarget, string> Uris => new()
    {
        { "nbd://host", new TcpTarget("host", 10809), "host:10809" },
        { "nbd://[::1]:99/x", new TcpTarget("::1", 99), "[::1]:99" },
        { "nbd:///x", new TcpTarget("localhost", 10809), "localhost:10809" },
        { "nbd+unix:///x?socket=/run/s", new UnixTarget("/run/s"), "unix socket /run/s" },
        { "nbd+unix:///?socket=%00name", new UnixTarget("\0name"), "abstract unix socket @name" },
        { "nbd+vsock://7:88/x", new VsockTarget(7, 88), "vsock 7:88" },
        { "nbd+vsock:///x", new VsockTarget(2, 10809), "vsock 2:10809" },
    };

    [Theory]
    [MemberData(nameof(Uris))]
    public void A_URI_names_its_target(string uri, NbdTarget expected, string text)
    {
        NbdTarget target = NbdTarget.FromUri(NbdUri.Parse(uri));
        Assert.Equal(expected, target);
        Assert.Equal(text, target.ToString());
        Assert.True(target.CanOpenMore);
        Assert.True(target.CanMultiConn);
    }

    [Fact]
    public void Descriptors_and_commands_give_one_connection_and_activation_several_but_not_at_a_time()
    {
        Assert.False(new DescriptorTarget(3).CanOpenMore);
        Assert.False(new DescriptorTarget(3).CanMultiConn);
        Assert.False(new CommandTarget(["x"]).CanOpenMore);
        Assert.True(new SocketActivationTarget(["x"]).CanOpenMore);
        Assert.False(new SocketActivationTarget(["x"]).CanMultiConn);
    }

    [Fact]
    public void Control_characters_of_a_target_do_not_reach_the_terminal()
    {
        Assert.Equal("command \"a[2Jb c\"", new CommandTarget(["a\u001b[2Jb", "c"]).ToString());
        Assert.Equal("unix socket /x", new UnixTarget("/\u0007x").ToString());
    }
}
