using System.Runtime.InteropServices;
using NbdFuse.Native.Ublk;
using Xunit;

namespace NbdFuse.UnitTests.Ublk;

/// <summary>A request of the block layer, and its end.</summary>
internal sealed class FakeUblkCall
{
    private readonly TaskCompletionSource<int> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public FakeUblkCall(UblkIoOperation operation, long offset, long length, UblkIoFlags flags = UblkIoFlags.None, byte[]? data = null)
    {
        Operation = operation;
        Data = data;
        Description = new UblkIoDescriptor
        {
            OperationAndFlags = (uint)operation | (uint)flags,
            StartSector = (ulong)(offset / 512),
            Sectors = (uint)(length / 512),
        };
    }

    public UblkIoOperation Operation { get; }

    public UblkIoDescriptor Description { get; set; }

    /// <summary>What a WRITE brings.</summary>
    public byte[]? Data { get; }

    /// <summary>What a READ got.</summary>
    public byte[]? Received { get; private set; }

    /// <summary>Ends with the server's result.</summary>
    public Task<int> Result => _result.Task;

    public bool IsEnded => _result.Task.IsCompleted;

    public int Wait()
    {
        Assert.True(_result.Task.Wait(FakeUblkKernel.TimeoutMs), "the request is not answered");
        return _result.Task.Result;
    }

    public void End(int result, nint address)
    {
        if (Operation == UblkIoOperation.Read && result > 0)
        {
            Received = new byte[result];
            Marshal.Copy(address, Received, 0, result);
        }

        Assert.True(_result.TrySetResult(result), "a request ended twice");
    }
}
