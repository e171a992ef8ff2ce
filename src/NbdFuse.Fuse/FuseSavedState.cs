using System.Globalization;
using System.Runtime.InteropServices;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;

namespace NbdFuse.Fuse;

/// <summary>
/// What must be known of a mount to go on with it in another process: what was agreed on at INIT, which mount it is, and the
/// attributes that somebody has changed. One page of shared memory, which outlives the process that writes it.
/// </summary>
/// <remarks>
/// Layout: 64-bit words, each written at once, because the writer may be killed between any two of them. A group counts when
/// its first word, written last, is set.
/// THREADING: one writer at a time; readers are other processes, after its death, or the same thread.
/// </remarks>
public sealed class FuseSavedState : IDisposable
{
    /// <summary>Length of the memory in bytes.</summary>
    public const int Size = 4096;

    private const string Name = "nbdfuse-mount";
    private const ulong Layout = 0x31_4553_5546_4442_4E;

    // Numbers of words.
    private const int LayoutWord = 0;
    private const int NegotiationWord = 8;
    private const int ExportWord = 16;
    private const int MountWord = 24;
    private const int AttributesWord = 32;
    private const int AttributesWords = 16;

    private readonly NativeRegion _region;

    private FuseSavedState(NativeRegion region) => _region = region;

    /// <summary>The memory, to hand it on; it belongs to this object.</summary>
    public FileDescriptor Descriptor => _region.FileDescriptor;

    /// <summary>Whether INIT was answered.</summary>
    public bool IsNegotiated => Word(NegotiationWord) != 0;

    /// <summary>Whether <see cref="SaveMount"/> was called.</summary>
    internal bool HasMount => Word(MountWord) != 0;

    /// <summary>Makes the state of a mount that nobody has served yet.</summary>
    /// <exception cref="PosixException">The kernel refused.</exception>
    public static FuseSavedState Create()
    {
        var state = new FuseSavedState(NativeRegion.Create(Name, Size));
        state.Word(LayoutWord) = Layout;
        return state;
    }

    /// <summary>Takes the state that another process has left.</summary>
    /// <param name="descriptor">The memory; belongs to the state from here on.</param>
    /// <exception cref="FuseException">It is not what this version writes.</exception>
    public static FuseSavedState Adopt(FileDescriptor descriptor)
    {
        NativeRegion region = NativeRegion.Adopt(descriptor);
        var state = new FuseSavedState(region);
        if (region.Length < Size || state.Word(LayoutWord) != Layout)
        {
            state.Dispose();
            throw new FuseException("the state of the mount was left by another version of this program");
        }

        return state;
    }

    /// <summary>Notes what was agreed on.</summary>
    /// <param name="negotiation">What was agreed on.</param>
    public void SaveNegotiation(FuseNegotiation negotiation)
    {
        Put(NegotiationWord + 1, (ulong)negotiation.Flags);
        Put(NegotiationWord + 2, (ulong)negotiation.Offered);
        Put(NegotiationWord + 3, Pair(negotiation.MaximumWrite, negotiation.MaximumPages));
        Put(NegotiationWord + 4, Pair(negotiation.MaximumBackground, negotiation.CongestionThreshold));
        Put(NegotiationWord + 5, negotiation.MaximumReadAhead);
        Put(NegotiationWord, (ulong)negotiation.Minor);
    }

    /// <summary>What was agreed on; null when INIT was not answered.</summary>
    public FuseNegotiation? LoadNegotiation() => !IsNegotiated
        ? null
        : new FuseNegotiation
        {
            Minor = (int)Word(NegotiationWord),
            Flags = (FuseInitFlags)Word(NegotiationWord + 1),
            Offered = (FuseInitFlags)Word(NegotiationWord + 2),
            MaximumWrite = High(Word(NegotiationWord + 3)),
            MaximumPages = Low(Word(NegotiationWord + 3)),
            MaximumBackground = High(Word(NegotiationWord + 4)),
            CongestionThreshold = Low(Word(NegotiationWord + 4)),
            MaximumReadAhead = (uint)Word(NegotiationWord + 5),
        };

    /// <summary>Notes which export is served; once, before the file is usable.</summary>
    /// <param name="export">What the export is recognised by.</param>
    public void SaveExport(SavedExport export)
    {
        Put(ExportWord + 1, export.Size);
        Put(ExportWord + 2, export.Flags);
        Put(ExportWord + 3, export.MinimumBlock);
        Put(ExportWord + 4, Pair((int)export.PreferredBlock, (int)export.MaximumBlock));
        Put(ExportWord, 1);
    }

    /// <summary>Which export was served; null when none was yet.</summary>
    public SavedExport? LoadExport() => Word(ExportWord) == 0
        ? null
        : new SavedExport(
            Word(ExportWord + 1),
            Word(ExportWord + 2),
            (uint)Word(ExportWord + 3),
            (uint)High(Word(ExportWord + 4)),
            (uint)Low(Word(ExportWord + 4)));

    /// <inheritdoc/>
    public void Dispose() => _region.Dispose();

    internal void SaveMount(MountEntry entry)
    {
        string[] device = entry.Device.Split(':');
        Put(MountWord + 1, Pair(Number(device[0]), Number(device[^1])));
        Put(MountWord, (ulong)entry.Id);
    }

    internal bool IsMount(MountEntry entry)
    {
        string[] device = entry.Device.Split(':');
        return HasMount && entry.IsFuse && (ulong)entry.Id == Word(MountWord)
            && Pair(Number(device[0]), Number(device[^1])) == Word(MountWord + 1);
    }

    internal void SaveAttributes(in FuseAttr file, in FuseAttr directory)
    {
        Put(AttributesWord + 1, file);
        Put(AttributesWord + 1 + AttributesWords, directory);
        Put(AttributesWord, 1);
    }

    internal void LoadAttributes(ref FuseAttr file, ref FuseAttr directory)
    {
        if (Word(AttributesWord) != 0)
        {
            Get(AttributesWord + 1, ref file);
            Get(AttributesWord + 1 + AttributesWords, ref directory);
        }
    }

    private static int Number(string text) => int.Parse(text, NumberStyles.None, CultureInfo.InvariantCulture);

    private static ulong Pair(int high, int low) => ((ulong)(uint)high << 32) | (uint)low;

    private static int High(ulong pair) => (int)(pair >> 32);

    private static int Low(ulong pair) => (int)(uint)pair;

    private void Put(int word, ulong value) => Volatile.Write(ref Word(word), value);

    // Size and blocks are the export's, and not saved.
    private void Put(int word, in FuseAttr node)
    {
        Put(word, Pair((int)node.Uid, (int)node.Gid));
        Put(word + 1, node.Mode);
        Put(word + 2, node.AccessTime);
        Put(word + 3, node.ModifyTime);
        Put(word + 4, node.ChangeTime);
        Put(word + 5, Pair((int)node.AccessTimeNs, (int)node.ModifyTimeNs));
        Put(word + 6, node.ChangeTimeNs);
    }

    private void Get(int word, ref FuseAttr node)
    {
        node.Uid = (uint)High(Word(word));
        node.Gid = (uint)Low(Word(word));
        node.Mode = (uint)Word(word + 1);
        node.AccessTime = Word(word + 2);
        node.ModifyTime = Word(word + 3);
        node.ChangeTime = Word(word + 4);
        node.AccessTimeNs = (uint)High(Word(word + 5));
        node.ModifyTimeNs = (uint)Low(Word(word + 5));
        node.ChangeTimeNs = (uint)Word(word + 6);
    }

    private ref ulong Word(int number) => ref MemoryMarshal.Cast<byte, ulong>(_region.Span(0, Size))[number];
}
