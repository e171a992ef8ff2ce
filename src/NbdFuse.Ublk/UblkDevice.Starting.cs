using NbdFuse.Native;
using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

public sealed partial class UblkDevice
{
    private async Task StartNewAsync(CancellationToken cancellation)
    {
        _info = _geometry.ToDeviceInfo(_options);
        UblkDeviceInfo info = _info;
        int result = await Blocking(() => _control.Add(ref info)).ConfigureAwait(false);
        if (result < 0)
        {
            throw UblkErrors.Command("cannot add a ublk device", _options.DeviceId, result);
        }

        _info = info;
        try
        {
            await StartAddedAsync(cancellation).ConfigureAwait(false);
        }
        catch
        {
            // Never leave half a device behind.
            await RemoveAsync().ConfigureAwait(false);
            throw;
        }

        LogStarted(_logger, Path, Size, Depth, PayloadBytes);
    }

    private async Task StartAddedAsync(CancellationToken cancellation)
    {
        if (_info.Depth != _geometry.Depth || _info.MaximumIo != _geometry.Limits.PayloadBytes || _info.Queues != 1)
        {
            throw new UblkException(
                $"{Path}: the kernel granted {_info.Queues} queues of {_info.Depth} requests of {_info.MaximumIo} bytes, which is not what was asked for");
        }

        int result = await Blocking(() => _control.SetParams(_info.DeviceId, _geometry.Params)).ConfigureAwait(false);
        ThrowIfRefused("cannot set its parameters", result);
        await OpenQueueAsync(cancellation).ConfigureAwait(false);

        // The kernel reads the partition table before this ends; the loop serves it meanwhile.
        result = await BlockWhileServedAsync(
            token => _control.Start(_info.DeviceId, Environment.ProcessId, token), failsRequests: true, cancellation)
            .ConfigureAwait(false);
        ThrowIfRefused("cannot start it", result);
        await ReadParamsAsync().ConfigureAwait(false);
        Watch();
    }

    /// <summary>Opens the server's end and has every tag fetched by the loop's thread.</summary>
    private async Task OpenQueueAsync(CancellationToken cancellation)
    {
        await ReadParamsAsync().ConfigureAwait(false);
        FileDescriptor character = await OpenCharacterAsync(cancellation).ConfigureAwait(false);
        bool legacy = _control.UsesLegacy;
        try
        {
            await _queue.StartAsync(() => UblkRing.Create(character, Depth, legacy)).ConfigureAwait(false);
        }
        catch (PosixException e) when (e.Message.Contains("set up io_uring", StringComparison.Ordinal))
        {
            throw UblkErrors.IoUring(e.Errno);
        }
        catch (PosixException e)
        {
            throw new UblkException($"{Path}: {e.Message}", e.Errno);
        }
    }

    // A node that was made just now may not be there yet, or not be ours yet, while udev is at it; and whoever served the device
    // before may still be busy dying.
    private async Task<FileDescriptor> OpenCharacterAsync(CancellationToken cancellation)
    {
        long deadline = MonotonicClock.Milliseconds + _options.RecoveryTimeoutMs;
        int delayMs = 5;
        while (true)
        {
            int fd = UblkNodes.OpenCharacter(
                _options.DeviceDirectory,
                _info.DeviceId,
                _params.DeviceNumbers.CharacterMajor,
                _params.DeviceNumbers.CharacterMinor);
            if (fd >= 0)
            {
                return FileDescriptor.Own(fd);
            }

            bool mayPass = fd is -Errno.EBUSY or -Errno.ENOENT or -Errno.EACCES;
            if (!mayPass || MonotonicClock.Milliseconds >= deadline)
            {
                string path = UblkNodes.Character(_options.DeviceDirectory, _info.DeviceId);
                throw new UblkException(
                    fd == -Errno.EBUSY
                        ? $"{path}: another process has it open; end that process first"
                        : $"{path}: {Errno.Describe(fd)}",
                    -fd);
            }

            await Task.Delay(delayMs, cancellation).ConfigureAwait(false);
            delayMs = Math.Min(delayMs * 2, 200);
        }
    }

    /// <summary>
    /// Runs a command that the kernel ends only when the queue is served. It is given up when that can't be; requests of a new
    /// device are then answered with errors, so that its partition scan does not wait for them.
    /// </summary>
    private async Task<int> BlockWhileServedAsync(
        Func<CancellationToken, int> command, bool failsRequests, CancellationToken cancellation)
    {
        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        CancellationToken token = giveUp.Token;
        using CancellationTokenRegistration fail = failsRequests ? token.Register(_queue.FailAll) : default;
        Task<int> running = Blocking(() => command(token));
        Task first = await Task.WhenAny(running, _queue.Fault, _queue.Closed, _loopFailed.Task).ConfigureAwait(false);
        if (first != running)
        {
            await giveUp.CancelAsync().ConfigureAwait(false);
        }

        int result = await running.ConfigureAwait(false);
        if (_queue.Fault.IsCompleted)
        {
            UblkEnd end = await _queue.Fault.ConfigureAwait(false);
            throw new UblkException($"{Path}: {end.Message}", end.Errno);
        }

        if (_loopFailed.Task.IsCompleted)
        {
            Exception failure = await _loopFailed.Task.ConfigureAwait(false);
            throw new UblkException($"{Path}: internal error: {failure.GetType().Name}: {failure.Message}", Errno.EIO);
        }

        cancellation.ThrowIfCancellationRequested();
        return result;
    }

    private async Task ReadParamsAsync()
    {
        UblkParams parameters = default;
        int result = await Blocking(() => _control.GetParams(_info.DeviceId, out parameters)).ConfigureAwait(false);
        ThrowIfRefused("cannot read its parameters", result);
        _params = parameters;
    }

    private void ThrowIfRefused(string what, int result)
    {
        if (result < 0)
        {
            throw UblkErrors.Command(what, Number, result);
        }
    }
}
