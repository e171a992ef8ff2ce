using NbdFuse.Block;
using NbdFuse.Native.Ublk;
using NbdFuse.TestKit;

namespace NbdFuse.UnitTests.Ublk;

/// <summary>A ublk device as its users see it: what the block layer does, over a queue whose kernel is played.</summary>
internal sealed class UblkConformanceTarget(FakeUblkKernel kernel) : IConformanceTarget
{
    public long Size => kernel.Geometry.Size;

    public int MinimumBlock => 512;

    public bool IsReadOnly => kernel.Geometry.Limits.IsReadOnly;

    public bool CanZero => kernel.Geometry.Params.Discard.MaximumWriteZeroesSectors != 0;

    public bool CanTrim => kernel.Geometry.Params.Discard.MaximumDiscardSectors != 0;

    // The block layer promises nothing of the kind; requests are handed out in order here, and the layers below keep it.
    public bool StartsInOrder => true;

    public bool ShortReadAtEnd => false;

    public int LargeTransfer => 4 << 20;

    public async Task<byte[]> ReadAsync(long offset, int length)
    {
        if (Outside(offset, length))
        {
            throw new ConformanceErrorException(BlockErrno.EINVAL, "read");
        }

        byte[] result = new byte[length];
        FakeUblkCall[] calls = SendPieces(UblkIoOperation.Read, offset, length, UblkIoFlags.None, null);
        int position = 0;
        foreach (FakeUblkCall call in calls)
        {
            int piece = await call.Result;
            if (piece < 0)
            {
                throw new ConformanceErrorException(-piece, "read");
            }

            call.Received!.CopyTo(result, position);
            position += piece;
        }

        return result;
    }

    public Task<int> WriteAsync(long offset, byte[] data, bool fua = false) =>
        IsReadOnly ? Task.FromResult(BlockErrno.EROFS)
        : Outside(offset, data.Length) ? Task.FromResult(BlockErrno.ENOSPC)
        : EndAsync(SendPieces(UblkIoOperation.Write, offset, data.Length, fua ? UblkIoFlags.Fua : UblkIoFlags.None, data));

    public Task<int> FlushAsync() => EndAsync([kernel.Send(UblkIoOperation.Flush)]);

    public Task<int> TrimAsync(long offset, long length) =>
        IsReadOnly ? Task.FromResult(BlockErrno.EROFS)
        : Outside(offset, length) ? Task.FromResult(BlockErrno.ENOSPC)
        : length == 0 ? Task.FromResult(0)
        : EndAsync([kernel.Send(UblkIoOperation.Discard, offset, length)]);

    public Task<int> ZeroAsync(long offset, long length, bool noHole) =>
        IsReadOnly ? Task.FromResult(BlockErrno.EROFS)
        : Outside(offset, length) ? Task.FromResult(BlockErrno.ENOSPC)
        : length == 0 ? Task.FromResult(0)
        : EndAsync([kernel.Send(UblkIoOperation.WriteZeroes, offset, length, noHole ? UblkIoFlags.NoUnmap : UblkIoFlags.None)]);

    private static async Task<int> EndAsync(FakeUblkCall[] calls)
    {
        int error = 0;
        foreach (FakeUblkCall call in calls)
        {
            int result = await call.Result;
            error = result < 0 && error == 0 ? -result : error;
        }

        return error;
    }

    private bool Outside(long offset, long length) => offset > Size || length > Size - offset;

    private FakeUblkCall[] SendPieces(UblkIoOperation operation, long offset, int length, UblkIoFlags flags, byte[]? data)
    {
        int most = kernel.Geometry.Limits.PayloadBytes;
        List<FakeUblkCall> calls = [];
        for (int done = 0; done < length; done += most)
        {
            int piece = Math.Min(most, length - done);
            calls.Add(new FakeUblkCall(operation, offset + done, piece, flags, data?[done..(done + piece)]));
        }

        kernel.OnLoop(() => calls.ForEach(kernel.Ring.Send));
        return [.. calls];
    }
}
