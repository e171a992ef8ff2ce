using System.Net.Sockets;

namespace NbdFuse.Fuzz.Targets;

/// <summary>What a server writes, changed on its way: bytes flipped, lost, put in; and the line cut.</summary>
/// <param name="socket">The line.</param>
/// <param name="edits">What is done, and at which byte of all that is written; in the order of the bytes.</param>
internal sealed class TamperingStream(Socket socket, IReadOnlyList<(int At, int Kind, byte Value)> edits) : Stream
{
    /// <summary>Number of kinds of edits.</summary>
    public const int Kinds = 4;

    private int _written;
    private int _next;
    private bool _isCut;

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) => socket.Receive(buffer, offset, count, SocketFlags.None);

    public override void Write(byte[] buffer, int offset, int count)
    {
        List<byte> said = [];
        for (int i = 0; i < count && !_isCut; i++, _written++)
        {
            byte value = buffer[offset + i];
            bool isLost = false;
            while (_next < edits.Count && edits[_next].At <= _written && !_isCut)
            {
                (_, int kind, byte with) = edits[_next++];
                switch (kind)
                {
                    case 0:
                        _isCut = true;
                        break;
                    case 1:
                        value ^= with;
                        break;
                    case 2:
                        said.Add(with);
                        break;
                    default:
                        isLost = true;
                        break;
                }
            }

            if (!isLost && !_isCut)
            {
                said.Add(value);
            }
        }

        for (int sent = 0; sent < said.Count;)
        {
            sent += socket.Send([.. said.Skip(sent)]);
        }

        if (_isCut)
        {
            socket.Shutdown(SocketShutdown.Both);
            throw new IOException("the line is cut");
        }
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
