using System.Buffers.Binary;
using System.Text;
using NbdFuse.Protocol;

namespace NbdFuse.UnitTests.Client.Handshake;

/// <summary>Data of replies, well-formed or not.</summary>
internal static class Wire
{
    public static byte[] Export(ulong size, NbdTransmissionFlags flags)
    {
        byte[] data = new byte[NbdInfoReply.ExportBytes];
        NbdInfoReply.WriteExport(data, size, flags);
        return data;
    }

    public static byte[] BlockSize(uint minimum, uint preferred, uint maximum)
    {
        byte[] data = new byte[NbdInfoReply.BlockSizeBytes];
        NbdInfoReply.WriteBlockSize(data, minimum, preferred, maximum);
        return data;
    }

    /// <summary>Information of any type and content.</summary>
    public static byte[] Info(int type, params ReadOnlySpan<byte> content)
    {
        byte[] data = new byte[2 + content.Length];
        BinaryPrimitives.WriteUInt16BigEndian(data, (ushort)type);
        content.CopyTo(data.AsSpan(2));
        return data;
    }

    public static byte[] Text(NbdInfoType type, string text) => Info((int)type, Encoding.UTF8.GetBytes(text));

    public static byte[] ListEntry(string name, string? description = null)
    {
        byte[] data = new byte[NbdListEntry.GetSize(name, description)];
        NbdListEntry.Write(data, name, description);
        return data;
    }

    public static byte[] ExportNameReply(ulong size, NbdTransmissionFlags flags, bool withZeroes)
    {
        byte[] data = new byte[withZeroes ? NbdExportNameReply.SizeWithZeroes : NbdExportNameReply.Size];
        NbdExportNameReply.Write(data, size, flags, withZeroes);
        return data;
    }
}
