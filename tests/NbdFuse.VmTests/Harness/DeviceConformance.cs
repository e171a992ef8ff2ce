using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.VmTests.Harness;

/// <summary>
/// The list of block device behaviour on a device in a guest: run as a whole by the first test that asks (the guest's
/// processor is slow), judged case by case.
/// </summary>
/// <param name="options">The guest; the tool that runs the list is added.</param>
/// <example>
/// <code>
/// public sealed class UblkConformanceTests(UblkConformanceTests.Device device) : IClassFixture&lt;UblkConformanceTests.Device&gt;
/// {
///     public static TheoryData&lt;string&gt; Cases => BlockConformance.Names;
///
///     [Theory]
///     [MemberData(nameof(Cases))]
///     public Task Ublk_device_behaves(string name) => device.AssertAsync(name);
///
///     [Fact]
///     public Task Ublk_device_detaches() => device.AssertDetachesAsync();
///
///     public sealed class Device() : DeviceConformance(new GuestOptions { Modules = ["ublk_drv"] })
///     {
///         protected override async Task&lt;string&gt; AttachAsync(Guest guest, string uri) =>
///             (await guest.RunAsync($"nbdfuse attach --driver ublk {uri}")).EnsureSuccess().Output.Trim();
///     }
/// }
/// </code>
/// </example>
public abstract class DeviceConformance(GuestOptions options) : GuestFixture(options with { HasGuestTool = true })
{
    // A few seconds when nothing else runs.
    private static readonly TimeSpan ListTimeout = TimeSpan.FromMinutes(3);

    private RealServer? _server;
    private Task<Run>? _run;

    /// <summary>What the server of the host serves.</summary>
    protected virtual RealServerOptions ServerOptions => new() { Transport = ServerTransport.Tcp, Size = 16 << 20 };

    /// <summary>Fails the test unless a case has passed.</summary>
    /// <param name="name">A name of <see cref="BlockConformance.Names"/> (or <see cref="BlockConformance.ReadOnlyNames"/>, if the export is read-only).</param>
    public async Task AssertAsync(string name)
    {
        Run run = await (_run ??= RunAsync()).ConfigureAwait(false);
        if (!run.Verdicts.TryGetValue(name, out string? verdict) || !verdict.StartsWith("PASS ", StringComparison.Ordinal))
        {
            Assert.Fail($"{verdict ?? $"The guest ran no case '{name}'."}\n--- logs in the guest\n{run.Logs}");
        }
    }

    /// <summary>Takes the device down after the list, and fails the test when the kernel has complained meanwhile.</summary>
    public async Task AssertDetachesAsync()
    {
        Run run = await (_run ??= RunAsync()).ConfigureAwait(false);
        Guest guest = await GuestAsync().ConfigureAwait(false);
        guest.AssertHealthy();
        await DetachAsync(guest, run.Device).ConfigureAwait(false);
        guest.AssertHealthy();
    }

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync().ConfigureAwait(false);
        if (_server is not null)
        {
            await _server.DisposeAsync().ConfigureAwait(false);
        }

        GC.SuppressFinalize(this);
    }

    /// <summary>Makes the device.</summary>
    /// <param name="guest">The guest.</param>
    /// <param name="uri">The export, as the guest reaches it.</param>
    /// <returns>Path of the device in the guest.</returns>
    protected abstract Task<string> AttachAsync(Guest guest, string uri);

    /// <summary>Takes the device down, after the list.</summary>
    /// <param name="guest">The guest.</param>
    /// <param name="device">What <see cref="AttachAsync"/> has returned.</param>
    protected virtual Task DetachAsync(Guest guest, string device) => Task.CompletedTask;

    private async Task<Run> RunAsync()
    {
        Guest guest = await GuestAsync().ConfigureAwait(false);
        if (_server is not null)
        {
            await _server.DisposeAsync().ConfigureAwait(false);
        }

        _server = await RealServers.NbdkitFile(ServerOptions).ConfigureAwait(false);
        string device = await AttachAsync(guest, Guest.UriOf(_server)).ConfigureAwait(false);
        GuestResult result = await guest.RunAsync($"guest-tool conformance {device}", ListTimeout).ConfigureAwait(false);
        var verdicts = new Dictionary<string, string>();
        foreach (string line in result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] words = line.Split(' ');
            if (words is ["PASS" or "FAIL", string name, ..])
            {
                verdicts[name] = line;
            }
        }

        GuestResult logs = await guest.RunAsync("tail -n 50 /run/*.log 2>/dev/null || true").ConfigureAwait(false);
        if (verdicts.Count == 0 || result.ExitCode is not 0 and not 1)
        {
            Assert.Fail($"The list did not run: {result}\n--- logs in the guest\n{logs.Output}\n--- the server\n{_server.Log}");
        }

        return new Run(device, verdicts, $"{logs.Output}\n--- the server\n{_server.Log}");
    }

    private sealed record Run(string Device, IReadOnlyDictionary<string, string> Verdicts, string Logs);
}
