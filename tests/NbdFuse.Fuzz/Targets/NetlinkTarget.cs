using NbdFuse.Attach.KernelNbd;
using NbdFuse.Native.Netlink;

namespace NbdFuse.Fuzz.Targets;

/// <summary>Datagrams of generic netlink: answers of the kernel's nbd driver, its events, acknowledgements with texts.</summary>
internal sealed class NetlinkTarget : IFuzzTarget
{
    public string Name => "netlink";

    public IEnumerable<byte[]> Seeds
    {
        get
        {
            var connect = new NetlinkMessageWriter(20, 0, 1, 1, 1);
            connect.Add(NbdNetlinkConstants.AttributeIndex, 3u);
            yield return connect.Finish().ToArray();
            var status = new NetlinkMessageWriter(20, 0, 2, 5, 1);
            int list = status.Begin(NbdNetlinkConstants.AttributeDeviceList);
            for (uint index = 0; index < 3; index++)
            {
                int item = status.Begin(NbdNetlinkConstants.DeviceItem);
                status.Add(NbdNetlinkConstants.DeviceIndex, index);
                status.Add(NbdNetlinkConstants.DeviceConnected, 1u);
                status.End(item);
            }

            status.End(list);
            yield return status.Finish().ToArray();
            yield return [.. connect.Finish(), .. status.Finish()];

            // An acknowledgement with a text: error -22, the header of the request, the attribute.
            byte[] text = [.. "no such device\0"u8, 0];
            byte[] request = connect.Finish()[..16].ToArray();
            int length = 16 + 4 + 16 + 4 + text.Length;
            yield return
            [
                (byte)length, 0, 0, 0, 2, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0xEA, 0xFF, 0xFF, 0xFF, .. request, (byte)(4 + text.Length), 0, 1, 0, .. text,
            ];
        }
    }

    public void Run(byte[] input)
    {
        var messages = new NetlinkMessages(input);
        int count = 0;
        while (messages.MoveNext())
        {
            if (++count > input.Length)
            {
                throw new FuzzFailureException("more messages than bytes");
            }

            if (messages.TryReadAcknowledgement(out int error, out string? text) && (error > 0 || text?.Length > 4096))
            {
                throw new FuzzFailureException($"an acknowledgement says {error}, {text?.Length} characters");
            }

            if (messages.TryReadGeneric(out _, out ReadOnlySpan<byte> attributes))
            {
                if (KernelNbdMessages.ReadIndex(attributes) < -1 || KernelNbdMessages.ReadStatus(attributes).Keys.Any(index => index < 0))
                {
                    throw new FuzzFailureException("a device has a number below 0");
                }
            }
        }
    }

    public void Dispose()
    {
    }
}
