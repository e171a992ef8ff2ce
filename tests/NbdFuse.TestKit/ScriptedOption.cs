using NbdFuse.Protocol;

namespace NbdFuse.TestKit;

/// <summary>An option that the client has sent.</summary>
/// <param name="Option">Which one.</param>
/// <param name="Data">Its data.</param>
public sealed record ScriptedOption(NbdOption Option, byte[] Data)
{
    /// <summary>The export name of a GO, INFO or EXPORT_NAME.</summary>
    public string ExportName
    {
        get
        {
            bool valid = Option == NbdOption.ExportName
                ? NbdOptionData.TryReadExportName(Data, out string name)
                : NbdOptionData.TryReadGo(Data, out name, out _);
            return valid ? name : throw new ScriptException($"The data of {Option} is malformed: {Convert.ToHexString(Data)}");
        }
    }

    /// <summary>The information that a GO or INFO asks for.</summary>
    public NbdInfoType[] Infos => NbdOptionData.TryReadGo(Data, out _, out NbdInfoType[] infos)
        ? infos
        : throw new ScriptException($"The data of {Option} is malformed: {Convert.ToHexString(Data)}");
}
