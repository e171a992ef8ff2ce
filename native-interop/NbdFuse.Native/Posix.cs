using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace NbdFuse.Native;

/// <summary>
/// System calls. Every result is 0 or more on success and a negative <see cref="Errno"/> on failure; nothing here throws for
/// an error of the system, and calls over spans do not allocate. EINTR is retried where a retry cannot change the meaning.
/// Spans must stay valid only for the duration of the call: managed ones are pinned by the call itself.
/// </summary>
public static unsafe partial class Posix
{
    /// <summary>Turns the C library's -1 into the negated errno. Must directly follow the call.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Result(int result) => result >= 0 ? result : -Marshal.GetLastSystemError();

    /// <inheritdoc cref="Result(int)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Result(nint result) => result >= 0 ? (int)result : -Marshal.GetLastSystemError();

    /// <summary>A NUL-terminated UTF-8 copy for the C library; control path only.</summary>
    private static byte[] CString(string text)
    {
        if (text.Contains('\0'))
        {
            throw new ArgumentException("The text contains a NUL character.", nameof(text));
        }

        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
        Encoding.UTF8.GetBytes(text, bytes);
        return bytes;
    }
}
