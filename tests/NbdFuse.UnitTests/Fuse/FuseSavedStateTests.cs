using NbdFuse.Fuse;
using NbdFuse.Native;
using NbdFuse.Native.Fuse;
using Xunit;

namespace NbdFuse.UnitTests;

/// <summary>What one process leaves to the next.</summary>
public sealed class FuseSavedStateTests
{
    [Fact]
    public void Fresh_state_says_nothing()
    {
        using FuseSavedState state = FuseSavedState.Create();
        Assert.False(state.IsNegotiated);
        Assert.Null(state.LoadNegotiation());
        Assert.Null(state.LoadExport());
    }

    [Fact]
    public void Everything_that_was_saved_is_found_by_the_next_process()
    {
        using FuseSavedState state = FuseSavedState.Create();
        FuseNegotiation negotiation = FuseNegotiation.Negotiate(
            45, 131072, FuseInitFlags.MaxPages | FuseInitFlags.InitExtended | FuseInitFlags.HasResend | FuseInitFlags.BigWrites, new FuseMountOptions(), 128);
        var export = new SavedExport(ulong.MaxValue, 0xFFFF, 1, 4096, uint.MaxValue);
        state.SaveNegotiation(negotiation);
        state.SaveExport(export);

        using FuseSavedState next = FuseSavedState.Adopt(FileDescriptor.OwnOrThrow(Posix.Dup(state.Descriptor.Value), "dup"));
        Assert.Equal(negotiation, next.LoadNegotiation());
        Assert.Equal(export, next.LoadExport());
    }

    [Fact]
    public void State_of_another_layout_is_refused()
    {
        using NativeRegion other = NativeRegion.Create("other", FuseSavedState.Size);
        Assert.Throws<FuseException>(() => FuseSavedState.Adopt(FileDescriptor.OwnOrThrow(Posix.Dup(other.FileDescriptor.Value), "dup")));
    }

    [Fact]
    public void Largest_request_bounds_writes_and_pages()
    {
        FuseNegotiation negotiation = FuseNegotiation.Negotiate(
            45, 131072, FuseInitFlags.MaxPages, new FuseMountOptions { LargestRequest = 256 * 1024 }, 128);
        Assert.Equal(256 * 1024 / Posix.GetPageSize(), negotiation.MaximumPages);
        Assert.Equal(256 * 1024, negotiation.MaximumWrite);
    }
}
