namespace NbdFuse.Fuzz.Targets;

/// <summary>In which form the server of a <see cref="SessionTarget"/> answers.</summary>
internal enum SessionForm
{
    /// <summary>Simple replies only.</summary>
    Simple,

    /// <summary>Structured replies, and block status.</summary>
    Structured,

    /// <summary>Extended headers, and block status.</summary>
    Extended,
}
