using System.Runtime.InteropServices;

namespace NbdFuse.VmTests.Harness;

/// <summary>
/// The files of tests/NbdFuse.GuestTool as it was built beside the tests, and of the runtime that runs these tests: nothing
/// has to be published for it.
/// </summary>
internal static class GuestToolFiles
{
    /// <summary>The command in a guest.</summary>
    public const string Wrapper = "#!/bin/sh\nexport DOTNET_ROOT=/usr/lib/dotnet\nexec /usr/lib/dotnet/dotnet exec /usr/lib/guest-tool/" + Name + ".dll \"$@\"\n";

    private const string Name = "NbdFuse.GuestTool";

    // What debuggers, tracers and other collectors need: a quarter of the runtime.
    private static readonly string[] NotNeeded = ["libmscordac", "libmscordbi", "libclrgc", "libcoreclrtraceptprovider", "Microsoft.VisualBasic"];

    /// <summary>All files.</summary>
    /// <returns>Path below the guest's /usr, and path here.</returns>
    public static IEnumerable<(string Target, string Source)> Find()
    {
        string tool = AppContext.BaseDirectory.Replace("NbdFuse.VmTests", Name, StringComparison.Ordinal);
        foreach (string file in Directory.EnumerateFiles(tool).Where(static file => Path.GetExtension(file) is ".dll" or ".json"))
        {
            yield return ($"lib/guest-tool/{Path.GetFileName(file)}", file);
        }

        // ROOT/shared/Microsoft.NETCore.App/VERSION/
        string framework = RuntimeEnvironment.GetRuntimeDirectory().TrimEnd('/');
        string root = Path.GetFullPath(Path.Combine(framework, "../../.."));
        string version = Path.GetFileName(framework);
        yield return ("lib/dotnet/dotnet", Path.Combine(root, "dotnet"));
        yield return ($"lib/dotnet/host/fxr/{version}/libhostfxr.so", Path.Combine(root, "host", "fxr", version, "libhostfxr.so"));
        foreach (string file in Directory.EnumerateFiles(framework))
        {
            string name = Path.GetFileName(file);
            if (!NotNeeded.Any(prefix => name.StartsWith(prefix, StringComparison.Ordinal)))
            {
                yield return ($"lib/dotnet/shared/Microsoft.NETCore.App/{version}/{name}", file);
            }
        }
    }
}
