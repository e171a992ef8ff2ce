using System.Buffers.Binary;
using System.Text;
using NbdFuse.Attach.KernelNbd;
using NbdFuse.Native;
using NbdFuse.Native.Netlink;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Attach;

/// <summary>The netlink codec: bytes as linux/netlink.h and linux/nbd-netlink.h have them, and what is no message at all.</summary>
public sealed class KernelNbdMessageTests
{
    private const ushort Family = 0x1D;

    private static readonly KernelNbdConnect Connect = new()
    {
        Geometry = new KernelNbdGeometry
        {
            Size = 0x10000000,
            ExportSize = 0x10000000,
            BlockSize = 512,
            Flags = NbdTransmissionFlags.HasFlags | NbdTransmissionFlags.SendFlush | NbdTransmissionFlags.CanMultiConn,
        },
        Index = 3,
        TimeoutSeconds = 7,
        DeadConnectionSeconds = 60,
        Identifier = "nbdfuse:ab",
    };

    [Fact]
    public void Connect_is_the_message_that_the_kernel_expects_byte_for_byte()
    {
        NetlinkMessageWriter message = Begin(NbdNetlinkConstants.CommandConnect);

        KernelNbdMessages.Connect(message, Connect, [5, 9]);

        // Little endian, as all machines that this runs on.
        const string Expected = "90000000 1d00 0500 11000000 00000000 01 01 0000"
            + " 0800 0100 03000000"
            + " 0c00 0200 0000001000000000"
            + " 0c00 0300 0002000000000000"
            + " 0c00 0400 0700000000000000"
            + " 0c00 0800 3c00000000000000"
            + " 0c00 0500 0501000000000000"
            + " 0c00 0600 0000000000000000"
            + " 1c00 0780 0c00 0180 0800 0100 05000000 0c00 0180 0800 0100 09000000"
            + " 0f00 0a00 6e626466757365 3a6162 00 00";
        Assert.Equal(Expected, Hex(message.Finish(), Expected));
    }

    [Fact]
    public void Connect_without_a_number_and_without_timeouts_leaves_them_to_the_kernel()
    {
        NetlinkMessageWriter message = Begin(NbdNetlinkConstants.CommandConnect);

        KernelNbdMessages.Connect(message, Connect with { Index = null, TimeoutSeconds = 0, DeadConnectionSeconds = 0 }, [5]);

        Assert.Equal(
            [
                NbdNetlinkConstants.AttributeSizeBytes, NbdNetlinkConstants.AttributeBlockSizeBytes,
                NbdNetlinkConstants.AttributeServerFlags, NbdNetlinkConstants.AttributeClientFlags,
                NbdNetlinkConstants.AttributeSockets, NbdNetlinkConstants.AttributeBackendIdentifier,
            ],
            Types(message.Finish()));
    }

    [Fact]
    public void Replacing_a_connection_repeats_number_and_name_and_changes_nothing_else()
    {
        NetlinkMessageWriter message = Begin(NbdNetlinkConstants.CommandReconfigure);

        KernelNbdMessages.Replace(message, 3, "nbdfuse:ab", [5]);

        Assert.Equal(
            [NbdNetlinkConstants.AttributeIndex, NbdNetlinkConstants.AttributeBackendIdentifier, NbdNetlinkConstants.AttributeSockets],
            Types(message.Finish()));
    }

    [Fact]
    public void Thousand_connections_fit_and_more_than_a_message_holds_are_refused()
    {
        KernelNbdMessages.Connect(Begin(NbdNetlinkConstants.CommandConnect), Connect, [.. Enumerable.Range(3, 1024)]);

        Assert.Throws<ArgumentException>(
            () => KernelNbdMessages.Connect(Begin(NbdNetlinkConstants.CommandConnect), Connect, [.. Enumerable.Range(3, 4000)]));
    }

    [Fact]
    public void Index_is_read_from_the_answer_to_connect()
    {
        Assert.Equal(17, KernelNbdMessages.ReadIndex(Bytes("0800 0100 11000000")));
    }

    [Theory]
    [InlineData("")]
    [InlineData("08")]
    [InlineData("0800 0100 110000")]
    [InlineData("0300 0100")]
    [InlineData("ffff 0100 11000000")]
    [InlineData("0600 0100 1100 0000")]
    [InlineData("0800 0100 ffffffff")]
    [InlineData("0800 0200 11000000")]
    [InlineData("0800 0100 11000000 0000")]
    public void Index_that_is_missing_cut_or_absurd_is_none(string attributes)
    {
        Assert.Equal(-1, KernelNbdMessages.ReadIndex(Bytes(attributes)));
    }

    [Fact]
    public void Status_tells_which_devices_are_in_use()
    {
        const string Used = "1400 0100 0800 0100 00000000 0500 0200 01 000000";
        const string Free = "1400 0100 0800 0100 07000000 0500 0200 00 000000";

        IReadOnlyDictionary<int, bool> devices = KernelNbdMessages.ReadStatus(Bytes("2c00 0900 " + Used + Free));

        Assert.Equal(new Dictionary<int, bool> { [0] = true, [7] = false }, devices);
    }

    [Theory]
    [InlineData("")]
    [InlineData("2c00 0900 1400 0100")]
    [InlineData("0c00 0900 0800 0100 00000000")]
    [InlineData("1400 0900 1000 0100 0900 0100 00000000 00000000")]
    [InlineData("1000 0900 0c00 0100 0800 0100 ffffff7f")]
    [InlineData("1000 0900 0c00 0100 0400 0100 00000000")]
    public void Status_that_is_cut_or_absurd_names_no_device(string attributes)
    {
        Assert.Empty(KernelNbdMessages.ReadStatus(Bytes(attributes)));
    }

    [Fact]
    public void Dead_connections_of_a_device_are_counted_and_no_others()
    {
        byte[] datagram =
        [
            .. Event(Family, NbdNetlinkConstants.CommandLinkDead, 3), .. Event(Family, NbdNetlinkConstants.CommandLinkDead, 4),
            .. Event(Family, NbdNetlinkConstants.CommandLinkDead, 3), .. Event(Family, NbdNetlinkConstants.CommandStatus, 3),
            .. Event(Family + 1, NbdNetlinkConstants.CommandLinkDead, 3),
        ];

        Assert.Equal(2, KernelNbdEvents.Count(datagram, Family, 3));
    }

    [Fact]
    public void Any_cut_and_any_wrong_byte_of_an_event_is_survived()
    {
        byte[] datagram = Event(Family, NbdNetlinkConstants.CommandLinkDead, 3);
        for (int length = 0; length < datagram.Length; length++)
        {
            Assert.Equal(0, KernelNbdEvents.Count(datagram.AsSpan(0, length), Family, 3));
        }

        for (int at = 0; at < datagram.Length; at++)
        {
            for (int value = 0; value < 256; value++)
            {
                byte[] wrong = [.. datagram];
                wrong[at] = (byte)value;
                Assert.InRange(KernelNbdEvents.Count(wrong, Family, 3), 0, 1);
            }
        }
    }

    [Fact]
    public void Acknowledgement_carries_errno_and_the_kernel_s_own_words()
    {
        byte[] text = [.. "Missing required attribute"u8, 0];
        byte[] datagram = Acknowledgement(-22, NetlinkConstants.FlagCapped | NetlinkConstants.FlagAckAttributes, [], Attribute(1, text));
        var messages = new NetlinkMessages(datagram);

        Assert.True(messages.MoveNext());
        Assert.True(messages.TryReadAcknowledgement(out int error, out string? words));

        Assert.Equal(-22, error);
        Assert.Equal("Missing required attribute", words);
    }

    [Fact]
    public void Acknowledgement_that_repeats_the_request_carries_its_words_behind_it()
    {
        byte[] request = new byte[12];
        byte[] datagram = Acknowledgement(-16, NetlinkConstants.FlagAckAttributes, request, Attribute(1, [.. "busy"u8, 0]));
        var messages = new NetlinkMessages(datagram);

        Assert.True(messages.MoveNext());
        Assert.True(messages.TryReadAcknowledgement(out int error, out string? words));

        Assert.Equal(-16, error);
        Assert.Equal("busy", words);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-4096)]
    [InlineData(int.MinValue)]
    public void Acknowledgement_with_an_error_that_is_none_is_refused(int error)
    {
        var messages = new NetlinkMessages(Acknowledgement(error, 0, [], []));

        Assert.True(messages.MoveNext());
        Assert.False(messages.TryReadAcknowledgement(out _, out _));
    }

    [Fact]
    public void Acknowledgement_whose_request_would_reach_beyond_its_end_has_no_words()
    {
        byte[] datagram = Acknowledgement(-22, NetlinkConstants.FlagAckAttributes, [], Attribute(1, [.. "x"u8, 0]));
        BinaryPrimitives.WriteUInt32LittleEndian(datagram.AsSpan(20), uint.MaxValue);
        var messages = new NetlinkMessages(datagram);

        Assert.True(messages.MoveNext());
        Assert.True(messages.TryReadAcknowledgement(out int error, out string? words));

        Assert.Equal(-22, error);
        Assert.Null(words);
    }

    [Fact]
    public void Words_that_are_no_text_or_too_long_are_left_out()
    {
        var attributes = new NetlinkAttributes([.. Attribute(1, [0xFF, 0xFE, 0]), .. Attribute(1, new byte[600].Select(_ => (byte)'a').ToArray())]);

        Assert.True(attributes.MoveNext());
        Assert.False(attributes.TryReadText(out _));
        Assert.True(attributes.MoveNext());
        Assert.False(attributes.TryReadText(out _));
        Assert.False(attributes.MoveNext());
    }

    [Fact]
    public void Family_is_read_with_its_groups()
    {
        byte[] group = [.. Attribute(NetlinkConstants.GroupId, [9, 0, 0, 0]), .. Attribute(NetlinkConstants.GroupName, [.. "nbd_mc_group"u8, 0])];
        byte[] attributes =
        [
            .. Attribute(NetlinkConstants.ControllerFamilyName, [.. "nbd"u8, 0]),
            .. Attribute(NetlinkConstants.ControllerFamilyId, [0x1D, 0]),
            .. Attribute(NetlinkConstants.ControllerGroups, Attribute(1, group)),
        ];

        GenericNetlinkFamily? family = GenericNetlinkFamily.Parse(attributes);

        Assert.NotNull(family);
        Assert.Equal(Family, family.Id);
        Assert.Equal(9u, family.Groups["nbd_mc_group"]);
    }

    [Fact]
    public void Family_without_a_number_or_with_one_of_netlink_itself_is_none()
    {
        Assert.Null(GenericNetlinkFamily.Parse([]));
        Assert.Null(GenericNetlinkFamily.Parse(Attribute(NetlinkConstants.ControllerFamilyId, [2, 0])));
        Assert.Null(GenericNetlinkFamily.Parse([.. Attribute(NetlinkConstants.ControllerFamilyId, [0x1D, 0]), 1]));
    }

    [Fact]
    public void Real_controller_of_this_kernel_is_understood()
    {
        using GenericNetlinkSocket socket = GenericNetlinkSocket.Open();

        GenericNetlinkFamily? controller = socket.Resolve("nlctrl");

        Assert.NotNull(controller);
        Assert.Equal(NetlinkConstants.ControllerId, controller.Id);
        Assert.True(controller.Groups.ContainsKey("notify"));
        Assert.Null(socket.Resolve("no such thing"));
    }

    [Fact]
    public void Real_kernel_s_refusal_has_its_errno()
    {
        using GenericNetlinkSocket socket = GenericNetlinkSocket.Open();

        NetlinkException refusal = Assert.Throws<NetlinkException>(
            () => socket.Ask(socket.Begin(NetlinkConstants.ControllerId, 0xEE, 1)));

        Assert.Equal(Errno.EOPNOTSUPP, refusal.Errno);
    }

    [Fact]
    public void Errors_of_attaching_tell_what_to_do()
    {
        Assert.Contains("root", KernelNbdControl.Explain(new NetlinkException(-Errno.EPERM, null), null));
        Assert.Contains("/dev/nbd3 is in use", KernelNbdControl.Explain(new NetlinkException(-Errno.EBUSY, null), 3));
        Assert.Contains("TCP and unix", KernelNbdControl.Explain(new NetlinkException(-Errno.EINVAL, "odd"), null));
        Assert.Contains("odd", KernelNbdControl.Explain(new NetlinkException(-Errno.EINVAL, "odd"), null));
    }

    private static NetlinkMessageWriter Begin(byte command) =>
        new(Family, NetlinkConstants.FlagRequest | NetlinkConstants.FlagAck, 0x11, command, NbdNetlinkConstants.Version);

    private static byte[] Event(int family, byte command, uint index)
    {
        var message = new NetlinkMessageWriter((ushort)family, 0, 0, command, 1);
        message.Add(NbdNetlinkConstants.AttributeIndex, index);
        return message.Finish().ToArray();
    }

    private static byte[] Attribute(ushort type, byte[] value)
    {
        byte[] result = new byte[(4 + value.Length + 3) & ~3];
        BinaryPrimitives.WriteUInt16LittleEndian(result, (ushort)(4 + value.Length));
        BinaryPrimitives.WriteUInt16LittleEndian(result.AsSpan(2), type);
        value.CopyTo(result, 4);
        return result;
    }

    private static byte[] Acknowledgement(int error, ushort flags, byte[] request, byte[] attributes)
    {
        byte[] result = [.. new byte[36], .. request, .. attributes];
        BinaryPrimitives.WriteInt32LittleEndian(result, result.Length);
        BinaryPrimitives.WriteUInt16LittleEndian(result.AsSpan(4), NetlinkConstants.TypeError);
        BinaryPrimitives.WriteUInt16LittleEndian(result.AsSpan(6), flags);
        BinaryPrimitives.WriteInt32LittleEndian(result.AsSpan(16), error);
        BinaryPrimitives.WriteInt32LittleEndian(result.AsSpan(20), 16 + request.Length);
        return result;
    }

    private static List<ushort> Types(ReadOnlySpan<byte> message)
    {
        List<ushort> types = [];
        var messages = new NetlinkMessages(message);
        Assert.True(messages.MoveNext());
        Assert.True(messages.TryReadGeneric(out _, out ReadOnlySpan<byte> attributes));
        var walk = new NetlinkAttributes(attributes);
        while (walk.MoveNext())
        {
            types.Add(walk.Type);
        }

        Assert.False(walk.IsMalformed);
        return types;
    }

    private static byte[] Bytes(string hex) => Convert.FromHexString(hex.Replace(" ", string.Empty, StringComparison.Ordinal));

    // With the blanks of what is expected, so that a difference can be read.
    private static string Hex(ReadOnlySpan<byte> bytes, string layout)
    {
        string digits = Convert.ToHexStringLower(bytes);
        var text = new StringBuilder();
        int at = 0;
        foreach (char c in layout)
        {
            text.Append(c == ' ' ? ' ' : at < digits.Length ? digits[at++] : '?');
        }

        return text.Append(digits.AsSpan(Math.Min(at, digits.Length))).ToString();
    }
}
