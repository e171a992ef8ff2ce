using NbdFuse.VmTests.Harness;
using Xunit;

namespace NbdFuse.VmTests;

/// <summary>
/// No test, but a guest for people: runs each line of stdin in one guest and shows what comes back. Starts only when it is
/// asked for, see CONTRIBUTING.md.
/// </summary>
public sealed class ByHand
{
    [Fact(Explicit = true)]
    public async Task Run_each_line_of_stdin_in_a_guest()
    {
        await using Guest guest = await Guest.StartAsync(new GuestOptions
        {
            MemoryMiB = int.Parse(Variable("MEMORY", "512"), System.Globalization.CultureInfo.InvariantCulture),
            Modules = Words("MODULES", "nbd,ublk_drv", ','),
            AvailableModules = Words("AVAILABLE", string.Empty, ','),
            Programs = Words("PROGRAMS", "losetup,mkfs.ext4,e2fsck,nbd-client,blkdiscard", ','),
            HasGuestTool = Variable("TOOL", string.Empty).Length > 0,
            KernelArguments = Variable("KERNEL", string.Empty),
        });
        Console.Error.WriteLine($"The guest is up after {guest.BootTime.TotalSeconds:0.0} s. This machine is 10.0.2.2 in there.");
        while (Console.In.ReadLine() is string line)
        {
            try
            {
                GuestResult result = await guest.RunAsync(line, TimeSpan.FromMinutes(10));
                Console.Out.Write(result.Output);
                Console.Error.Write(result.Error);
                if (result.ExitCode != 0)
                {
                    Console.Error.WriteLine($"exit code {result.ExitCode}");
                }
            }
            catch (GuestException error)
            {
                Console.Error.WriteLine(error.Message);
            }
        }

        foreach (KernelProblem problem in guest.Problems)
        {
            Console.Error.WriteLine($"{problem.Kind}: {problem.Line}");
        }
    }

    private static string Variable(string name, string fallback) => Environment.GetEnvironmentVariable($"NBDFUSE_VM_{name}") ?? fallback;

    private static string[] Words(string name, string fallback, char separator) =>
        Variable(name, fallback).Split(separator, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
}
