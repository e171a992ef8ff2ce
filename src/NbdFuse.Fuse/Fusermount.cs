namespace NbdFuse.Fuse;
internal static class Fusermount
{
    public static void Unmount(string path, bool lazy) => throw new FuseException(path + lazy);
}
