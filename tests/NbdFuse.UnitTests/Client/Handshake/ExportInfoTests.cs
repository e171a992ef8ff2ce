using NbdFuse.Client;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Client.Handshake;

/// <summary>What a server says about an export. Rule numbers of the project's protocol checklist.</summary>
public sealed class ExportInfoTests
{
    private const NbdTransmissionFlags Flags = NbdTransmissionFlags.HasFlags;

    [Fact]
    public Task Rule02_a_description_above_4096_bytes_is_a_violation() =>
        ViolationAsync(peer => peer.Info(NbdOption.Go, Wire.Info((int)NbdInfoType.Description, new byte[4097])));

    [Fact]
    public Task Rule02_a_name_that_is_not_UTF8_is_a_violation() =>
        ViolationAsync(peer => peer.Info(NbdOption.Go, Wire.Info((int)NbdInfoType.Name, 0xff, 0xfe)));

    [Fact]
    public async Task Rule24_GO_names_each_information_once_and_its_lengths_are_right()
    {
        await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Begin();
                Assert.True(NbdOptionData.TryReadGo(peer.ExpectOption(NbdOption.Go), out string name, out NbdInfoType[] infos));
                Assert.Equal("dïsk", name);
                Assert.Equal(infos.Distinct(), infos);
                Assert.DoesNotContain(NbdInfoType.Export, infos);
                peer.InfoExport();
                peer.Ack();
                peer.ExpectEnd();
            },
            "dïsk");
    }

    [Fact]
    public async Task Rules25_and_26_information_comes_in_any_order_unknown_kinds_are_ignored_and_unrequested_ones_taken()
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.Go);
                peer.Info(NbdOption.Go, Wire.Text(NbdInfoType.Description, "two\u0007 words"));
                peer.Info(NbdOption.Go, Wire.Info(0x7777, 1, 2, 3));
                peer.Info(NbdOption.Go, Wire.Info(0x7777));
                peer.Info(NbdOption.Go, Wire.BlockSize(512, 4096, 1 << 20));
                peer.InfoExport(size: 12345 * 512, flags: Flags | NbdTransmissionFlags.CanMultiConn | (NbdTransmissionFlags)0x8000);
                peer.Info(NbdOption.Go, Wire.Text(NbdInfoType.Name, "canonical"));
                peer.Ack();
                peer.ExpectEnd();
            },
            options: new NbdHandshakeOptions { WantTexts = false, WantBlockSizes = false });
        Assert.Equal(12345ul * 512, result.Export.Size);
        Assert.True(result.Export.CanMultiConn);
        Assert.Equal("canonical", result.Export.CanonicalName);
        Assert.Equal("two words", result.Export.Description);
        Assert.Equal(new NbdBlockSizes(512, 4096, 1 << 20), result.Export.BlockSizes);
    }

    [Fact]
    public Task Rule25_an_acknowledgement_without_INFO_EXPORT_is_a_violation() => ViolationAsync(peer =>
    {
        peer.Info(NbdOption.Go, Wire.BlockSize(1, 4096, 1 << 20));
        peer.Ack();
    });

    [Theory]
    [InlineData(0, 9)]
    [InlineData(0, 11)]
    [InlineData(3, 11)]
    [InlineData(3, 13)]
    public Task Rules25_and_26_information_of_a_wrong_length_is_a_violation(int type, int contentLength) =>
        ViolationAsync(peer => peer.Info(NbdOption.Go, Wire.Info(type, new byte[contentLength])));

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public Task Rule25_information_without_a_type_is_a_violation(int length) =>
        ViolationAsync(peer => peer.Info(NbdOption.Go, new byte[length]));

    [Theory]
    [InlineData(NbdInfoType.Export)]
    [InlineData(NbdInfoType.Name)]
    [InlineData(NbdInfoType.Description)]
    [InlineData(NbdInfoType.BlockSize)]
    public Task Information_that_comes_twice_is_a_violation(NbdInfoType type)
    {
        byte[] data = type switch
        {
            NbdInfoType.Export => Wire.Export(1, Flags),
            NbdInfoType.BlockSize => Wire.BlockSize(1, 4096, 4096),
            _ => Wire.Text(type, "text"),
        };
        return ViolationAsync(peer =>
        {
            peer.Info(NbdOption.Go, data);
            peer.Info(NbdOption.Go, data);
        });
    }

    [Fact]
    public async Task Rules29_and_50_without_block_sizes_there_are_none_and_the_handshake_goes_on()
    {
        NbdNegotiated result = await WithBlockSizesAsync(null);
        Assert.Null(result.Export.BlockSizes);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Rules46_and_47_block_sizes_are_asked_for_in_GO_when_they_can_be_obeyed(bool want)
    {
        NbdInfoType[] infos = [];
        await HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Begin();
                Assert.True(NbdOptionData.TryReadGo(peer.ExpectOption(NbdOption.Go), out _, out infos));
                peer.InfoExport();
                peer.Ack();
                peer.ExpectEnd();
            },
            options: new NbdHandshakeOptions { WantBlockSizes = want });
        Assert.Equal(want, infos.Contains(NbdInfoType.BlockSize));
    }

    [Theory]
    [InlineData(1, 512, 512)]
    [InlineData(1, 4096, 0xffffffff)]
    [InlineData(512, 512, 1000)] // The maximum may be any number.
    [InlineData(65536, 65536, 65536)]
    public async Task Rule49_valid_block_sizes_are_taken(uint minimum, uint preferred, uint maximum)
    {
        NbdNegotiated result = await WithBlockSizesAsync((minimum, preferred, maximum));
        Assert.Equal(new NbdBlockSizes(minimum, preferred, maximum), result.Export.BlockSizes);
    }

    [Theory]
    [InlineData(0, 4096, 4096)]
    [InlineData(3, 4096, 4096)]
    [InlineData(131072, 131072, 131072)]
    [InlineData(1, 256, 4096)]
    [InlineData(1, 4097, 8192)]
    [InlineData(4096, 512, 8192)]
    [InlineData(512, 4096, 2048)]
    public async Task Rule49_block_sizes_that_break_the_rules_are_ignored_with_a_warning(uint minimum, uint preferred, uint maximum)
    {
        var logger = new CapturingLogger();
        NbdNegotiated result = await WithBlockSizesAsync((minimum, preferred, maximum), logger);
        Assert.Null(result.Export.BlockSizes);
        Assert.Contains(logger.Entries, entry => entry.Id == 1005);
    }

    [Fact]
    public async Task Rule50_a_tail_below_the_minimum_block_is_told_to_the_user()
    {
        var logger = new CapturingLogger();
        await WithBlockSizesAsync((512, 512, 65536), logger, size: 512 * 7 + 100);
        (_, _, string text) = Assert.Single(logger.Entries, entry => entry.Id == 1006);
        Assert.Contains("last 100 bytes", text, StringComparison.Ordinal);
    }

    [Fact]
    public Task Rule56_transmission_flags_without_HAS_FLAGS_are_a_violation() =>
        ViolationAsync(peer => peer.InfoExport(flags: NbdTransmissionFlags.ReadOnly));

    [Fact]
    public async Task Rule56_the_answer_to_EXPORT_NAME_without_HAS_FLAGS_is_a_violation()
    {
        await HandshakeRun.FailsAsync<NbdProtocolException>(peer =>
        {
            peer.Greet(NbdHandshakeFlags.None);
            peer.ExpectOption(NbdOption.ExportName);
            peer.Send(Wire.ExportNameReply(4096, NbdTransmissionFlags.None, withZeroes: true));
            peer.ExpectEnd();
        });
    }

    [Theory]
    [InlineData(1ul << 63)]
    [InlineData(ulong.MaxValue)]
    public Task A_size_that_no_file_can_have_is_refused(ulong size) => ViolationAsync(peer => peer.InfoExport(size: size));

    [Fact]
    public async Task The_largest_size_of_a_file_is_taken()
    {
        NbdNegotiated result = await HandshakeRun.NegotiateAsync(peer =>
        {
            peer.Begin();
            peer.ExpectOption(NbdOption.Go);
            peer.InfoExport(size: long.MaxValue);
            peer.Ack();
            peer.ExpectEnd();
        });
        Assert.Equal((ulong)long.MaxValue, result.Export.Size);
    }

    private static Task<NbdNegotiated> WithBlockSizesAsync(
        (uint Minimum, uint Preferred, uint Maximum)? sizes, CapturingLogger? logger = null, ulong size = 1 << 20) =>
        HandshakeRun.NegotiateAsync(
            peer =>
            {
                peer.Begin();
                peer.ExpectOption(NbdOption.Go);
                if (sizes is var (minimum, preferred, maximum))
                {
                    peer.Info(NbdOption.Go, Wire.BlockSize(minimum, preferred, maximum));
                }

                peer.InfoExport(size: size);
                peer.Ack();
                peer.ExpectEnd();
            },
            logger: logger);

    private static async Task ViolationAsync(Action<ScriptedPeer> violation)
    {
        NbdProtocolException error = await HandshakeRun.FailsAsync<NbdProtocolException>(peer =>
        {
            peer.Begin();
            peer.ExpectOption(NbdOption.Go);
            violation(peer);
            peer.ExpectEnd();
        });
        Assert.NotEmpty(error.Rule);
    }
}
