using System.Runtime.CompilerServices;
using System.Runtime.Versioning;

[assembly: SupportedOSPlatform("linux")]

namespace NbdFuse.MountTests;

/// <summary>What this test process needs before the first test.</summary>
internal static class TestProcess
{
    // System calls on a mounted file block a thread of the pool, and the scripted servers of the same test need others: the
    // pool would add them one every half a second.
    private const int Threads = 32;

    [ModuleInitializer]
    internal static void Prepare() => ThreadPool.SetMinThreads(Threads, Threads);
}
