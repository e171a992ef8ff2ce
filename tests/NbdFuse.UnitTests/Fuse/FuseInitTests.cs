using System.Runtime.InteropServices;
using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;
using Xunit;

namespace NbdFuse.UnitTests.Fuse;

public sealed class FuseInitTests
{
    [Fact]
    public void Init_of_a_new_kernel_is_answered_with_the_wanted_flags_only()
    {
        using FakeKernel kernel = new(initialise: false);
        (int error, byte[] body) = kernel.Answer(kernel.Init(7, 45, FakeKernel.AllOffered));
        Assert.Equal(0, error);
        Assert.Equal(64, body.Length);
        FuseInitOut init = MemoryMarshal.Read<FuseInitOut>(body);
        FuseInitFlags flags = (FuseInitFlags)(init.Flags | ((ulong)init.Flags2 << 32));
        FuseInitFlags expected =
            FuseInitFlags.AsyncRead | FuseInitFlags.BigWrites | FuseInitFlags.AsyncDirectIo | FuseInitFlags.ParallelDirectoryOps |
            FuseInitFlags.AbortError | FuseInitFlags.MaxPages | FuseInitFlags.ExplicitInvalidateData |
            FuseInitFlags.HandleKillprivV2 | FuseInitFlags.InitExtended | FuseInitFlags.DirectIoAllowMmap |
            FuseInitFlags.SpliceRead | FuseInitFlags.SpliceWrite | FuseInitFlags.SpliceMove | FuseInitFlags.HasResend;
        Assert.Equal(expected, flags);
        Assert.Equal((7u, 45u), (init.Major, init.Minor));
        Assert.Equal(1u << 20, init.MaxWrite);
        Assert.Equal((1 << 20) / Environment.SystemPageSize, init.MaxPages);
        Assert.Equal(131072u, init.MaxReadahead);
        Assert.True(init.MaxBackground >= 128);
        Assert.Equal(init.MaxBackground / 4 * 3, init.CongestionThreshold);
        Assert.Equal(1u, init.TimeGranularity);
    }

    [Theory]
    [InlineData(31u, 64)]
    [InlineData(35u, 64)]
    [InlineData(23u, 64)]
    [InlineData(22u, 24)]
    [InlineData(12u, 24)]
    public void Init_of_an_old_kernel_is_answered_in_its_layout_without_the_upper_flags(uint minor, int expected)
    {
        using FakeKernel kernel = new(initialise: false);
        (int error, byte[] body) = kernel.Answer(kernel.Init(7, minor, 0x3fffffff));
        Assert.Equal(0, error);
        Assert.Equal(expected, body.Length);
        byte[] whole = new byte[64];
        body.CopyTo(whole, 0);
        FuseInitOut init = MemoryMarshal.Read<FuseInitOut>(whole);
        Assert.Equal(minor, init.Minor);
        Assert.Equal(0u, init.Flags2);
        Assert.Equal(0u, init.Flags & ~0x3fffffffu);
        Assert.Equal(0u, init.Flags & (uint)(FuseInitFlags.WritebackCache | FuseInitFlags.AtomicTruncate));
        kernel.Barrier();
    }

    [Fact]
    public void Init_without_max_pages_keeps_writes_within_32_pages()
    {
        FuseInitFlags offered = FuseInitFlags.AsyncRead | FuseInitFlags.BigWrites;
        FuseNegotiation negotiation = FuseNegotiation.Negotiate(27, 65536, offered, new FuseMountOptions(), 256);
        Assert.Equal(offered, negotiation.Flags);
        Assert.Equal(Math.Min(1 << 20, 32 * Environment.SystemPageSize), negotiation.MaximumWrite);
        Assert.Equal(224, negotiation.MaximumBackground);
    }

    [Fact]
    public void Init_with_auto_cache_lets_the_kernel_watch_the_modification_time()
    {
        FuseNegotiation negotiation = FuseNegotiation.Negotiate(
            45, 65536, (FuseInitFlags)FakeKernel.AllOffered, new FuseMountOptions { AutoCache = true, MaximumReadAhead = 4096 }, 256);
        Assert.Equal(
            FuseInitFlags.AutoInvalidateData,
            negotiation.Flags & (FuseInitFlags.AutoInvalidateData | FuseInitFlags.ExplicitInvalidateData));
        Assert.Equal(4096u, negotiation.MaximumReadAhead);
    }

    [Fact]
    public async Task Init_of_a_kernel_that_is_too_old_ends_the_session()
    {
        using FakeKernel kernel = new(initialise: false);
        (int error, _) = kernel.Answer(kernel.Init(7, 8, 0));
        Assert.Equal(Errno.EPROTO, error);
        FuseSessionEnd end = await kernel.Session.Completion.WaitAsync(TimeSpan.FromMilliseconds(FakeKernel.TimeoutMs));
        Assert.Equal(FuseEndReason.Unsupported, end.Reason);
        Assert.Contains("7.8", end.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Init_of_a_newer_major_version_is_asked_to_come_again()
    {
        using FakeKernel kernel = new(initialise: false);
        (int error, byte[] body) = kernel.Answer(kernel.Init(8, 0, 0));
        Assert.Equal(0, error);
        Assert.Equal(7u, MemoryMarshal.Read<FuseInitOut>(body).Major);
        Assert.Null(kernel.Session.Negotiation);
        Assert.Equal(0, kernel.Answer(kernel.Init(7, 45, FakeKernel.AllOffered)).Error);
        kernel.Barrier();
    }

    [Fact]
    public void Request_before_init_is_refused()
    {
        using FakeKernel kernel = new(initialise: false);
        Assert.Equal(Errno.EIO, kernel.Ask(FuseOpcode.Getattr, new FuseGetattrIn()).Error);
    }
}
