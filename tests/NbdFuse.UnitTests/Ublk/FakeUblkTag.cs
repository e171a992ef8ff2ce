namespace NbdFuse.UnitTests.Ublk;

/// <summary>What the kernel knows of a tag.</summary>
internal sealed class FakeUblkTag
{
    /// <summary>The server waits for a request.</summary>
    public bool IsFetched { get; set; }

    /// <summary>Buffer of the server.</summary>
    public nint Address { get; set; }

    /// <summary>The request that the server has been given.</summary>
    public FakeUblkCall? Call { get; set; }
}
