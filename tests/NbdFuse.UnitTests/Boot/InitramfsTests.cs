using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using NbdFuse.Boot;
using NbdFuse.TestKit;
using Xunit;

namespace NbdFuse.UnitTests.Boot;

public sealed class InitramfsTests : IDisposable
{
    private readonly TempDirectory _directory = new();

    public InitramfsTests()
    {
        File.WriteAllBytes(_directory["program"], StaticElf(62));
        File.WriteAllBytes(_directory["busybox"], StaticElf(62));
    }

    private InitramfsOptions Options => new() { Program = _directory["program"], Busybox = _directory["busybox"], Root = _directory.Path };

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Same_inputs_give_the_same_bytes()
    {
        MakeModules();
        File.WriteAllText(_directory["extra"], "content");
        InitramfsOptions options = Options with { Modules = _directory["lib/modules/6.1.0"], With = [_directory["extra"]], Time = 86400 };

        byte[] first = Build(options);
        File.SetLastWriteTimeUtc(_directory["extra"], DateTime.UnixEpoch.AddYears(40));
        byte[] second = Build(options);

        Assert.Equal(first, second);
        List<CpioEntry> entries = Unpack(first);
        Assert.All(entries, entry => Assert.Equal(86400u, entry.Time));
        Assert.Equal(entries.Select(entry => entry.Name).Order(StringComparer.Ordinal), entries.Select(entry => entry.Name));
        Assert.Equal(Enumerable.Range(1, entries.Count).Select(i => (uint)i), entries.Select(entry => entry.Inode));
    }

    [Fact]
    public void Parts_of_a_boot_are_there()
    {
        List<CpioEntry> entries = Unpack(Build(Options));

        Assert.StartsWith("#!/bin/busybox sh\n", entries.Single(entry => entry.Name == "init").Text, StringComparison.Ordinal);
        Assert.Equal(0x81EDu, entries.Single(entry => entry.Name == "init").Mode);
        Assert.Equal("bin/nbdfuse", entries.Single(entry => entry.Name == "nbdfuse.tree/@nbdfuse").Text);
        Assert.Equal(".", entries.Single(entry => entry.Name == "nbdfuse.tree/nbdfuse").Text);
        Assert.Equal(StaticElf(62), entries.Single(entry => entry.Name == "nbdfuse.tree/bin/nbdfuse").Content);
        Assert.Equal("@nbdfuse\n", entries.Single(entry => entry.Name == "etc/nbdfuse/start").Text);
        Assert.Equal(0x2180u, entries.Single(entry => entry.Name == "dev/console").Mode);

        // A directory stands before what lies in it: the kernel makes none by itself.
        HashSet<string> seen = [];
        foreach (CpioEntry entry in entries)
        {
            Assert.True(!entry.Name.Contains('/') || seen.Contains(Path.GetDirectoryName(entry.Name)!), entry.Name);
            seen.Add(entry.Name);
        }
    }

    [Fact]
    public void Modules_come_decompressed_with_what_they_need()
    {
        MakeModules();

        List<CpioEntry> entries = Unpack(Build(Options with { Modules = _directory["lib/modules/6.1.0"] }));

        const string Base = "lib/modules/6.1.0";
        Assert.Equal("net", entries.Single(entry => entry.Name == $"{Base}/kernel/net/virtio_net.ko").Text);
        Assert.Equal("failover", entries.Single(entry => entry.Name == $"{Base}/kernel/net/failover.ko").Text);
        Assert.Equal("sum", entries.Single(entry => entry.Name == $"{Base}/kernel/crc.ko").Text);
        Assert.DoesNotContain(entries, entry => entry.Name.Contains("sound", StringComparison.Ordinal));
        Assert.Equal(
            "kernel/net/failover.ko:\nkernel/net/virtio_net.ko: kernel/net/failover.ko\nkernel/ext4.ko:\nkernel/crc.ko:\nkernel/loop.ko:\n",
            entries.Single(entry => entry.Name == $"{Base}/modules.dep").Text);
        Assert.Equal(
            "alias virtio:d00000001v* virtio_net\nalias crypto-mysum crc\n", entries.Single(entry => entry.Name == $"{Base}/modules.alias").Text);
    }

    [Theory]
    [InlineData("xz", ".xz")]
    [InlineData("zstd", ".zst")]
    public void Module_that_a_program_must_decompress_is_read(string program, string ending)
    {
        Requires.Command(program);
        MakeModules();
        string plain = _directory["lib/modules/6.1.0/kernel/net/failover.ko"];
        Tool.Run(program, "-q", plain).EnsureSuccess();
        Edit("modules.dep", text => text.Replace("failover.ko", $"failover.ko{ending}", StringComparison.Ordinal));
        File.Delete(plain);

        List<CpioEntry> entries = Unpack(Build(Options with { Modules = _directory["lib/modules/6.1.0"] }));

        Assert.Equal("failover", entries.Single(entry => entry.Name.EndsWith("/failover.ko", StringComparison.Ordinal)).Text);
    }

    [Fact]
    public void What_is_missing_is_named_with_the_remedy()
    {
        MakeModules();
        string modules = _directory["lib/modules/6.1.0"];
        File.WriteAllBytes(_directory["arm"], StaticElf(183));
        File.WriteAllText(_directory["script"], "#!/bin/sh");
        Directory.CreateDirectory(_directory["lib/modules/6.2.0/kernel"]);

        AssertFails("busybox-static", Options with { Busybox = null });
        AssertFails("no program", Options with { Busybox = _directory["script"] });
        AssertFails("is for aarch64, but the initramfs is for x86_64", Options with { Busybox = _directory["arm"] });
        AssertFails("has no nbd", Options with { Modules = modules, Drivers = ["nbd"] });
        AssertFails("no module wifi", Options with { Modules = modules, ExtraModules = ["wifi"] });
        AssertFails("depmod", Options with { Modules = _directory["lib/modules/6.2.0"] });
        AssertFails("no directory of kernel modules", Options with { Modules = _directory["lib"] });
        AssertFails("no such file", Options with { With = [_directory["absent"]] });
    }

    [Fact]
    public void Credentials_for_tls_come_with_openssl_and_for_root_alone()
    {
        Directory.CreateDirectory(_directory["pki"]);
        File.WriteAllText(_directory["keys"], "alice:00");
        AssertFails("there is no", Options with { TlsCertificates = _directory["pki"] });
        AssertFails("there is no", Options with { TlsPsk = _directory["absent"] });
        AssertFails("needs libssl.so.3", Options with { TlsPsk = _directory["keys"] });
        Directory.CreateDirectory(_directory["usr/lib/x86_64-linux-gnu"]);
        File.WriteAllBytes(_directory["usr/lib/x86_64-linux-gnu/libssl.so.3"], StaticElf(62));
        foreach (string name in new[] { "ca-cert.pem", "client-cert.pem", "client-key.pem", "server-key.pem" })
        {
            File.WriteAllText(Path.Combine(_directory["pki"], name), name);
        }

        List<CpioEntry> certificates = Unpack(Build(Options with { TlsCertificates = _directory["pki"] }));
        List<CpioEntry> key = Unpack(Build(Options with { TlsPsk = _directory["keys"] }));

        string[] names = [.. certificates.Where(entry => entry.Name.StartsWith("etc/nbdfuse/tls/", StringComparison.Ordinal)).Select(entry => Path.GetFileName(entry.Name))];
        Assert.Equal(["ca-cert.pem", "client-cert.pem", "client-key.pem"], names);
        Assert.Equal(0x8180u, certificates.Single(entry => entry.Name == "etc/nbdfuse/tls/client-key.pem").Mode);
        Assert.Equal("alice:00", key.Single(entry => entry.Name == "etc/nbdfuse/tls/keys.psk").Text);
        Assert.Equal(0x8180u, key.Single(entry => entry.Name == "etc/nbdfuse/tls/keys.psk").Mode);
        Assert.Equal("/nbdfuse/usr/lib/x86_64-linux-gnu/libssl.so.3", key.Single(entry => entry.Name == "usr/lib/x86_64-linux-gnu/libssl.so.3").Text);
        Assert.DoesNotContain(Unpack(Build(Options)), entry => entry.Name.Contains("tls", StringComparison.Ordinal) || entry.Name.Contains("libssl", StringComparison.Ordinal));
    }

    [Fact]
    public void Drivers_that_a_kernel_lacks_are_told()
    {
        MakeModules();

        using var output = new MemoryStream();
        InitramfsReport report = InitramfsBuilder.Build(Options with { Modules = _directory["lib/modules/6.1.0"] }, output);

        Assert.Equal(["kernel 6.1.0 has no ublk_drv: the driver ublk will not be there", "kernel 6.1.0 has no nbd: the driver nbd will not be there"], report.Notes);
        Assert.Equal(5, report.Modules);
        Assert.Equal(output.Length, report.Length);
    }

    [Fact]
    public void Image_for_uboot_has_its_header()
    {
        byte[] plain = Build(Options with { Time = 5 });
        byte[] image = Build(Options with { Time = 5, IsUImage = true });

        Assert.Equal(plain, image[64..]);
        Assert.Equal(0x27051956u, BinaryPrimitives.ReadUInt32BigEndian(image));
        Assert.Equal((uint)plain.Length, BinaryPrimitives.ReadUInt32BigEndian(image.AsSpan(12)));
        Assert.Equal(UImageHeader.Checksum(plain), BinaryPrimitives.ReadUInt32BigEndian(image.AsSpan(24)));
        Assert.Equal(new byte[] { 5, 24, 3, 0 }, image[28..32]);
        byte[] header = image[..64];
        uint sum = BinaryPrimitives.ReadUInt32BigEndian(header.AsSpan(4));
        header.AsSpan(4, 4).Clear();
        Assert.Equal(UImageHeader.Checksum(header), sum);
        Assert.Equal(0xCBF43926u, UImageHeader.Checksum("123456789"u8));
    }

    [Fact]
    public void Runtime_of_another_architecture_goes_in_with_the_code()
    {
        foreach (string file in new[] { "rt/host/fxr/10.0.0/libhostfxr.so", "rt/shared/Microsoft.NETCore.App/10.0.0/libcoreclr.so", "rt/dotnet" })
        {
            Directory.CreateDirectory(Path.GetDirectoryName(_directory[file])!);
            File.WriteAllBytes(_directory[file], StaticElf(183));
        }

        Directory.CreateDirectory(_directory["code"]);
        File.WriteAllText(_directory["code/nbdfuse.dll"], "IL");
        File.WriteAllText(_directory["code/nbdfuse.runtimeconfig.json"], "{}");
        File.WriteAllBytes(_directory["busybox"], StaticElf(183));
        InitramfsOptions options = Options with { Program = null, Runtime = _directory["rt"], Code = _directory["code"], Architecture = "aarch64" };

        List<CpioEntry> entries = Unpack(Build(options));

        Assert.Equal("@dotnet /nbdfuse/bin/nbdfuse.dll\n", entries.Single(entry => entry.Name == "etc/nbdfuse/start").Text);
        Assert.Equal("dotnet/dotnet", entries.Single(entry => entry.Name == "nbdfuse.tree/@dotnet").Text);
        Assert.Equal("IL", entries.Single(entry => entry.Name == "nbdfuse.tree/bin/nbdfuse.dll").Text);
        Assert.Contains(entries, entry => entry.Name == "nbdfuse.tree/dotnet/shared/Microsoft.NETCore.App/10.0.0/libcoreclr.so");
        AssertFails("is for aarch64, but the initramfs is for x86_64", options with { Architecture = "x86_64" });
    }

    [Fact]
    public void Libraries_are_those_of_the_dynamic_linker()
    {
        Requires.Command("ldd");
        string program = Environment.ProcessPath!;
        ToolResult ldd = Tool.Run("ldd", program);
        SortedSet<string> expected = new(
            ldd.EnsureSuccess().Output.Split('\n').Select(line => line.Trim().Split(' ')[0]).Where(name => name.Length > 0 && !name.StartsWith("linux-vdso", StringComparison.Ordinal))
                .Select(name => Path.GetFileName(name)),
            StringComparer.Ordinal);

        SortedDictionary<string, string> found = new LibrarySearch("/").Find(program, program);

        Assert.Equal(expected, new SortedSet<string>(found.Keys.Select(path => Path.GetFileName(path)), StringComparer.Ordinal));
        Assert.All(found.Values, path => Assert.True(File.Exists(path), path));
    }

    [Fact]
    public void Damaged_program_is_no_crash()
    {
        byte[] whole = File.ReadAllBytes(Environment.ProcessPath!);
        Assert.NotEmpty(ElfFile.TryParse(whole)!.Needed);
        Protocol.SeededRounds.Run(300, random =>
        {
            byte[] damaged = whole[..Math.Min(whole.Length, random.Next(64, 4096))];
            for (int i = 0; i < 8; i++)
            {
                damaged[random.Next(6, damaged.Length)] = (byte)random.Next(256);
            }

            _ = ElfFile.TryParse(damaged);
        });
    }

    private static byte[] Build(InitramfsOptions options)
    {
        using var output = new MemoryStream();
        InitramfsBuilder.Build(options, output);
        return output.ToArray();
    }

    private static List<CpioEntry> Unpack(byte[] image)
    {
        using var archive = new MemoryStream();
        using var gzip = new GZipStream(new MemoryStream(image), CompressionMode.Decompress);
        gzip.CopyTo(archive);
        return CpioReader.Read(archive.ToArray());
    }

    private static void AssertFails(string text, InitramfsOptions options)
    {
        BootException error = Assert.Throws<BootException>(() => Build(options));
        Assert.Contains(text, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    // A header alone: a static program, as far as its libraries go.
    [Fact]
    public void Tree_for_a_framework_leaves_what_is_there_alone()
    {
        string target = Directory.CreateDirectory(_directory["target"]).FullName;
        Directory.CreateDirectory(Path.Combine(target, "bin"));
        File.WriteAllText(Path.Combine(target, "bin/busybox"), "the framework's");
        Directory.CreateDirectory(Path.Combine(target, "etc/nbdfuse"));
        File.WriteAllText(Path.Combine(target, "etc/nbdfuse/start"), "older");

        InitramfsBuilder.WriteHookTree(Options, target);

        Assert.Equal("the framework's", File.ReadAllText(Path.Combine(target, "bin/busybox")));
        Assert.Equal("older", File.ReadAllText(Path.Combine(target, "etc/nbdfuse/start")));
        Assert.Equal(["busybox"], Directory.GetFileSystemEntries(Path.Combine(target, "bin")).Select(Path.GetFileName));
        foreach (string program in new[] { "nbdfuse.tree/bin/nbdfuse", "etc/nbdfuse/bin/busybox", "etc/nbdfuse/attach.sh", "etc/nbdfuse/wanted.sh", "etc/nbdfuse/dhcp.sh", "etc/nbdfuse/shutdown.sh" })
        {
            Tool.Run("test", "-x", Path.Combine(target, program)).EnsureSuccess();
        }

        Assert.StartsWith("#!/etc/nbdfuse/bin/busybox sh\n", File.ReadAllText(Path.Combine(target, "etc/nbdfuse/dhcp.sh")), StringComparison.Ordinal);
        Assert.Equal("busybox", new FileInfo(Path.Combine(target, "etc/nbdfuse/bin/mkfifo")).LinkTarget);
        Assert.All(
            File.ReadAllText(Path.Combine(target, "etc/nbdfuse/libraries")).Trim().Split(':', StringSplitOptions.RemoveEmptyEntries),
            directory => Assert.StartsWith("/nbdfuse/", directory, StringComparison.Ordinal));
        Assert.False(Directory.Exists(Path.Combine(target, "lib")), "libraries of ours beside the framework's");
    }

    private static byte[] StaticElf(int machine)
    {
        byte[] elf = new byte[64];
        "\x7f"u8.CopyTo(elf);
        "ELF"u8.CopyTo(elf.AsSpan(1));
        elf[4] = 2;
        elf[5] = 1;
        BinaryPrimitives.WriteUInt16LittleEndian(elf.AsSpan(18), (ushort)machine);
        return elf;
    }

    private void Edit(string name, Func<string, string> change)
    {
        string path = _directory[$"lib/modules/6.1.0/{name}"];
        File.WriteAllText(path, change(File.ReadAllText(path)));
    }

    private void MakeModules()
    {
        string root = _directory["lib/modules/6.1.0"];
        Directory.CreateDirectory(Path.Combine(root, "kernel/net"));
        foreach ((string path, string content) in new[]
        {
            ("net/failover.ko", "failover"), ("net/virtio_net.ko.gz", "net"), ("ext4.ko", "ext4"), ("crc.ko", "sum"), ("loop.ko", "loop"), ("sound.ko", "sound"),
        })
        {
            string file = Path.Combine(root, "kernel", path);
            if (path.EndsWith(".gz", StringComparison.Ordinal))
            {
                using var gzip = new GZipStream(File.Create(file), CompressionLevel.Fastest);
                gzip.Write(Encoding.UTF8.GetBytes(content));
            }
            else
            {
                File.WriteAllText(file, content);
            }
        }

        File.WriteAllText(
            Path.Combine(root, "modules.dep"),
            "kernel/net/failover.ko:\nkernel/net/virtio_net.ko.gz: kernel/net/failover.ko\nkernel/ext4.ko:\nkernel/crc.ko:\nkernel/loop.ko:\nkernel/sound.ko:\n");
        File.WriteAllText(Path.Combine(root, "modules.builtin"), "kernel/fs/fuse/fuse.ko\n");
        File.WriteAllText(
            Path.Combine(root, "modules.alias"), "# a comment\nalias virtio:d00000001v* virtio_net\nalias crypto-mysum crc\nalias snd-* sound\n");
        File.WriteAllText(Path.Combine(root, "modules.softdep"), "softdep ext4 pre: mysum\n");
    }
}
