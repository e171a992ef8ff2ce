using NbdFuse.Client;
using NbdFuse.Client.Transmission;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

public sealed class ReconnectBackoffTests
{
    [Fact]
    public void First_attempt_comes_at_once_and_later_ones_ever_more_rarely_up_to_some_seconds()
    {
        var backoff = new ReconnectBackoff(0, hurry: true, new Random(1));
        Assert.Equal(TimeSpan.Zero, backoff.Next(0));
        Assert.InRange(backoff.Next(0).TotalMilliseconds, 75, 125);
        Assert.InRange(backoff.Next(0).TotalMilliseconds, 150, 250);
        for (int i = 0; i < 100; i++)
        {
            // The server's return is noticed within a second.
            Assert.InRange(backoff.Next(50_000).TotalMilliseconds, 1, 1000);
        }

        double[] late = [.. Enumerable.Range(0, 100).Select(_ => backoff.Next(100_000).TotalMilliseconds)];
        Assert.All(late, delay => Assert.InRange(delay, 3000, 5000));
        Assert.True(late.Distinct().Count() > 90, "there is no jitter");
    }

    [Fact]
    public void Server_that_fails_again_at_once_is_not_hurried_to()
    {
        var backoff = new ReconnectBackoff(0, hurry: false, new Random(1));
        Assert.InRange(backoff.Next(0).TotalMilliseconds, 75, 125);
    }

    [Fact]
    public void Attempts_that_time_out_get_more_time()
    {
        var backoff = new ReconnectBackoff(0, hurry: true, new Random(1));
        Assert.Equal(3, backoff.AttemptTimeout.TotalSeconds);
        backoff.NoteTimeout();
        Assert.Equal(6, backoff.AttemptTimeout.TotalSeconds);
        for (int i = 0; i < 100; i++)
        {
            backoff.NoteTimeout();
        }

        Assert.Equal(60, backoff.AttemptTimeout.TotalSeconds);
    }

    [Fact]
    public void Only_addresses_can_be_connected_to_again()
    {
        Assert.True(new TcpTarget("h", 1).CanReconnect);
        Assert.True(new UnixTarget("/s").CanReconnect);
        Assert.True(new VsockTarget(2, 1).CanReconnect);
        Assert.False(new DescriptorTarget(5).CanReconnect);
        Assert.False(new CommandTarget(["a"]).CanReconnect);
        Assert.False(new SocketActivationTarget(["a"]).CanReconnect);
    }

    public static TheoryData<string, ulong, NbdTransmissionFlags, uint> Others { get; } = new()
    {
        { "bytes", 1023, NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush, 512 },
        { "flags", 1024, NbdTransmissionFlags.HasFlags, 512 },
        { "read-only", 1024, NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.ReadOnly, 512 },
        { "block sizes", 1024, NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush, 4096 },
    };

    [Theory]
    [MemberData(nameof(Others))]
    public void Another_export_is_told_from_the_same_one(string named, ulong size, NbdTransmissionFlags flags, uint block)
    {
        NbdExportInfo before = new()
        {
            Name = string.Empty,
            Size = 1024,
            Flags = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush,
            BlockSizes = new NbdBlockSizes(512, 4096, 1 << 20),
        };
        NbdExportInfo now = before with { Size = size, Flags = flags, BlockSizes = new NbdBlockSizes(block, 4096, 1 << 20) };
        Assert.Contains(named, SameExport.Difference(before, now));
        Assert.Null(SameExport.Difference(before, before));
        Assert.Null(SameExport.Difference(before, before with { Size = 2048, Flags = before.Flags | NbdTransmissionFlags.SendTrim }));
    }
}
