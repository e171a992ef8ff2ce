using NbdFuse.Protocol;
using NbdFuse.Server;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Server;

public sealed class BackendTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Random_operations_agree_with_an_array(bool file)
    {
        const int Size = (1 << 20) + 777;
        using var directory = new TempDirectory();
        using IBackend backend = file
            ? new FileExport(directory.CreateFile("disk", Size))
            : new MemoryExport(Size);
        int seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        var random = new Random(seed);
        byte[] model = new byte[Size];
        for (int index = 0; index < 2000; index++)
        {
            int offset = random.Next(Size);
            int length = Math.Min(random.Next(1, 200_000), Size - offset);
            switch (random.Next(4))
            {
                case 0:
                    byte[] data = PatternData.Create((ulong)index, offset, length);
                    Assert.Equal(NbdError.None, backend.Write(offset, data, fua: false));
                    data.CopyTo(model, offset);
                    break;

                case 1:
                    Assert.Equal(
                        NbdError.None, backend.Zero(offset, length, noHole: random.Next(2) == 0, fast: false, fua: false));
                    Array.Clear(model, offset, length);
                    break;

                default:
                    byte[] actual = new byte[length];
                    Assert.Equal(NbdError.None, backend.Read(offset, actual));
                    PatternData.AssertEqual(model.AsSpan(offset, length), actual, offset, $"seed {seed}, operation {index}");
                    break;
            }
        }
    }

    [Fact]
    public void Memory_reads_holes_where_its_extents_say_so()
    {
        using var memory = new MemoryExport(10 * MemoryExport.ChunkSize);
        memory.Write(3 * MemoryExport.ChunkSize, [1], fua: false);
        Assert.Equal(2 * MemoryExport.ChunkSize, memory.NextExtent(MemoryExport.ChunkSize, 9 * MemoryExport.ChunkSize, out bool hole));
        Assert.True(hole);
        Assert.Equal(100, memory.NextExtent((4 * MemoryExport.ChunkSize) - 100, 1000, out hole));
        Assert.False(hole);
    }

    [Fact]
    public void Memory_of_the_largest_size_takes_no_room()
    {
        using var memory = new MemoryExport(MemoryExport.MaximumSize);
        memory.Write(MemoryExport.MaximumSize - 1, [9], fua: false);
        byte[] last = new byte[2];
        memory.Read(MemoryExport.MaximumSize - 2, last);
        Assert.Equal(new byte[] { 0, 9 }, last);
        Assert.Equal(MemoryExport.ChunkSize, memory.AllocatedBytes);
    }

    [Fact]
    public async Task Memory_keeps_all_of_the_writes_of_several_threads()
    {
        using var memory = new MemoryExport(8 << 20);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(thread => Task.Run(() =>
        {
            for (int block = thread; block < 2048; block += 8)
            {
                memory.Write(block * 4096, PatternData.Create(1, block * 4096, 4096), fua: false);
            }
        })));
        byte[] actual = new byte[8 << 20];
        memory.Read(0, actual);
        PatternData.AssertEqual(PatternData.Create(1, 0, actual.Length), actual);
        Assert.Equal(8 << 20, memory.AllocatedBytes);
    }

    [Fact]
    public void Read_only_file_refuses_writes()
    {
        using var directory = new TempDirectory();
        using var file = new FileExport(directory.CreateFile("disk", 4096), readOnly: true);
        Assert.True(file.IsReadOnly);
        Assert.NotEqual(NbdError.None, file.Write(0, [1], fua: false));
    }

    [Fact]
    public void File_that_was_cut_is_an_input_output_error()
    {
        using var directory = new TempDirectory();
        string path = directory.CreateFile("disk", 8192);
        using var file = new FileExport(path);
        using (FileStream cut = File.Open(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite))
        {
            cut.SetLength(4096);
        }

        Assert.Equal(NbdError.Io, file.Read(4096, new byte[512]));
    }

    [Fact]
    public void Missing_file_and_directory_are_refused()
    {
        using var directory = new TempDirectory();
        Assert.Throws<FileNotFoundException>(() => new FileExport(directory["disk"]));
        Assert.Throws<UnauthorizedAccessException>(() => new FileExport(directory.Path));
    }
}
