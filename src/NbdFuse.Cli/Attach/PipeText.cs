using System.Text;
using NbdFuse.Native;

namespace NbdFuse.Cli;

/// <summary>Text over pipes.</summary>
internal static class PipeText
{
    /// <summary>Reads to the end.</summary>
    /// <param name="pipe">The reading end.</param>
    /// <param name="maximum">Most bytes; what follows is not read.</param>
    public static string Read(FileDescriptor pipe, int maximum) => Read(pipe, maximum, isLine: false);

    /// <summary>
    /// Reads a line, or to the end. For a writer that lives on: the runtime duplicates descriptors of standard streams for itself,
    /// so that closing them does not end the pipe.
    /// </summary>
    /// <param name="pipe">The reading end.</param>
    /// <param name="maximum">Most bytes.</param>
    /// <returns>The line, with its line feed unless the pipe ended before.</returns>
    public static string ReadLine(FileDescriptor pipe, int maximum) => Read(pipe, maximum, isLine: true);

    /// <summary>Writes all.</summary>
    /// <param name="pipe">The writing end.</param>
    /// <param name="text">Less than the pipe's capacity.</param>
    /// <returns>False when nobody reads any more.</returns>
    public static bool Write(FileDescriptor pipe, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        return Posix.Write(pipe.Value, bytes) == bytes.Length;
    }

    private static string Read(FileDescriptor pipe, int maximum, bool isLine)
    {
        byte[] buffer = new byte[maximum];
        int length = 0;
        while (length < maximum && !(isLine && length > 0 && buffer[length - 1] == '\n'))
        {
            int count = Posix.Read(pipe.Value, buffer.AsSpan(length));
            if (count <= 0)
            {
                break;
            }

            length += count;
        }

        return Encoding.UTF8.GetString(buffer, 0, length);
    }
}
