using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

namespace NbdFuse.Cli;

/// <summary>Takes lines without ever making their writer wait, and writes them on a thread of its own.</summary>
internal sealed class AttachLogWriter : IDisposable
{
    private const int StackBytes = 256 * 1024;

    // A sink that hangs, such as a terminal that was stopped, must not keep the process from ending.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    // Lines, and marks to be told of (TaskCompletionSource). A collection of references: one of structs would not be precompiled.
    private readonly BlockingCollection<object> _queue;
    private readonly LogSink _sink;
    private readonly Thread _thread;
    private int _dropped;

    /// <summary>Starts the thread.</summary>
    /// <param name="sink">Where the bytes go; only the thread calls it. Its I/O errors lose lines, and nothing else.</param>
    /// <param name="length">Most lines that wait.</param>
    public AttachLogWriter(LogSink sink, int length)
    {
        _sink = sink;
        _queue = new BlockingCollection<object>(length);
        _thread = new Thread(Run, StackBytes) { IsBackground = true, Name = "nbdfuse-log" };
        _thread.Start();
    }

    /// <summary>Writes bytes somewhere.</summary>
    /// <param name="bytes">Whole lines.</param>
    public delegate void LogSink(ReadOnlySpan<byte> bytes);

    /// <summary>Takes a line, or drops it. Never waits.</summary>
    /// <param name="line">The line, with its line feed.</param>
    public void Write(string line)
    {
        if (_queue.IsAddingCompleted || !_queue.TryAdd(line))
        {
            Interlocked.Increment(ref _dropped);
        }
    }

    /// <summary>Waits until the lines so far are written, for two seconds at most.</summary>
    public void Flush()
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!_queue.IsAddingCompleted && _queue.TryAdd(reached, Patience))
        {
            reached.Task.Wait(Patience);
        }
    }

    /// <summary>Writes what waits, for two seconds at most.</summary>
    public void Dispose()
    {
        // The queue itself is left to the collector: a logger that outlives the log may still try it.
        _queue.CompleteAdding();
        _thread.Join(Patience);
    }

    private void Run()
    {
        foreach (object entry in _queue.GetConsumingEnumerable())
        {
            int dropped = Interlocked.Exchange(ref _dropped, 0);
            Write(dropped, entry as string);
            (entry as TaskCompletionSource)?.SetResult();
        }
    }

    private void Write(int dropped, string? line)
    {
        try
        {
            if (dropped > 0)
            {
                _sink(Encoding.UTF8.GetBytes(
                    string.Create(CultureInfo.InvariantCulture, $"{ErrorText.Program}: warning: {dropped} messages were dropped\n")));
            }

            if (line is not null)
            {
                _sink(Encoding.UTF8.GetBytes(line));
            }
        }
        catch (IOException)
        {
            // A full disk, a closed pipe: the log is not what the device is for.
            Interlocked.Add(ref _dropped, dropped + 1);
        }
    }
}
