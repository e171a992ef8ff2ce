namespace NbdFuse.TestKit;

/// <summary>A read of an <see cref="IConformanceTarget"/> failed.</summary>
public sealed class ConformanceErrorException(int errno, string operation) : Exception($"{operation} failed with errno {errno}.")
{
    /// <summary>The errno.</summary>
    public int Errno { get; } = errno;
}
