namespace NbdFuse.UnitTests.Cache;

/// <summary>A cache without content, for traces: tells whether a key was in it, and takes it in as its policy says.</summary>
internal interface ITracedPolicy
{
    bool Access(long key);
}
