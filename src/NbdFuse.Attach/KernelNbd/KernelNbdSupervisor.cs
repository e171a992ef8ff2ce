using System.Globalization;
using NbdFuse.Protocol;

namespace NbdFuse.Attach.KernelNbd;

/// <summary>
/// Replaces the dead connections of a device of the kernel's nbd driver, whose requests wait meanwhile. It never reads or writes
/// the device, and knows nothing of its requests.
/// </summary>
/// <remarks>THREADING: <see cref="Run"/> blocks, on a thread of its own.</remarks>
/// <param name="world">What it sees and does.</param>
/// <param name="first">What the server said when the device was made.</param>
/// <param name="patience">
/// How long to try while no connection lives, in milliseconds; 0 for ever. The kernel fails the requests after the same time.
/// </param>
/// <param name="random">Numbers from 0 to 1 for the jitter.</param>
public sealed class KernelNbdSupervisor(IKernelNbdSupervision world, NbdExportInfo first, long patience, Func<double> random)
{
    /// <summary>The shortest pause between two attempts, in milliseconds.</summary>
    internal const int MinimumPauseMs = 100;

    /// <summary>The longest pause between two attempts, in milliseconds.</summary>
    internal const int MaximumPauseMs = 5000;

    // A connection that dies sooner counts as a failed attempt: a server that takes clients and drops them would be called
    // without a pause otherwise.
    private const int StableMs = 10_000;

    private int _failures;
    private long _lastSuccess = long.MinValue;

    /// <summary>Supervises until the end.</summary>
    /// <returns>Why it has ended.</returns>
    public KernelNbdSupervisionEnd Run()
    {
        while (true)
        {
            switch (world.WaitForLoss())
            {
                case KernelNbdLinkEvent.Stopped:
                    return KernelNbdSupervisionEnd.Stopped;
                case KernelNbdLinkEvent.Gone:
                    return KernelNbdSupervisionEnd.Gone;
                default:
                    if (Recover() is { } end)
                    {
                        return end;
                    }

                    break;
            }
        }
    }

    /// <returns>Null when the connections live again.</returns>
    private KernelNbdSupervisionEnd? Recover()
    {
        long began = world.Now;
        if (_lastSuccess == long.MinValue || began - _lastSuccess > StableMs)
        {
            _failures = 0;
        }

        string reason = "the server closed the connection";
        world.Report(false, reason);
        while (world.Dead > 0)
        {
            if (_failures > 0 && !world.Delay(Pause(_failures, random())))
            {
                return KernelNbdSupervisionEnd.Stopped;
            }

            if (!world.IsOurs)
            {
                return KernelNbdSupervisionEnd.Gone;
            }

            if (patience > 0 && world.Alive == 0 && world.Now - began >= patience)
            {
                return GiveUp(string.Create(CultureInfo.InvariantCulture, $"no server for {patience / 1000} s: {reason}"));
            }

            _failures++;
            try
            {
                bool isNewServer = world.Alive == 0;
                using KernelNbdOffer offer = world.Negotiate(world.Dead, sameServer: !isNewServer);
                if (KernelNbdGeometry.Mismatch(first, offer.Export) is { } mismatch)
                {
                    offer.Decline();
                    return GiveUp($"this is not the export that was attached: {mismatch}");
                }

                world.HandOver(offer);
                _lastSuccess = world.Now;
                if (isNewServer && offer.Export.Size > first.Size)
                {
                    // From here on a smaller one is another one. No connection leads to a server that knows only the old size.
                    first = first with { Size = offer.Export.Size };
                    world.Grow(offer.Export);
                }
            }
            catch (OperationCanceledException)
            {
                return KernelNbdSupervisionEnd.Stopped;
            }
            catch (Exception e) when (e is IOException or NbdException)
            {
                reason = e.Message;
                world.Report(false, reason);
            }
        }

        world.Report(true, null);
        return null;
    }

    private KernelNbdSupervisionEnd GiveUp(string reason)
    {
        world.FailClosed(reason);
        return KernelNbdSupervisionEnd.GivenUp;
    }

    /// <summary>How long to wait before an attempt.</summary>
    /// <param name="failures">Attempts in a row that have failed, from 1.</param>
    /// <param name="random">From 0 to 1.</param>
    /// <returns>Milliseconds: doubling, at most <see cref="MaximumPauseMs"/>, and randomly up to half of it less.</returns>
    internal static int Pause(int failures, double random)
    {
        long whole = Math.Min((long)MinimumPauseMs << Math.Clamp(failures - 1, 0, 16), MaximumPauseMs);
        return (int)(whole - (whole / 2 * Math.Clamp(random, 0, 1)));
    }
}
