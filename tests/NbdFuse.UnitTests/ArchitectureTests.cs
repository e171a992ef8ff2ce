using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Xunit;

namespace NbdFuse.UnitTests;

/// <summary>The shape of the source: who may depend on whom, how long a file may be, where unsafe code may be.</summary>
public sealed partial class ArchitectureTests
{
    private const int MaximumLines = 700;

    // Assembly, and the assemblies of ours that it may refer to. The command joins all.
    private static readonly Dictionary<string, string[]> Arrows = new()
    {
        ["NbdFuse.Protocol"] = [],
        ["NbdFuse.Block"] = [],
        ["NbdFuse.Native"] = [],
        ["NbdFuse.Cache"] = ["NbdFuse.Block"],
        ["NbdFuse.Client"] = ["NbdFuse.Protocol", "NbdFuse.Block", "NbdFuse.Native"],
        ["NbdFuse.Fuse"] = ["NbdFuse.Block", "NbdFuse.Native"],
        ["NbdFuse.Ublk"] = ["NbdFuse.Block", "NbdFuse.Native"],
        ["NbdFuse.Attach"] = ["NbdFuse.Native", "NbdFuse.Protocol"],
        ["NbdFuse.Boot"] = ["NbdFuse.Protocol", "NbdFuse.Native", "NbdFuse.Attach"],
        ["NbdFuse.Server"] = ["NbdFuse.Protocol", "NbdFuse.Block", "NbdFuse.Native"],
        ["nbdfuse"] =
        [
            "NbdFuse.Protocol", "NbdFuse.Block", "NbdFuse.Cache", "NbdFuse.Native", "NbdFuse.Client", "NbdFuse.Fuse", "NbdFuse.Attach",
            "NbdFuse.Ublk", "NbdFuse.Boot", "NbdFuse.Server",
        ],
    };

    // Assemblies from packages, and who may refer to them.
    private static readonly Dictionary<string, string[]> Packages = new()
    {
        ["Microsoft.Extensions.Logging.Abstractions"] = ["NbdFuse.Client", "NbdFuse.Fuse", "NbdFuse.Ublk", "NbdFuse.Boot", "NbdFuse.Server", "nbdfuse"],
        ["Microsoft.Extensions.Logging"] = ["nbdfuse"],
        ["Microsoft.Extensions.Logging.Console"] = ["nbdfuse"],
        ["Microsoft.Extensions.DependencyInjection.Abstractions"] = ["nbdfuse"],
        ["System.CommandLine"] = ["nbdfuse"],
        ["Mono.Posix.NETStandard"] = ["NbdFuse.Native"],
    };

    private static readonly string Root = FindRoot();

    public static TheoryData<string> Assemblies => [.. Arrows.Keys];

    [Theory]
    [MemberData(nameof(Assemblies))]
    public void An_assembly_refers_only_to_what_its_layer_may_use(string assembly)
    {
        List<string> wrong = [];
        foreach (string reference in References(assembly))
        {
            bool allowed = IsRuntime(reference)
                || Arrows[assembly].Contains(reference)
                || (Packages.TryGetValue(reference, out string[]? users) && users.Contains(assembly));
            if (!allowed)
            {
                wrong.Add(reference);
            }
        }

        Assert.True(wrong.Count == 0, $"{assembly} must not refer to {string.Join(", ", wrong)}");
    }

    [Fact]
    public void Every_project_of_the_source_stands_in_the_table()
    {
        IEnumerable<string> projects = Directory.EnumerateFiles(Path.Combine(Root, "src"), "*.csproj", SearchOption.AllDirectories)
            .Concat(Directory.EnumerateFiles(Path.Combine(Root, "native-interop"), "*.csproj", SearchOption.AllDirectories))
            .Select(path => Path.GetFileNameWithoutExtension(path) switch { "NbdFuse.Cli" => "nbdfuse", var name => name });

        Assert.Equal(Arrows.Keys.Order(StringComparer.Ordinal), projects.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Project_files_have_no_arrow_that_the_compiler_would_not_show()
    {
        // A reference that nothing uses does not reach the assembly, and is still an invitation.
        foreach ((string assembly, string[] allowed) in Arrows)
        {
            string name = assembly == "nbdfuse" ? "NbdFuse.Cli" : assembly;
            string folder = name == "NbdFuse.Native" ? "native-interop" : "src";
            string text = File.ReadAllText(Path.Combine(Root, folder, name, name + ".csproj"));
            Assert.All(
                ProjectReference().Matches(text).Select(match => match.Groups[1].Value),
                reference => Assert.Contains(reference, allowed));
        }
    }

    [Fact]
    public void No_file_is_longer_than_700_lines()
    {
        List<string> files = [.. SourceFiles()];
        Assert.NotEmpty(files);
        Assert.All(files, file => Assert.True(File.ReadLines(file).Count() <= MaximumLines, $"{file} has more than {MaximumLines} lines"));
    }

    [Fact]
    public void Unsafe_code_is_in_one_project_only()
    {
        string native = Path.Combine(Root, "native-interop") + Path.DirectorySeparatorChar;
        List<string> files = [.. SourceFiles().Where(file => !file.StartsWith(native, StringComparison.Ordinal))];
        Assert.NotEmpty(files);
        Assert.All(files, file => Assert.DoesNotMatch(UnsafeWord(), File.ReadAllText(file)));
        Assert.All(
            Directory.EnumerateFiles(Root, "*.csproj", SearchOption.AllDirectories).Where(file => !file.StartsWith(native, StringComparison.Ordinal)),
            file => Assert.DoesNotContain("AllowUnsafeBlocks", File.ReadAllText(file), StringComparison.Ordinal));
    }

    private static IEnumerable<string> SourceFiles() =>
        new[] { "src", "native-interop", "tests", "examples" }
            .Select(folder => Path.Combine(Root, folder))
            .Where(Directory.Exists)
            .SelectMany(folder => Directory.EnumerateFiles(folder, "*.cs", SearchOption.AllDirectories))
            .Where(file => !file.Contains("/obj/", StringComparison.Ordinal) && !file.Contains("/bin/", StringComparison.Ordinal));

    private static IEnumerable<string> References(string assembly)
    {
        using var file = new PEReader(File.OpenRead(Path.Combine(AppContext.BaseDirectory, assembly + ".dll")));
        MetadataReader metadata = file.GetMetadataReader();
        return [.. metadata.AssemblyReferences.Select(handle => metadata.GetString(metadata.GetAssemblyReference(handle).Name))];
    }

    // The framework's own assemblies; Microsoft.Extensions ones come from packages.
    private static bool IsRuntime(string reference) =>
        !Packages.ContainsKey(reference)
        && (reference.StartsWith("System.", StringComparison.Ordinal) || reference is "Microsoft.Win32.Primitives" or "netstandard");

    private static string FindRoot([CallerFilePath] string path = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "..", ".."));

    [GeneratedRegex("ProjectReference Include=\"[^\"]*/([^/\"]+)\\.csproj\"")]
    private static partial Regex ProjectReference();

    // "unsafe" as a modifier or block, not as a word in a comment or a string.
    [GeneratedRegex(@"^\s*(public|private|internal|protected|static|readonly|sealed|partial|ref|file)?.*\bunsafe\s+(\{|class|struct|static|partial|void|delegate|ref|readonly|fixed|int|byte)|^\s*unsafe\s*$", RegexOptions.Multiline)]
    private static partial Regex UnsafeWord();
}
