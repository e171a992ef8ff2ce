using Microsoft.Extensions.Logging;
using NbdFuse.Cache;

namespace NbdFuse.Cli;

/// <summary>Writes what a recorder has recorded, now and then and at the end: a process that is killed loses seconds of it.</summary>
/// <remarks>THREADING: a timer's threads, one at a time. The loop never waits for a file.</remarks>
internal sealed class TraceWriter : IAsyncDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(5);

    private readonly AccessRecorder _recorder;
    private readonly string _path;
    private readonly ILogger _logger;
    private readonly Timer _timer;
    private readonly Lock _gate = new();
    private int _written;
    private bool _hasFailed;

    /// <summary>Begins.</summary>
    /// <param name="recorder">What is recorded.</param>
    /// <param name="path">Where it goes.</param>
    /// <param name="logger">Hears when it cannot be written.</param>
    public TraceWriter(AccessRecorder recorder, string path, ILogger logger)
    {
        _recorder = recorder;
        _path = path;
        _logger = logger;
        _timer = new Timer(_ => WriteNews(), null, Period, Period);
    }

    /// <summary>Writes the rest. After the end of the loop.</summary>
    public async ValueTask DisposeAsync()
    {
        await _timer.DisposeAsync().ConfigureAwait(false);
        _recorder.Close();
        if (WriteNews() is { } trace)
        {
            TraceLog.Recorded(_logger, _path, trace.Count, trace.Bytes);
        }
    }

    private AccessTrace? WriteNews()
    {
        lock (_gate)
        {
            int recorded = _recorder.Recorded;
            if (recorded == _written)
            {
                return null;
            }

            try
            {
                AccessTrace trace = _recorder.Snapshot();
                trace.Write(_path);
                _written = recorded;
                return trace;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                if (!_hasFailed)
                {
                    TraceLog.RecordFailed(_logger, _path, ErrorText.OneLine(e.Message));
                }

                _hasFailed = true;
                return null;
            }
        }
    }
}
