using NbdFuse.Native;

namespace NbdFuse.Ublk;

public sealed partial class UblkDevice
{
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Removes the device: what is under way is answered, the server is told to flush when something was written, and the kernel
    /// forgets the device. Whoever still has it open gets errors, for dirty pages too: see to that first, from another process.
    /// </summary>
    /// <param name="force">
    /// Answers every request with EIO instead of waiting for the server. May be asked for while a stop without it waits.
    /// </param>
    /// <returns>Ends when the device is gone.</returns>
    /// <exception cref="UblkException">The last FLUSH failed, or the kernel would not let go.</exception>
    public Task StopAsync(bool force)
    {
        if (force)
        {
            Abort();
        }

        lock (_stopLock)
        {
            // One that failed before the device was gone may be tried again.
            return _stop is { IsFaulted: false } || (_stop is not null && _completion.Task.IsCompleted) ? _stop : _stop = StopCoreAsync();
        }
    }

    private async Task StopCoreAsync()
    {
        _isStopping = true;
        int stopped = await Blocking(() => _control.Stop(_info.DeviceId)).ConfigureAwait(false);
        if (stopped is < 0 and not -Errno.ENODEV)
        {
            throw UblkErrors.Command("cannot be stopped", Number, stopped);
        }

        _stopped.TrySetResult();
        await WaitClosedAsync().ConfigureAwait(false);
        int flushed = await LastFlushAsync().ConfigureAwait(false);
        int deleted = await Blocking(() => _control.Delete(_info.DeviceId)).ConfigureAwait(false);
        _completion.TrySetResult(new UblkEnd(UblkEndReason.Stopped, 0, "stopped"));
        ThrowIfRefused("cannot be deleted", deleted);
        if (flushed != 0)
        {
            throw new UblkException(
                $"{Path}: the last flush failed: {Errno.Describe(flushed)}; what was written since the last successful one may be lost",
                flushed);
        }
    }

    /// <summary>After a failed start: whatever there is of the device goes.</summary>
    private async Task RemoveAsync()
    {
        _isStopping = true;
        _queue.FailAll();
        int stopped = await Blocking(() => _control.Stop(_info.DeviceId)).ConfigureAwait(false);
        if (stopped is < 0 and not -Errno.ENODEV)
        {
            LogRemoveFailed(_logger, Path, Errno.Describe(stopped));
        }

        await WaitClosedAsync().ConfigureAwait(false);
        int deleted = await Blocking(() => _control.Delete(_info.DeviceId)).ConfigureAwait(false);
        if (deleted < 0)
        {
            LogRemoveFailed(_logger, Path, Errno.Describe(deleted));
        }
    }

    /// <summary>Waits until the loop has seen the end of every tag and closed its descriptors: until then nothing can be deleted.</summary>
    private async Task WaitClosedAsync()
    {
        TimeSpan patience = _queue.IsStarted ? CloseTimeout : TimeSpan.Zero;
        Task ended = await Task.WhenAny(_queue.Closed, _loopFailed.Task, Task.Delay(patience)).ConfigureAwait(false);
        if (ended == _queue.Closed)
        {
            return;
        }

        if (!_loopFailed.Task.IsCompleted)
        {
            try
            {
                // A start that failed half way has tags that were never fetched, and never end.
                await _queue.CloseAsync().ConfigureAwait(false);
                return;
            }
            catch (UblkException)
            {
                // The loop has just ended.
            }
        }

        _queue.CloseDead();
    }

    private async Task<int> LastFlushAsync()
    {
        if (!HasUnflushedWrites || _forced.Task.IsCompleted)
        {
            return 0;
        }

        if (_loopFailed.Task.IsCompleted)
        {
            return Errno.EIO;
        }

        try
        {
            Task<int> flush = FlushAsync();
            Task first = await Task.WhenAny(flush, _forced.Task, _loopFailed.Task).ConfigureAwait(false);
            return first == flush ? await flush.ConfigureAwait(false) : first == _forced.Task ? 0 : Errno.EIO;
        }
        catch (UblkException e)
        {
            return e.Errno == 0 ? Errno.EIO : e.Errno;
        }
    }
}
