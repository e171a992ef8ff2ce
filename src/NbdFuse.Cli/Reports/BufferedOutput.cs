using System.Text;

namespace NbdFuse.Cli;

/// <summary>
/// Collects text, so that a map of a million lines is not a million writes. What is left leaves at the end, also when the
/// end is an error: all of it was true.
/// </summary>
/// <param name="inner">Where the text goes; it stays open.</param>
/// <param name="limit">Characters that are worth a write.</param>
internal sealed class BufferedOutput(TextWriter inner, int limit) : TextWriter
{
    private readonly StringBuilder _text = new();

    /// <inheritdoc/>
    public override Encoding Encoding => inner.Encoding;

    /// <inheritdoc/>
    public override void Write(char value) => Add(_text.Append(value));

    /// <inheritdoc/>
    public override void Write(string? value) => Add(_text.Append(value));

    /// <inheritdoc/>
    public override void Flush()
    {
        inner.Write(_text.ToString());
        inner.Flush();
        _text.Clear();
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            Flush();
        }

        base.Dispose(disposing);
    }

    private void Add(StringBuilder text)
    {
        if (text.Length >= limit)
        {
            Flush();
        }
    }
}
