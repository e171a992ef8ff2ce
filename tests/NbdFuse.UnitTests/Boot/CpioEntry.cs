using System.Text;

namespace NbdFuse.UnitTests.Boot;

internal sealed record CpioEntry(string Name, uint Inode, uint Mode, uint Time, byte[] Content)
{
    public string Text => Encoding.UTF8.GetString(Content);
}
