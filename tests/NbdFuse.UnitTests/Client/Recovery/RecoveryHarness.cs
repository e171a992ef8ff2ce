using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Client;
using NbdFuse.TestKit;
using NbdFuse.UnitTests.Client.Transmission;
using Xunit;

namespace NbdFuse.UnitTests.Client.Recovery;

/// <summary>An export of a server that forgets, and what the export said of its state.</summary>
internal sealed class RecoveryHarness : IAsyncDisposable
{
    private readonly ConcurrentQueue<NbdExportStateChange> _changes = [];

    private RecoveryHarness(ExportDriver driver)
    {
        Driver = driver;
        driver.Export.StateChanged += _changes.Enqueue;
    }

    public ExportDriver Driver { get; }

    public NbdExport Export => Driver.Export;

    public NbdExportStateChange[] Changes => [.. _changes];

    public static Task<RecoveryHarness> OpenAsync(string socketPath, NbdExportOptions? options = null, ILogger? logger = null) =>
        OpenAsync(new UnixTarget(socketPath), options ?? new NbdExportOptions { Connections = 1 }, logger);

    public static async Task<RecoveryHarness> OpenAsync(NbdTarget target, NbdExportOptions options, ILogger? logger = null) =>
        new(new ExportDriver(await NbdExport.OpenAsync(target, options, logger ?? NullLogger.Instance)));

    /// <summary>Waits for a state.</summary>
    public Task Becomes(NbdExportState state) => Deadline.Until(() => Export.State == state, $"the export to be {state}");

    /// <summary>Waits until the server was found again so many times.</summary>
    public Task Reconnected(int times = 1) =>
        Deadline.Until(() => Export.Reconnects >= times && Export.State == NbdExportState.Ready, "the export to be ready again");

    /// <summary>Waits for the failure for good.</summary>
    /// <returns>The reason.</returns>
    public async Task<string> Fails() => (await Deadline.Within(Export.Failure, "the export to fail")).Message;

    public ValueTask DisposeAsync() => Driver.DisposeAsync();
}
