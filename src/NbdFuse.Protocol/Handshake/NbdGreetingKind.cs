namespace NbdFuse.Protocol;

/// <summary>What the first bytes of a peer say.</summary>
public enum NbdGreetingKind
{
    /// <summary>Too few bytes to tell, and all of them fit.</summary>
    Incomplete,

    /// <summary>The peer does not speak NBD.</summary>
    NotNbd,

    /// <summary>An oldstyle server, without options: recognised to be refused with a clear message.</summary>
    Oldstyle,

    /// <summary>A newstyle server, fixed or not.</summary>
    Newstyle,
}
