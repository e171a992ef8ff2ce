using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Xunit;

namespace NbdFuse.UnitTests;

/// <summary>docs/PROTOCOL-SUPPORT.md names tests that exist, for every rule.</summary>
public sealed partial class ProtocolSupportTests
{
    private const int Rules = 94;
    private const int UriRules = 23;

    // Rows may only leave this list: GO inside TLS and the versions of TLS, which no test of their own holds yet; RESIZE; ssh.
    private static readonly string[] NotBuilt = ["36", "37", "94", "U18"];

    private static readonly string Root = FindRoot();

    [Fact]
    public void Every_rule_has_its_row()
    {
        IEnumerable<string> expected = Enumerable.Range(1, Rules).Select(number => $"{number}")
            .Concat(Enumerable.Range(1, UriRules).Select(number => $"U{number}"));
        Assert.Equal(expected, Rows().Select(row => row.Number));
    }

    [Fact]
    public void Every_row_names_tests_that_exist_or_is_known_to_be_not_built()
    {
        Dictionary<string, HashSet<string>> tests = Tests();
        List<string> problems = [];
        foreach ((string number, string cell) in Rows())
        {
            string[] names = [.. Quoted().Matches(cell).Select(match => match.Groups[1].Value)];
            if (names.Length == 0)
            {
                problems.AddRange(cell.Trim() == "not built" && NotBuilt.Contains(number) ? [] : [$"row {number} names no test: {cell}"]);
            }

            foreach (string name in names)
            {
                string[] parts = name.Split('.', 2);
                bool exists = parts.Length == 2 && tests.TryGetValue(parts[0], out HashSet<string>? methods)
                    && (parts[1] == "*" ? methods.Count > 0 : methods.Contains(parts[1]));
                problems.AddRange(exists ? [] : [$"row {number} names {name}, which does not exist"]);
            }
        }

        Assert.True(problems.Count == 0, string.Join('\n', problems));
    }

    [Fact]
    public void A_rule_that_a_test_is_named_after_is_one_of_the_table()
    {
        // The number in a name is the row that it is about: it must be there.
        IEnumerable<int> numbers = Tests().Values.SelectMany(methods => methods)
            .Select(method => RuleNumber().Match(method))
            .Where(match => match.Success)
            .Select(match => int.Parse(match.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture));
        Assert.All(numbers, number => Assert.InRange(number, 1, Rules));
    }

    private static List<(string Number, string Cell)> Rows()
    {
        List<(string Number, string Cell)> rows = [];
        foreach (string line in File.ReadLines(Path.Combine(Root, "docs", "PROTOCOL-SUPPORT.md")))
        {
            string[] cells = line.Split('|');
            if (cells.Length == 5 && RowNumber().IsMatch(cells[1].Trim()))
            {
                rows.Add((cells[1].Trim(), cells[3]));
            }
        }

        return rows;
    }

    /// <summary>The test methods of each class of the test projects, by their source: the other projects are not referred to.</summary>
    private static Dictionary<string, HashSet<string>> Tests()
    {
        Dictionary<string, HashSet<string>> tests = [];
        string folder = Path.Combine(Root, "tests");
        foreach (string project in Directory.EnumerateDirectories(folder))
        {
            foreach (string path in Directory.EnumerateFiles(project, "*Tests.cs", SearchOption.AllDirectories))
            {
                string source = File.ReadAllText(path);
                foreach (Match match in ClassName().Matches(source))
                {
                    if (!tests.TryGetValue(match.Groups[1].Value, out HashSet<string>? methods))
                    {
                        tests[match.Groups[1].Value] = methods = [];
                    }

                    methods.UnionWith(TestMethod().Matches(source).Select(method => method.Groups[1].Value));
                }
            }
        }

        return tests;
    }

    private static string FindRoot([CallerFilePath] string path = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path)!, "..", ".."));

    [GeneratedRegex("^U?[0-9]+$")]
    private static partial Regex RowNumber();

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex Quoted();

    [GeneratedRegex(@"\bclass (\w+Tests)\b")]
    private static partial Regex ClassName();

    // A [Fact] or [Theory] with what stands between it and its method: further attributes.
    [GeneratedRegex(@"\[(?:Fact|Theory)[^\n]*\n(?:\s*\[[^\n]*\n|\s+[^\n]*\]\n)*\s*public (?:static )?(?:async )?(?:Task|void|ValueTask) (\w+)\(")]
    private static partial Regex TestMethod();

    [GeneratedRegex("^Rules?([0-9]+)_")]
    private static partial Regex RuleNumber();
}
