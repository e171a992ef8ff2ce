using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using NbdFuse.Native;
using Xunit;

namespace NbdFuse.UnitTests.Native;

public class NativeStructLayoutTests
{
    private static readonly Dictionary<string, Type> Types = typeof(Posix).Assembly.GetTypes()
        .Where(type => type.Namespace is not null && type.Namespace.StartsWith("NbdFuse.Native", StringComparison.Ordinal))
        .Where(type => !type.IsNested)
        .GroupBy(type => type.Name)
        .ToDictionary(group => group.Key, group => group.First());

    [Fact]
    public void NativeStructLayouts_match_the_kernel_headers()
    {
        List<string> wrong = [];
        List<string> absent = [];
        HashSet<string> seen = [];
        int checkedCount = 0;
        foreach (string line in Dump())
        {
            string[] words = line.Split(' ');
            if (words[0] == "fuse")
            {
                TestContext.Current.TestOutputHelper?.WriteLine($"headers: FUSE {words[1]}");
                continue;
            }

            seen.Add(words[1]);
            if (words[0] == "absent")
            {
                absent.Add(words[1]);
                continue;
            }

            checkedCount++;
            ulong expected = ulong.Parse(words[2], CultureInfo.InvariantCulture);
            ulong actual = words[0] switch
            {
                "size" => Size(words[1]),
                "offset" => Offset(words[1]),
                "const" => Constant(words[1]),
                _ => throw new InvalidDataException(line),
            };
            if (actual != expected)
            {
                wrong.Add($"{words[0]} {words[1]}: headers {expected}, ours {actual}");
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"checked {checkedCount}, absent: {string.Join(' ', absent)}");
        Assert.True(checkedCount > 500, $"only {checkedCount} facts were compared");
        Assert.Empty(wrong);

        // A structure that somebody adds must be added to the program as well.
        IEnumerable<string> unproved = Types.Values
            .Where(type => type is { IsValueType: true, IsEnum: false, IsByRefLike: false } && type.Namespace is "NbdFuse.Native.Fuse" or "NbdFuse.Native.Block" or "NbdFuse.Native.Netlink" or "NbdFuse.Native.IoUring" or "NbdFuse.Native.Ublk")
            .Where(type => type.GetCustomAttribute<InlineArrayAttribute>() is null && !seen.Contains(type.Name))
            .Select(type => type.Name);
        Assert.Empty(unproved);
    }

    private static string[] Dump()
    {
        string sources = Path.Combine(RepositoryRoot(), "native-interop", "abi");
        DirectoryInfo temporary = Directory.CreateTempSubdirectory("nbdfuse-abi-");
        try
        {
            string program = Path.Combine(temporary.FullName, "abi-dump");
            string[] arguments = ["-Wall", "-Werror", "-o", program, .. Directory.GetFiles(sources, "*.c")];
            string? compiler = new[] { "gcc", "cc", "clang" }.FirstOrDefault(IsInPath);
            if (compiler is null)
            {
                bool required = (Environment.GetEnvironmentVariable("NBDFUSE_REQUIRE") ?? string.Empty).Split(',').Contains("cc");
                Assert.False(required, "NBDFUSE_REQUIRE demands cc, and there is no C compiler");
                Assert.Skip("no C compiler: the layouts of the kernel's structures are NOT verified on this machine");
            }

            Run(compiler, arguments);
            return Run(program, []).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }
        finally
        {
            temporary.Delete(recursive: true);
        }
    }

    private static bool IsInPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(':').Any(folder => File.Exists(Path.Combine(folder, program)));

    private static string Run(string program, string[] arguments)
    {
        ProcessStartInfo start = new(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, $"{program}: {errors.Result}");
        return output;
    }

    private static string RepositoryRoot([CallerFilePath] string file = "")
    {
        string? folder = Path.GetDirectoryName(file);
        while (folder is not null && !File.Exists(Path.Combine(folder, "NbdFuse.sln")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new DirectoryNotFoundException("The repository was not found above the test's source.");
    }

    private static ulong Size(string name)
    {
        if (name == "EpollEvent")
        {
            return (ulong)Epoll.Stride;
        }

        return (ulong)(int)typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(Types[name]).Invoke(null, null)!;
    }

    private static ulong Offset(string name)
    {
        if (name == "EpollEvent.Data")
        {
            return (ulong)Epoll.DataOffset;
        }

        (FieldInfo field, Type type) = Field(name);
        return field.GetCustomAttribute<FieldOffsetAttribute>() is { } explicitOffset
            ? (ulong)explicitOffset.Value
            : (ulong)Marshal.OffsetOf(type, field.Name);
    }

    private static ulong Constant(string name)
    {
        (FieldInfo field, Type type) = Field(name);
        object value = field.GetRawConstantValue()!;
        if (type == typeof(OpenFlags))
        {
            // Declared in one notation, translated for the architecture.
            return (ulong)Posix.ToNativeOpenFlags((OpenFlags)(int)value);
        }

        return value is ulong big ? big : (ulong)Convert.ToInt64(value, CultureInfo.InvariantCulture);
    }

    private static (FieldInfo Field, Type Type) Field(string name)
    {
        string[] parts = name.Split('.');
        Type type = Types[parts[0]];
        FieldInfo? field = type.GetField(parts[1], BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance);
        return (field ?? throw new MissingFieldException(name), type);
    }
}
