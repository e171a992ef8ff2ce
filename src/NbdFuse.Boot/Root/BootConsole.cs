namespace NbdFuse.Boot;

/// <summary>Tells whoever looks at the machine what happens.</summary>
/// <param name="output">The console.</param>
/// <param name="isVerbose">Whether details are told.</param>
public sealed class BootConsole(TextWriter output, bool isVerbose)
{
    /// <summary>Tells something.</summary>
    /// <param name="line">One line.</param>
    public void Say(string line)
    {
        output.Write($"nbdfuse: {line}\n");
        output.Flush();
    }

    /// <summary>Tells a detail.</summary>
    /// <param name="line">One line.</param>
    public void Detail(string line)
    {
        if (isVerbose)
        {
            Say(line);
        }
    }
}
