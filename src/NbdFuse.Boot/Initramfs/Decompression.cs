using System.IO.Compression;
using NbdFuse.Native;

namespace NbdFuse.Boot;

/// <summary>Reads files that may be compressed: .gz by ourselves, .xz and .zst by the programs of those names.</summary>
internal static class Decompression
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    /// <summary>Reads a file.</summary>
    /// <param name="path">Its path; the end of its name tells the format.</param>
    /// <returns>The content, decompressed.</returns>
    /// <exception cref="BootException">The program is missing, or the file is damaged.</exception>
    public static byte[] Read(string path) => Path.GetExtension(path) switch
    {
        ".xz" => Run("xz", "xz-utils", path),
        ".zst" => Run("zstd", "zstd", path),
        ".gz" => Gunzip(path),
        _ => File.ReadAllBytes(path),
    };

    private static byte[] Gunzip(string path)
    {
        using var file = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        using var content = new MemoryStream();
        file.CopyTo(content);
        return content.ToArray();
    }

    private static byte[] Run(string program, string package, string path)
    {
        ProgramOutput output;
        try
        {
            output = ProgramOutput.Run(Patience, program, "-dc", path);
        }
        catch (PosixException e)
        {
            throw new BootException($"{path} is compressed, and {program} cannot be run ({e.Message}); install {package}", e);
        }

        return output.ExitCode == 0
            ? output.Content
            : throw new BootException($"{path} cannot be decompressed: {program} ended with exit code {output.ExitCode}");
    }
}
