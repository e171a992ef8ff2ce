using NbdFuse.Cli;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Cli;

/// <summary>Reports, beside what nbdinfo 1.14 printed for the same exports (without contexts and content).</summary>
public sealed class ServerReportTests
{
    private const NbdTransmissionFlags Everything = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush
        | NbdTransmissionFlags.SendFua | NbdTransmissionFlags.SendTrim | NbdTransmissionFlags.SendWriteZeroes
        | NbdTransmissionFlags.SendDf | NbdTransmissionFlags.CanMultiConn | NbdTransmissionFlags.SendCache
        | NbdTransmissionFlags.SendFastZero;

    private static readonly NbdUri Uri = NbdUri.Parse("nbd+unix:///my%20exp?socket=/tmp/s");

    [Fact]
    public void One_export_looks_as_nbdinfo_shows_it()
    {
        Assert.Equal(
            """
            protocol: newstyle-fixed without TLS, using structured packets
            export="my exp":
            	description: desc of it
            	export-size: 1048576 (1M)
            	uri: nbd+unix:///my%20exp?socket=/tmp/s
            	is_rotational: false
            	is_read_only: true
            	can_cache: true
            	can_df: true
            	can_fast_zero: false
            	can_flush: true
            	can_fua: true
            	can_multi_conn: false
            	can_trim: false
            	can_zero: false
            	block_size_minimum: 1
            	block_size_preferred: 4096
            	block_size_maximum: 33554432

            """,
            QemuReport().ToText());
    }

    [Fact]
    public void One_export_as_JSON_has_the_keys_of_nbdinfo()
    {
        Assert.Equal(
            """
            {
              "protocol": "newstyle-fixed",
              "TLS": false,
              "structured": true,
              "exports": [
                {
                  "export-name": "my exp",
                  "description": "desc of it",
                  "uri": "nbd+unix:///my%20exp?socket=/tmp/s",
                  "is_rotational": false,
                  "is_read_only": true,
                  "can_cache": true,
                  "can_df": true,
                  "can_fast_zero": false,
                  "can_flush": true,
                  "can_fua": true,
                  "can_multi_conn": false,
                  "can_trim": false,
                  "can_zero": false,
                  "block_size_minimum": 1,
                  "block_size_preferred": 4096,
                  "block_size_maximum": 33554432,
                  "export-size": 1048576,
                  "export-size-str": "1M"
                }
              ]
            }

            """,
            QemuReport().ToJson());
    }

    [Fact]
    public void An_odd_size_has_no_human_form_and_a_missing_description_no_line()
    {
        var info = new NbdExportInfo { Name = string.Empty, Size = 1025, Flags = Everything };
        string text = new ServerReport("newstyle", false, false, [new ExportReport(string.Empty, null, "nbd://h/", info)]).ToText();

        Assert.StartsWith(
            "protocol: newstyle without TLS, using simple packets\nexport=\"\":\n\texport-size: 1025\n\turi: nbd://h/\n", text, StringComparison.Ordinal);
        Assert.EndsWith("\tcan_zero: true\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public void An_export_that_was_refused_is_listed_with_the_reason()
    {
        var report = new ServerReport("newstyle-fixed", false, true, [new ExportReport("a", null, "nbd://h/a", null, "forbidden")]);

        Assert.EndsWith("export=\"a\":\n\turi: nbd://h/a\n\terror: forbidden\n", report.ToText(), StringComparison.Ordinal);
        Assert.Contains("\"error\": \"forbidden\"", report.ToJson(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_hostile_name_cannot_leave_its_quotes_or_reach_the_terminal()
    {
        var report = new ServerReport("newstyle-fixed", false, true, [new ExportReport("a\"\n\u001b[2J\\", null, "nbd://h/", null, "x")]);

        string line = report.ToText().Split('\n')[1];
        Assert.StartsWith("export=\"a\\\"", line, StringComparison.Ordinal);
        Assert.EndsWith("\\\\\":", line, StringComparison.Ordinal);
        Assert.DoesNotContain('\u001b', line);
    }

    [Theory]
    [InlineData("nbd://host/old", "new/name", "nbd://host/new/name")]
    [InlineData("nbd://host:1", "a b\"", "nbd://host:1/a%20b%22")]
    [InlineData("nbd+unix:///?socket=/s", "", "nbd+unix:///?socket=/s")]
    [InlineData("nbd+unix:///x?socket=/s", "y", "nbd+unix:///y?socket=/s")]
    public void The_URI_of_a_listed_export_names_it(string uri, string export, string expected)
    {
        string result = ExportUri.For(NbdUri.Parse(uri), export);

        Assert.Equal(expected, result);
        Assert.Equal(export, NbdUri.Parse(result).ExportName);
    }

    [Fact]
    public void Every_question_of_is_and_can_has_an_answer()
    {
        var info = new NbdExportInfo { Name = string.Empty, Size = 1, Flags = Everything };

        Assert.All(
            ExportQuestions.CanWords, word => Assert.True(ExportQuestions.Answer(word, info, structured: true, tls: false, extended: true), word));
        Assert.All(
            ExportQuestions.IsWords, word => Assert.False(ExportQuestions.Answer(word, info, structured: true, tls: false, extended: true), word));
        Assert.False(ExportQuestions.Answer("structured-reply", info, structured: false, tls: false, extended: false));
        Assert.True(ExportQuestions.Answer("tls", info, structured: false, tls: true, extended: false));
    }

    private static ServerReport QemuReport() => new(
        "newstyle-fixed",
        false,
        true,
        [
            new ExportReport(
                "my exp",
                "desc of it",
                Uri.ToString(),
                new NbdExportInfo
                {
                    Name = "my exp",
                    Size = 1048576,
                    Flags = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.ReadOnly | NbdTransmissionFlags.SendFlush
                        | NbdTransmissionFlags.SendFua | NbdTransmissionFlags.SendDf | NbdTransmissionFlags.SendCache,
                    BlockSizes = new NbdBlockSizes(1, 4096, 33554432),
                }),
        ]);
}
