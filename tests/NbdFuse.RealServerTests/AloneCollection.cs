using Xunit;

namespace NbdFuse.RealServerTests;

/// <summary>Tests that count what the whole process holds: nothing else runs beside them.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public static class AloneCollection
{
    /// <summary>Its name.</summary>
    public const string Name = "alone";
}
