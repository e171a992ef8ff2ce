namespace NbdFuse.Cli;

/// <summary>How much is logged.</summary>
internal enum LogVerbosity
{
    /// <summary>Warnings and errors; under systemd also what is worth a line in the journal.</summary>
    Normal,

    /// <summary>Everything but traces of single messages (-v).</summary>
    Verbose,

    /// <summary>Errors only (-q).</summary>
    Quiet,
}
