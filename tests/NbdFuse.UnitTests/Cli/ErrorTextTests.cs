using NbdFuse.Cli;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Cli;

public sealed class ErrorTextTests
{
    [Fact]
    public void The_journal_gets_a_level_in_front_of_every_line()
    {
        Assert.Equal("<3>nbdfuse: a\n<3>   at b\n", ErrorText.WithLevel("nbdfuse: a\n   at b\n", ErrorText.FatalLevel));
        Assert.Equal("nbdfuse: a\n", ErrorText.ForStandardError("nbdfuse: a\n", ErrorText.FatalLevel));
    }

    [Fact]
    public void An_expected_error_is_its_message_in_one_line()
    {
        Assert.Equal(
            "nbdfuse: the server is gone; start it\n",
            ErrorText.Describe(new NbdException("the server is gone;\n\tstart\u0007 it \n"), debug: false));
    }

    [Fact]
    public void The_cause_of_an_aggregate_is_shown()
    {
        Assert.Equal("nbdfuse: disk full\n", ErrorText.Describe(new AggregateException(new IOException("disk full")), debug: false));
    }

    [Fact]
    public void An_unexpected_error_says_that_it_is_a_fault_of_the_program()
    {
        string text = ErrorText.Describe(new InvalidOperationException("oops"), debug: false);

        Assert.StartsWith("nbdfuse: internal error: InvalidOperationException: oops; ", text, StringComparison.Ordinal);
        Assert.Contains("--debug", text, StringComparison.Ordinal);
        Assert.Equal(text.Length - 1, text.IndexOf('\n', StringComparison.Ordinal));
    }

    [Fact]
    public void Debug_adds_the_stack()
    {
        Exception error = Assert.Throws<NbdException>(Fail);

        string text = ErrorText.Describe(error, debug: true);

        Assert.StartsWith("nbdfuse: failed\n", text, StringComparison.Ordinal);
        Assert.Contains(nameof(Fail), text, StringComparison.Ordinal);
        Assert.DoesNotContain(nameof(Fail), ErrorText.Describe(error, debug: false), StringComparison.Ordinal);
    }

    [Fact]
    public void An_interrupted_attempt_is_no_internal_error()
    {
        Assert.Equal("nbdfuse: interrupted\n", ErrorText.Describe(new OperationCanceledException(), debug: false));
    }

    private static void Fail() => throw new NbdException("failed");
}
