namespace NbdFuse.Native;

/// <summary>
/// A system call of the control path failed. The data path never throws it: there errors are negative results.
/// </summary>
public sealed class PosixException : IOException
{
    /// <summary>Makes the message <c>what: Connection refused (ECONNREFUSED)</c>.</summary>
    /// <param name="what">What was attempted, and on what.</param>
    /// <param name="error">The error number, negated or not.</param>
    public PosixException(string what, int error)
        : base($"{what}: {NbdFuse.Native.Errno.Describe(error)}")
    {
        Errno = Math.Abs(error);
    }

    /// <summary>The positive error number.</summary>
    public int Errno { get; }

    /// <summary>Returns a successful result, throws for a negative one.</summary>
    /// <param name="result">A result of a <see cref="Posix"/> call.</param>
    /// <param name="what">What was attempted, and on what.</param>
    public static int Check(int result, string what) =>
        result >= 0 ? result : throw new PosixException(what, result);
}
