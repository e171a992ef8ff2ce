using Microsoft.Extensions.Logging;
using NbdFuse.Block;
using NbdFuse.Block.Layers;
using NbdFuse.Cache;
using NbdFuse.Client;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>What stands between the stateless layers of an export and its queue, where it is of use: known zeroes, cache, recorder.</summary>
internal sealed class ExportLayers : IAsyncDisposable
{
    private readonly ExportCache? _cache;
    private readonly TraceWriter? _writer;

    private readonly ZeroRangeLayer? _zeroes;

    private ExportLayers(IBlockDevice device, ZeroRangeLayer? zeroes, ExportCache? cache, TraceWriter? writer)
    {
        _zeroes = zeroes;
        Device = device;
        _cache = cache;
        _writer = writer;
    }

    /// <summary>The uppermost layer, under the queue.</summary>
    public IBlockDevice Device { get; }

    /// <summary>The cache; null without one.</summary>
    public BlockCache? Cache => _cache?.Device;

    /// <summary>Puts them over a device.</summary>
    /// <param name="stack">All stateless layers.</param>
    /// <param name="export">What the server takes, which the layers hide.</param>
    /// <param name="ready">Ready list of the loop.</param>
    /// <param name="cacheBytes">Memory for content; 0 for none, null for the default.</param>
    /// <param name="readAheadBytes">Memory for reading ahead; 0 for none, null for the default.</param>
    /// <param name="traces">What is read by a trace, and recorded.</param>
    /// <param name="logger">The log.</param>
    /// <param name="knowsZeroes">The server tells what reads as zeroes, and nobody else changes that: it is not read over the network.</param>
    /// <exception cref="PosixException">There is no memory for it.</exception>
    public static ExportLayers Over(
        IBlockDevice stack, BlockDeviceInfo export, ReadyList ready, long? cacheBytes, long? readAheadBytes, ExportTraces traces, ILogger logger, bool knowsZeroes = false)
    {
        AccessTrace? prefetch = traces.Prefetch;
        if (prefetch is not null && prefetch.Size != stack.Info.Size)
        {
            TraceLog.OtherSize(logger, prefetch.Size, stack.Info.Size);
            prefetch = null;
        }
        else if (prefetch is not null)
        {
            TraceLog.Prefetching(logger, prefetch.Count, prefetch.Bytes);
        }

        ZeroRangeLayer? zeroes = knowsZeroes && stack.Info.CanBlockStatus ? new ZeroRangeLayer(stack, ready) : null;
        stack = zeroes ?? stack;
        ExportCache? cache = ExportCache.Over(
            stack, export, ready, cacheBytes, traces.AroundBytes > 0 ? traces.AroundBytes : readAheadBytes, prefetch, traces.AroundBytes > 0);
        IBlockDevice top = cache?.Device ?? stack;
        if (traces.RecordPath is null)
        {
            return new ExportLayers(top, zeroes, cache, null);
        }

        var recorder = new AccessRecorder(top);
        return new ExportLayers(recorder, zeroes, cache, new TraceWriter(recorder, traces.RecordPath, logger));
    }

    /// <summary>
    /// Forgets what was read before the server was lost, as it may come back with other content; once it is lost for good nothing
    /// is answered from memory any more: who reads gets errors, also for what was read before.
    /// </summary>
    /// <param name="export">The export under the layers; not started yet.</param>
    public void Follow(NbdExport export)
    {
        if (_zeroes is not null)
        {
            export.Rewritten += _zeroes.Forget;
        }

        export.StateChanged += change =>
        {
            switch (change.To)
            {
                case NbdExportState.Recovering:
                    _cache?.Device.Clear();
                    _zeroes?.Forget();
                    break;
                case NbdExportState.Failed:
                    _cache?.Device.Suspend();
                    _zeroes?.Suspend();
                    break;
            }
        };
    }

    /// <summary>Writes the rest of the trace and gives memory back. After the loop and all connections have ended.</summary>
    public async ValueTask DisposeAsync()
    {
        _cache?.Dispose();
        if (_writer is not null)
        {
            await _writer.DisposeAsync().ConfigureAwait(false);
        }
    }
}
