using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>Several servers with the same export.</summary>
public sealed class FailoverTests : IAsyncLifetime
{
    private const int Size = 1 << 20;
    private readonly VolatileServer _first = new(Size);
    private readonly VolatileServer _second = new(Size, 2);
    private readonly VolatileServer _third = new(Size, 3);

    public ValueTask InitializeAsync()
    {
        foreach (VolatileServer server in new[] { _first, _second, _third })
        {
            server.Replace(PatternData.Create(1, 0, Size));
        }

        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await _first.DisposeAsync();
        await _second.DisposeAsync();
        await _third.DisposeAsync();
    }

    [Fact]
    public async Task Reads_go_on_at_the_next_server_and_back()
    {
        _first.Start();
        _second.Start();
        await using RecoveryHarness harness = await OpenAsync(ReadOnly, _second);
        PatternData.AssertEqual(PatternData.Create(1, 0, 8192)[4096..], await harness.Driver.Read(4096, 4096));
        Assert.Equal(NameOf(_first), harness.Export.Server);
        await _first.CrashAsync();
        PatternData.AssertEqual(PatternData.Create(1, 0, 4096), await harness.Driver.Read(0, 4096));
        await harness.Reconnected();
        Assert.Equal(NameOf(_second), harness.Export.Server);
        await _second.CrashAsync();
        Task<byte[]> waiting = harness.Driver.Read(65536, 4096);
        await harness.Becomes(NbdExportState.Recovering);
        _first.Start();
        PatternData.AssertEqual(PatternData.Create(1, 0, Size)[65536..(65536 + 4096)], await waiting);
        await harness.Reconnected(2);
        Assert.Equal(NameOf(_first), harness.Export.Server);
    }

    [Fact]
    public async Task First_server_that_is_not_there_at_the_start_is_left_out()
    {
        _second.Start();
        await using RecoveryHarness harness = await OpenAsync(ReadOnly, _second);
        Assert.Equal(NameOf(_second), harness.Export.Server);
    }

    [Theory]
    [InlineData("content")]
    [InlineData("size")]
    [InlineData("flags")]
    public async Task Server_with_another_export_is_skipped(string difference)
    {
        _first.Start();
        await using RecoveryHarness harness = await OpenAsync(ReadOnly, _second, _third);
        await harness.Driver.Read(4096, 4096);
        Spoil(_second, difference);
        _second.Start();
        _third.Start();
        await _first.CrashAsync();
        PatternData.AssertEqual(PatternData.Create(1, 0, 4096), await harness.Driver.Read(0, 4096));
        await harness.Reconnected();
        Assert.Equal(NameOf(_third), harness.Export.Server);
        Assert.All(_second.Requests, request => Assert.Equal(NbdCommand.Read, request.Command));
    }

    [Fact]
    public async Task Wrong_server_is_waited_past_for_one_that_is_away()
    {
        _first.Start();
        await using RecoveryHarness harness = await OpenAsync(ReadOnly, _second);
        await harness.Driver.Read(4096, 4096);
        Spoil(_second, "content");
        _second.Start();
        await _first.CrashAsync();
        Task<byte[]> waiting = harness.Driver.Read(0, 4096);
        await Deadline.Until(() => _second.Requests.Count > 0, "the wrong one to be looked at");
        _first.Start();
        PatternData.AssertEqual(PatternData.Create(1, 0, 4096), await waiting);
        await harness.Reconnected();
        Assert.Equal(NameOf(_first), harness.Export.Server);
    }

    [Fact]
    public async Task Export_fails_when_no_server_has_the_right_one()
    {
        _first.Start();
        await using RecoveryHarness harness = await OpenAsync(ReadOnly, _second);
        await harness.Driver.Read(4096, 4096);
        await _first.CrashAsync();
        Spoil(_first, "flags");
        Spoil(_second, "content");
        _second.Start();
        _first.Start();
        string reason = await harness.Fails();
        Assert.Contains("no server has", reason, StringComparison.Ordinal);
        Assert.Contains("lacks the flags", reason, StringComparison.Ordinal);
        Assert.Contains("differs", reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Export_that_would_be_written_to_is_refused_unless_the_storage_is_shared()
    {
        _first.Start();
        NbdException error = await Assert.ThrowsAsync<NbdException>(() => OpenAsync(new NbdExportOptions { Connections = 1 }, _second));
        Assert.Contains("--failover=shared-storage", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(_first.Requests, request => request.Command == NbdCommand.Write);
    }

    [Fact]
    public async Task Shared_storage_gets_the_log_at_the_next_server()
    {
        _first.Start();
        await using RecoveryHarness harness = await OpenAsync(new NbdExportOptions { Connections = 1, SharedStorage = true }, _second);
        await harness.Driver.Write(0, 4096, 5);
        Assert.Equal(0, await harness.Driver.Run(BlockOperation.Flush));
        await harness.Driver.Write(8192, 4096, 6);
        await _first.CrashAsync();
        _second.Replace(_first.Durable());
        Task<int> waiting = harness.Driver.Run(BlockOperation.Flush);
        _second.Start();
        Assert.Equal(0, await waiting);
        PatternData.AssertEqual(PatternData.Create(5, 0, 4096), _second.Durable()[..4096]);
        PatternData.AssertEqual(PatternData.Create(6, 8192, 4096), _second.Durable()[8192..12288]);
        Assert.Equal(NameOf(_second), harness.Export.Server);
    }

    private static NbdExportOptions ReadOnly => new() { Connections = 1, ReadOnly = true };

    private static string NameOf(VolatileServer server) => new UnixTarget(server.SocketPath).ToString();

    private static void Spoil(VolatileServer server, string difference)
    {
        switch (difference)
        {
            case "content":
                server.Replace(PatternData.Create(9, 0, Size));
                break;
            case "size":
                server.Replace(new byte[2 * Size]);
                break;
            default:
                server.Export = server.Export with { Flags = server.Export.Flags & ~NbdTransmissionFlags.SendFlush };
                break;
        }
    }

    private Task<RecoveryHarness> OpenAsync(NbdExportOptions options, params VolatileServer[] also) => RecoveryHarness.OpenAsync(
        new UnixTarget(_first.SocketPath),
        options with { Also = [.. also.Select(server => new NbdAlternative(new UnixTarget(server.SocketPath), string.Empty, new NbdTlsOptions()))] });
}
