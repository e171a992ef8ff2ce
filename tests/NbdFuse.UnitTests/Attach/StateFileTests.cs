using System.Text;
using NbdFuse.Attach;
using NbdFuse.Attach.Control;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Attach;

/// <summary>State files and replies that are damaged, or of another version: found by fuzzing.</summary>
public sealed class StateFileTests
{
    [Fact]
    public void Texts_that_a_state_file_leaves_out_are_empty()
    {
        AttachState state = Assert.IsType<AttachState>(Read("""{"pid":7,"words":["a",null]}"""));
        Assert.Equal(7, state.Pid);
        Assert.Equal([string.Empty, string.Empty, string.Empty, string.Empty], [state.Device, state.Driver, state.Server, state.Export]);

        // Half of a command is none.
        Assert.Null(state.Words);
        Assert.Contains("stale", StatusReport.ToText([new AttachStatus { Attached = state, State = "stale" }]), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"device":null}""")]
    [InlineData("""{"device":7}""")]
    [InlineData("{")]
    [InlineData("")]
    public void State_file_that_makes_no_sense_is_none(string content) => Assert.Null(Read(content));

    [Theory]
    [InlineData("\"guarantees\":[null]")]
    [InlineData("\"guarantees\":[{}]")]
    [InlineData("\"operations\":[{\"requests\":1}]")]
    [InlineData("\"activity\":{}")]
    [InlineData("\"activity\":{\"queue\":{},\"server-operations\":[],\"connections\":[{}]}")]
    public void Status_with_holes_is_no_answer(string part)
    {
        Assert.NotNull(ControlClient.Read("""{"ok":true,"status":{"attached":{"device":"/dev/x"},"state":"online"}}"""u8));
        Assert.Null(ControlClient.Read(Encoding.UTF8.GetBytes("{\"ok\":true,\"status\":{\"attached\":{\"device\":\"/dev/x\"},\"state\":\"online\"," + part + "}}")));
    }

    private static AttachState? Read(string content)
    {
        using var directory = new TempDirectory();
        File.WriteAllText(directory["state.json"], content);
        return new AttachEntry(directory.Path).Read();
    }
}
