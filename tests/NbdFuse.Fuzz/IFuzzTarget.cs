namespace NbdFuse.Fuzz;

/// <summary>One door through which hostile bytes come in.</summary>
internal interface IFuzzTarget : IDisposable
{
    /// <summary>Name on the command line, and of its folder in the corpus.</summary>
    string Name { get; }

    /// <summary>Well-formed inputs made by the target itself, beside those of the corpus's folder.</summary>
    IEnumerable<byte[]> Seeds { get; }

    /// <summary>
    /// Feeds one input. Whatever the input, it comes back without an exception: errors that are due to it are expected and
    /// caught; anything else, a <see cref="FuzzFailureException"/> included, is a finding.
    /// </summary>
    /// <param name="input">The bytes.</param>
    void Run(byte[] input);
}
