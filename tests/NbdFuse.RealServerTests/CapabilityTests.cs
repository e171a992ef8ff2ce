using NbdFuse.Block;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>Servers that lack commands: what is offered instead, and that nothing is sent that was not advertised.</summary>
public sealed class CapabilityTests
{
    private const string ReadPlugin = "pread=head -c $3 /dev/zero";

    [Fact]
    public async Task Without_fua_a_flush_follows_the_write()
    {
        using var log = new NbdkitLog();
        await using RealServer server = await RealServers.Nbdkit("--filter=log", "--filter=fua", "memory", "4M", log.Argument);
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        Assert.False(stack.Export.Info.CanFua);
        await stack.WriteAsync(0, PatternData.Create(1, 0, 4096), fua: true);
        Assert.DoesNotContain(log.Of("Write"), line => line.Contains("fua=1", StringComparison.Ordinal));
        string[] calls = log.Calls;
        int write = Array.FindIndex(calls, line => line.Contains(" Write ", StringComparison.Ordinal));
        int flush = Array.FindIndex(calls, line => line.Contains(" Flush ", StringComparison.Ordinal));
        Assert.True(write >= 0 && flush > write, string.Join('\n', calls));
    }

    [Fact]
    public async Task With_fua_the_flag_goes_to_the_server()
    {
        using var log = new NbdkitLog();
        await using RealServer server = await RealServers.Nbdkit("--filter=log", "memory", "4M", log.Argument);
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        await stack.WriteAsync(0, PatternData.Create(1, 0, 4096), fua: true);
        await stack.WriteAsync(4096, PatternData.Create(1, 0, 4096));
        Assert.Equal(0, await stack.RunAsync(BlockOperation.WriteZeroes, BlockRequestFlags.Fua, 0, 4096));
        string[] writes = log.Of("Write");
        Assert.Equal(2, writes.Length);
        Assert.Contains("fua=1", writes[0]);
        Assert.Contains("fua=0", writes[1]);
        Assert.Contains("fua=1", Assert.Single(log.Of("Zero")));
        Assert.Empty(log.Of("Flush"));
    }

    [Fact]
    public async Task Without_flush_nothing_is_sent_and_nothing_fails()
    {
        using var log = new NbdkitLog();
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=log", "eval", "get_size=echo 4M", ReadPlugin, "can_write=exit 0", "pwrite=cat >/dev/null", "can_flush=exit 3",
            "can_trim=exit 3", log.Argument);
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        Assert.False(stack.Export.Info.CanFlush);
        Assert.False(stack.Export.Info.CanFua);
        Assert.False(stack.Export.Info.CanTrim);
        await stack.WriteAsync(0, new byte[4096], fua: true);
        await stack.FlushAsync();
        Assert.Empty(log.Of("Flush"));
        Assert.Single(log.Of("Write"));
        Assert.False(stack.Queue.Info.CanTrim);
        Assert.Empty(log.Of("Trim"));
    }

    [Fact]
    public async Task Without_write_zeroes_a_hole_is_refused_and_zeroes_are_written()
    {
        using var log = new NbdkitLog();
        await using RealServer server = await RealServers.Nbdkit("--filter=log", "--filter=nozero", "memory", "8M", log.Argument);
        await using ClientStack stack = await ClientStack.OpenAsync(server, 4);
        Assert.False(stack.Export.Info.CanWriteZeroes);
        byte[] model = PatternData.Create(2, 0, 6 << 20);
        await stack.WriteAsync(0, model);
        Assert.Equal(BlockErrno.EOPNOTSUPP, await stack.RunAsync(BlockOperation.WriteZeroes, 0, 0, 1 << 20));
        await stack.VerifyAsync(0, model);

        Assert.Equal(0, await stack.RunAsync(
            BlockOperation.WriteZeroes, BlockRequestFlags.NoHole | BlockRequestFlags.FastZero | BlockRequestFlags.Fua, 777, 5 << 20));
        Array.Clear(model, 777, 5 << 20);
        await stack.VerifyAsync(0, model);
        Assert.Empty(log.Of("Zero"));
        await stack.ConformAsync(
            without: ["zeroes_read_back_as_zeroes", "zeroes_at_odd_offsets", "write_after_zeroes", "random_model"]);
        Assert.Empty(log.Of("Zero"));
    }

    [Theory]
    [InlineData(BlockRequestFlags.None, "trim=1")]
    [InlineData(BlockRequestFlags.NoHole, "trim=0")]
    public async Task A_hole_is_allowed_unless_it_is_forbidden(BlockRequestFlags flags, string expected)
    {
        using var log = new NbdkitLog();
        await using RealServer server = await RealServers.Nbdkit("--filter=log", "memory", "4M", log.Argument);
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        Assert.Equal(0, await stack.RunAsync(BlockOperation.WriteZeroes, flags, 0, 65536));
        string zero = Assert.Single(log.Of("Zero"));
        Assert.Contains(expected, zero);
        Assert.Contains("fast=0", zero);
    }

    [Fact]
    public async Task Fast_zero_that_the_server_declines_is_followed_by_the_slow_one()
    {
        using var log = new NbdkitLog();
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=log", "--filter=nozero", "memory", "4M", "zeromode=plugin", "fastzeromode=slow", log.Argument);
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        Assert.True(stack.Export.Info.CanFastZero);
        await stack.WriteAsync(0, PatternData.Create(3, 0, 1 << 20));
        Assert.Equal(0, await stack.RunAsync(BlockOperation.WriteZeroes, BlockRequestFlags.FastZero, 0, 1 << 20));
        await stack.VerifyAsync(0, new byte[1 << 20]);
        string[] zeroes = log.Of("Zero");
        Assert.Equal(2, zeroes.Length);
        Assert.Contains("fast=1", zeroes[0]);
        Assert.Contains("fast=0", zeroes[1]);
    }

    [Fact]
    public async Task Fast_zero_is_asked_for_only_where_the_server_has_it()
    {
        using var log = new NbdkitLog();
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=log", "--filter=nozero", "memory", "4M", "zeromode=plugin", "fastzeromode=none", log.Argument);
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        Assert.False(stack.Export.Info.CanFastZero);
        Assert.Equal(0, await stack.RunAsync(BlockOperation.WriteZeroes, BlockRequestFlags.FastZero, 0, 65536));
        Assert.Contains("fast=0", Assert.Single(log.Of("Zero")));
    }

    [Fact]
    public async Task Cache_is_sent_where_it_is_known()
    {
        using var log = new NbdkitLog();
        await using RealServer server = await RealServers.Nbdkit("--filter=log", "memory", "4M", log.Argument);
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        Assert.True(stack.Export.Info.CanCache);
        Assert.Equal(0, await stack.RunAsync(BlockOperation.Cache, 0, 1000, 1 << 20));
        Assert.NotEmpty(log.Of("Cache"));
    }

    [Fact]
    public async Task Cache_that_the_server_lacks_is_no_error_and_not_sent()
    {
        using var log = new NbdkitLog();
        await using RealServer server = await RealServers.Nbdkit(
            "--filter=log", "--filter=nocache", "memory", "4M", "cachemode=none", log.Argument);
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        Assert.False(stack.Export.Info.CanCache);
        Assert.Equal(0, await stack.RunAsync(BlockOperation.Cache, 0, 1000, 1 << 20));
        Assert.Empty(log.Of("Cache"));
    }

    [Theory]
    [InlineData(RealServerKind.QemuNbd)]
    [InlineData(RealServerKind.Embedded)]
    public async Task Every_command_with_every_flag_is_taken(RealServerKind kind)
    {
        await using RealServer server = await RealServers.StartAsync(kind);
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        await stack.WriteAsync(0, PatternData.Create(4, 0, 4 << 20), fua: true);
        BlockRequestFlags[] all =
        [
            0, BlockRequestFlags.NoHole, BlockRequestFlags.FastZero, BlockRequestFlags.Fua,
            BlockRequestFlags.NoHole | BlockRequestFlags.FastZero | BlockRequestFlags.Fua,
        ];
        for (int i = 0; i < all.Length; i++)
        {
            Assert.Equal(0, await stack.RunAsync(BlockOperation.WriteZeroes, all[i], i * 65536, 65536));
        }

        await stack.VerifyAsync(0, new byte[all.Length * 65536]);
        await stack.VerifyAsync(1 << 20, PatternData.Create(4, 1 << 20, 65536));
        Assert.Equal(0, await stack.RunAsync(BlockOperation.Trim, BlockRequestFlags.Fua, 2 << 20, 1 << 20));
        Assert.Equal(0, await stack.RunAsync(BlockOperation.Cache, 0, 0, 4 << 20));
        Assert.Equal(0, await stack.RunAsync(BlockOperation.Flush, 0, 0, 0));
    }
}
