namespace NbdFuse.Cache;

/// <summary>Where a slot of a <see cref="GranuleStore"/> stands.</summary>
internal enum GranuleState : byte
{
    /// <summary>Holds nothing.</summary>
    Free = 0,

    /// <summary>Came in lately; has yet to show that it is worth more than what is there.</summary>
    Window = 1,

    /// <summary>Was let in; the next to leave when it is not used.</summary>
    Probation = 2,

    /// <summary>Was used again.</summary>
    Protected = 3,
}
