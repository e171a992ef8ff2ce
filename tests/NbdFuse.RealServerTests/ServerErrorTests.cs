using NbdFuse.Block;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>Errors that a server answers reach the caller as the right errno, and harm nothing else.</summary>
public sealed class ServerErrorTests
{
    [Theory]
    [InlineData("EPERM", BlockErrno.EPERM, true)]
    [InlineData("EIO", BlockErrno.EIO, true)]
    [InlineData("ENOMEM", BlockErrno.ENOMEM, false)]
    [InlineData("EINVAL", BlockErrno.EINVAL, true)]
    [InlineData("ENOSPC", BlockErrno.ENOSPC, false)]
    [InlineData("ENOSPC", BlockErrno.ENOSPC, true)]
    public async Task An_error_of_the_server_reaches_the_caller_and_leaves_the_connection_usable(string name, int errno, bool structured)
    {
        await using RealServer server = await RealServers.Nbdkit(
            [.. structured ? Array.Empty<string>() : ["--no-sr"], "--filter=error", "memory", "4M",
             $"error-pwrite={name}", "error-pwrite-rate=100%", $"error-zero={name}", "error-zero-rate=100%",
             $"error-trim={name}", "error-trim-rate=100%"]);
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        Assert.Equal(structured, stack.Export.Negotiated.StructuredReplies);

        Assert.Equal(errno, await stack.RunAsync(BlockOperation.Write, 0, 0, 4096));
        Assert.Equal(errno, await stack.RunAsync(BlockOperation.Write, BlockRequestFlags.Fua, 0, 1 << 20));
        Assert.Equal(errno, await stack.RunAsync(BlockOperation.WriteZeroes, 0, 0, 1 << 20));
        Assert.Equal(errno, await stack.RunAsync(BlockOperation.Trim, 0, 0, 1 << 20));

        await stack.VerifyAsync(0, new byte[1 << 20]);
        await stack.FlushAsync();
        Assert.False(stack.Export.Failure.IsCompleted);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_error_of_some_reads_never_spoils_the_data_of_the_others(bool structured)
    {
        await using RealServer server = await RealServers.Nbdkit(
            [.. structured ? Array.Empty<string>() : ["--no-sr"], "--filter=error", "pattern", "16M",
             "error-pread=EIO", "error-pread-rate=30%"]);
        await using ClientStack stack = await ClientStack.OpenAsync(server, 4);
        (long Offset, Task<byte[]> Read)[] reads =
            [.. Enumerable.Range(0, 200).Select(i => i * 65536L).Select(offset => (offset, stack.ReadAsync(offset, 32768 + (int)(offset / 64))))];
        int failed = 0;
        foreach ((long offset, Task<byte[]> read) in reads)
        {
            try
            {
                byte[] data = await read;
                PatternData.AssertEqual(NbdkitPattern.Create(offset, data.Length), data, offset);
            }
            catch (ConformanceErrorException error)
            {
                Assert.Equal(BlockErrno.EIO, error.Errno);
                failed++;
            }
        }

        // 200 reads of which 30 % fail: neither none nor all, but once in 10^30 runs.
        Assert.InRange(failed, 1, 199);
        Assert.False(stack.Export.Failure.IsCompleted);
    }

    [Fact]
    public async Task A_full_backing_store_is_told_as_no_space()
    {
        // The truncate filter refuses what does not fit under it.
        await using RealServer server = await RealServers.Nbdkit("--filter=truncate", "memory", "4M", "truncate=8M");
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        Assert.Equal(BlockErrno.ENOSPC, await stack.Target.WriteAsync(6 << 20, PatternData.Create(1, 0, 65536)));
        await stack.WriteAsync(0, PatternData.Create(1, 0, 65536));
        await stack.VerifyAsync(0, PatternData.Create(1, 0, 65536));
    }

    [Fact]
    public async Task A_failed_flush_is_told()
    {
        await using RealServer server = await RealServers.Nbdkit(
            "eval", "get_size=echo 4M", "pread=head -c $3 /dev/zero", "pwrite=cat >/dev/null", "can_write=exit 0",
            "can_flush=exit 0", "flush=echo EIO broken >&2; exit 1");
        await using ClientStack stack = await ClientStack.OpenAsync(server);
        Assert.Equal(0, await stack.Target.WriteAsync(0, new byte[4096]));
        Assert.Equal(BlockErrno.EIO, await stack.WithinAsync(stack.Target.FlushAsync(), "the flush"));
        Assert.Equal(BlockErrno.EIO, await stack.WithinAsync(stack.Target.WriteAsync(0, new byte[4096], fua: true), "the write"));
    }
}
