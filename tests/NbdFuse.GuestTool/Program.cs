using System.Diagnostics;
using NbdFuse.TestKit;

namespace NbdFuse.GuestTool;

/// <summary>
/// What tests run inside of a guest, where no test runner is: <c>conformance DEVICE</c> runs the list of block device
/// behaviour on a device node (its content is lost) and prints one line per case.
/// </summary>
internal static class Program
{
    private static async Task<int> Main(string[] args)
    {
        if (args is not ["conformance", string device, .. string[] names])
        {
            Console.Error.WriteLine("usage: NbdFuse.GuestTool conformance DEVICE [CASE...]");
            return 2;
        }

        using var target = new DeviceConformanceTarget(device);
        if (names.Length == 0)
        {
            names = [.. target.IsReadOnly ? BlockConformance.ReadOnlyCases : BlockConformance.WritingCases];
        }

        bool passed = true;
        foreach (string name in names)
        {
            long start = Stopwatch.GetTimestamp();
            string verdict = await RunAsync(name, target).ConfigureAwait(false);
            passed &= verdict.Length == 0;
            // "PASS|FAIL NAME MILLISECONDS MESSAGE"
            Console.WriteLine(
                $"{(verdict.Length == 0 ? "PASS" : "FAIL")} {name} {(long)Stopwatch.GetElapsedTime(start).TotalMilliseconds} {verdict}");
        }

        return passed ? 0 : 1;
    }

    private static async Task<string> RunAsync(string name, DeviceConformanceTarget target)
    {
        try
        {
            await BlockConformance.RunAsync(name, target).ConfigureAwait(false);
            return string.Empty;
        }
        catch (Exception error)
        {
            // Whatever it is, it is this case's verdict, on one line.
            return $"{error.GetType().Name}: {error.Message}".ReplaceLineEndings(" ");
        }
    }
}
