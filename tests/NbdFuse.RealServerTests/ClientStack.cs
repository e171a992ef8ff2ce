using Microsoft.Extensions.Logging.Abstractions;
using NbdFuse.Block;
using NbdFuse.Client;
using NbdFuse.Native;
using NbdFuse.Protocol;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>The whole client over a server, as a front end has it: loop, queue, checked layers, export.</summary>
internal sealed class ClientStack : IAsyncDisposable
{
    private const int Capacity = 256;
    private readonly EventLoop _loop;
    private readonly TaskCompletionSource _loopFailed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _isDisposed;

    private ClientStack(NbdExport export)
    {
        Export = export;
        var ready = new ReadyList();
        _loop = new EventLoop("test-loop", new EventLoopOptions { SpinMicroseconds = 0 });
        _loop.Failed += error => _loopFailed.TrySetException(error);
        Queue = new RequestQueue(
            DeviceStack.Build(export, ready, Capacity, checkContract: true), ready, new RequestQueueOptions { Capacity = Capacity });
        export.Start(_loop);
        _loop.Start();
        Target = new LoopConformanceTarget(_loop, Queue) { LargeTransfer = 4 << 20 };
    }

    public NbdExport Export { get; }

    public RequestQueue Queue { get; }

    public LoopConformanceTarget Target { get; }

    /// <summary>Commands that all connections have sent.</summary>
    public long Sent => Export.RequestsPerConnection.Sum();

    /// <summary>The loss of the server is an error at once.</summary>
    public static NbdExportOptions NoReconnect { get; } = new() { Connections = 1, ReconnectTimeout = TimeSpan.Zero };

    public static Task<ClientStack> OpenAsync(RealServer server, int connections = 1, bool readOnly = false, bool reconnect = true) =>
        OpenAsync(
            server.Uri, (reconnect ? new NbdExportOptions() : NoReconnect) with { Connections = connections, ReadOnly = readOnly });

    public static async Task<ClientStack> OpenAsync(string uri, NbdExportOptions? options = null) =>
        new(await ConnectAsync(uri, options));

    /// <summary>Opens the export alone: no loop runs.</summary>
    public static async Task<NbdExport> ConnectAsync(string uri, NbdExportOptions? options = null)
    {
        NbdUri parsed = NbdUri.Parse(uri);
        options = (options ?? new NbdExportOptions { Connections = 1 }) with { ExportName = parsed.ExportName };
        return await Deadline.Within(
            NbdExport.OpenAsync(NbdTarget.FromUri(parsed), options, NullLogger.Instance, TestContext.Current.CancellationToken),
            $"the handshake with {uri}");
    }

    /// <summary>Runs one request that <see cref="Target"/> has no method for.</summary>
    /// <returns>errno, 0 on success.</returns>
    public Task<int> RunAsync(BlockOperation operation, BlockRequestFlags flags, long offset, long length, byte[]? buffer = null) =>
        WithinAsync(SubmitAsync(operation, flags, offset, length, buffer).Ended, $"{operation} of {length} bytes at {offset}");

    /// <summary>Starts a request, and counts how often it ends.</summary>
    public CountedRequest SubmitAsync(
        BlockOperation operation, BlockRequestFlags flags, long offset, long length, byte[]? buffer = null)
    {
        bool hasPayload = operation is BlockOperation.Read or BlockOperation.Write;
        buffer ??= hasPayload ? GC.AllocateArray<byte>((int)length, pinned: true) : [];
        var counted = new CountedRequest(Queue, buffer);
        Assert.True(_loop.Post(() =>
        {
            Assert.True(Queue.TryRent(out BlockRequest? request), "the queue has no slot");
            request.Operation = operation;
            request.Flags = flags;
            request.Offset = offset;
            request.Length = length;
            request.Buffer = buffer;
            request.Owner = counted;
            Queue.Submit(request, _loop.NowMs);
        }));
        return counted;
    }

    /// <summary>Reads, with the deadline that turns a hang into a failure.</summary>
    public Task<byte[]> ReadAsync(long offset, int length) =>
        WithinAsync(Target.ReadAsync(offset, length), $"a read of {length} bytes at {offset}");

    /// <summary>Reads, and fails unless the data is what it should be.</summary>
    public async Task VerifyAsync(long offset, byte[] expected)
    {
        byte[] actual = await ReadAsync(offset, expected.Length);
        PatternData.AssertEqual(expected, actual, offset);
    }

    /// <summary>Reads, and fails unless that fails.</summary>
    /// <returns>The errno.</returns>
    public async Task<int> ReadErrorAsync(long offset, int length) =>
        (await Assert.ThrowsAsync<ConformanceErrorException>(() => ReadAsync(offset, length))).Errno;

    public async Task WriteAsync(long offset, byte[] data, bool fua = false) =>
        Assert.Equal(0, await WithinAsync(Target.WriteAsync(offset, data, fua), $"a write of {data.Length} bytes at {offset}"));

    public async Task FlushAsync() => Assert.Equal(0, await WithinAsync(Target.FlushAsync(), "a flush"));

    /// <summary>Waits for the reason for which the export has ended.</summary>
    public Task<NbdException> FailureAsync() => Deadline.Within(Export.Failure, "the export to notice");

    /// <summary>Runs the conformance list and reports all the cases that fail.</summary>
    public async Task ConformAsync(params string[] without)
    {
        List<string> failures = [];
        TheoryData<string> names = Target.IsReadOnly ? BlockConformance.ReadOnlyNames : BlockConformance.Names;
        string[] cases = [.. names.Select(row => row.Data).Except(without)];
        Assert.NotEmpty(cases);
        foreach (string name in cases)
        {
            try
            {
                await WithinAsync(BlockConformance.RunAsync(name, Target), name);
            }
            catch (Exception error)
            {
                failures.Add($"{name}: {error.Message}");
                if (_loopFailed.Task.IsFaulted || Export.Failure.IsCompleted)
                {
                    break;
                }
            }
        }

        Assert.True(failures.Count == 0, string.Join('\n', failures));
    }

    /// <summary>Waits, until the deadline or until the loop has died of an exception.</summary>
    public async Task<T> WithinAsync<T>(Task<T> task, string what)
    {
        await WithinAsync((Task)task, what);
        return await task;
    }

    /// <summary>Waits, until the deadline or until the loop has died of an exception.</summary>
    public async Task WithinAsync(Task task, string what)
    {
        await Deadline.Within(Task.WhenAny(task, _loopFailed.Task), what);
        if (!task.IsCompleted)
        {
            await _loopFailed.Task;
        }

        await task;
    }

    public async ValueTask DisposeAsync()
    {
        if (_isDisposed)
        {
            return;
        }

        _isDisposed = true;
        await Deadline.Within(Export.DisposeAsync().AsTask(), "the export to close");
        if (_loop.Failure is null)
        {
            Target.Dispose();
        }

        _loop.Dispose();
        if (_loop.Failure is Exception failure)
        {
            throw new InvalidOperationException("The loop died of an exception.", failure);
        }
    }
}
