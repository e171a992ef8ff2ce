using System.Globalization;
using Microsoft.Extensions.Logging;
using NbdFuse.Block;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;

namespace NbdFuse.Ublk;

public sealed partial class UblkDevice
{
    /// <summary>
    /// Goes on with the device of a process that has died: whatever its users asked meanwhile, and what the dead process left
    /// unanswered, is served by this one. A device that cannot be recovered stays as it is.
    /// </summary>
    /// <remarks>
    /// What holds. The kernel keeps every request that was not answered and hands it out again; a WRITE may so be executed twice,
    /// with the same data. What the old process had answered is the export's: a FLUSH is sent, and must succeed, before the first
    /// request is let through, and after the kernel has seen the old process's descriptors closed. From then on a crash of the
    /// server loses nothing that was acknowledged before.
    /// What does not. The write log died with the process: if the server crashes as well before that FLUSH, acknowledged and
    /// unflushed writes are lost. And NBD has no fence: a request that still lies in the old connection when the server takes
    /// ours (it reads the rest of a closed socket sooner or later, over a network perhaps much later) can be executed after a newer write
    /// to the same blocks.
    /// </remarks>
    /// <param name="deviceId">Number of the device.</param>
    /// <param name="loop">Loop of the data plane; it runs.</param>
    /// <param name="queue">The queue before the layers.</param>
    /// <param name="export">What the export itself is and can do, below the layers.</param>
    /// <param name="options">Behaviour; sizes and depth are those of the device.</param>
    /// <param name="logger">Hears of what is rare.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The device.</returns>
    /// <exception cref="UblkException">It cannot be recovered; the message says why, and what to do.</exception>
    public static async Task<UblkDevice> RecoverAsync(
        int deviceId,
        EventLoop loop,
        RequestQueue queue,
        BlockDeviceInfo export,
        UblkOptions options,
        ILogger logger,
        CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(deviceId);
        UblkControl control = UblkControl.Open(options.DeviceDirectory);
        UblkDeviceInfo info = default;
        UblkParams parameters = default;
        UblkGeometry geometry;
        try
        {
            uint id = (uint)deviceId;
            int result = await Blocking(() => control.GetInfo(id, out info)).ConfigureAwait(false);
            result = result < 0 ? result : await Blocking(() => control.GetParams(id, out parameters)).ConfigureAwait(false);
            if (result < 0)
            {
                throw UblkErrors.Command("cannot be recovered", deviceId, result);
            }

            geometry = UblkRecovery.Check(info, parameters, export, queue.Capacity);
        }
        catch
        {
            control.Dispose();
            throw;
        }

        UblkDevice device = Make(loop, queue, geometry, control, options, logger);
        try
        {
            device._info = info;
            await device.TakeOverAsync(cancellation).ConfigureAwait(false);
            return device;
        }
        catch
        {
            await device.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Waits until the kernel lets a new server in.</summary>
    /// <param name="control">The control node.</param>
    /// <param name="id">Number of the device.</param>
    /// <param name="timeoutMs">Most milliseconds to wait.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <exception cref="UblkException">It does not.</exception>
    internal static async Task BeginRecoveryAsync(UblkControl control, uint id, int timeoutMs, CancellationToken cancellation)
    {
        long deadline = MonotonicClock.Milliseconds + timeoutMs;
        int delayMs = 5;
        while (true)
        {
            int result = await Blocking(() => control.StartRecovery(id)).ConfigureAwait(false);
            if (result >= 0)
            {
                return;
            }

            int seen = control.GetInfo(id, out UblkDeviceInfo info);
            if (result == -Errno.EINVAL && seen >= 0 && info.State == UblkState.Quiesced)
            {
                // An earlier attempt got this far and died before it had fetched all: the device is ready for us already.
                return;
            }

            if (result != -Errno.EBUSY || MonotonicClock.Milliseconds >= deadline)
            {
                throw result == -Errno.EBUSY && seen >= 0
                    ? new UblkException($"/dev/ublkb{id} cannot be recovered: {Holder(info)}", Errno.EBUSY)
                    : UblkErrors.Command("cannot be recovered", (int)id, result);
            }

            await Task.Delay(delayMs, cancellation).ConfigureAwait(false);
            delayMs = Math.Min(delayMs * 2, 200);
        }
    }

    private static string Holder(in UblkDeviceInfo info)
    {
        string pid = info.ServerPid.ToString(CultureInfo.InvariantCulture);
        return info.State == UblkState.Dead
            ? "it is not running; detach it and attach it again"
            : Directory.Exists($"/proc/{pid}")
                ? $"process {pid} still serves it; end that process first, if it hangs with 'kill -9 {pid}'"
                : "the kernel has not finished with the old process yet; try again";
    }

    private async Task TakeOverAsync(CancellationToken cancellation)
    {
        await BeginRecoveryAsync(_control, _info.DeviceId, _options.RecoveryTimeoutMs, cancellation).ConfigureAwait(false);
        await OpenQueueAsync(cancellation).ConfigureAwait(false);

        // Only now: the old process's descriptors are closed, so that nothing it still has to say comes after this.
        int flushed = await FlushAsync().WaitAsync(cancellation).ConfigureAwait(false);
        if (flushed != 0)
        {
            throw new UblkException(
                $"{Path} cannot be recovered: the export does not flush what the old process wrote: {Errno.Describe(flushed)}; "
                + "nothing was changed, try again when the server is well",
                flushed);
        }

        // Whatever goes wrong: no request is answered with an error, they wait for the next attempt.
        int result = await BlockWhileServedAsync(
            token => _control.EndRecovery(_info.DeviceId, Environment.ProcessId, token), failsRequests: false, cancellation)
            .ConfigureAwait(false);
        ThrowIfRefused("cannot be recovered", result);
        await ReadParamsAsync().ConfigureAwait(false);
        Watch();
        LogRecovered(_logger, Path);
    }
}
