using System.IO.Enumeration;

namespace NbdFuse.Attach;

/// <summary>The names in a directory, without a look at what they point to.</summary>
/// <param name="directory">The directory.</param>
internal sealed class NameEnumeration(string directory)
    : FileSystemEnumerable<string>(
        directory, (ref FileSystemEntry entry) => entry.FileName.ToString(), new EnumerationOptions { AttributesToSkip = 0 });
