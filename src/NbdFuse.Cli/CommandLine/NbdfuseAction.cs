namespace NbdFuse.Cli;

/// <summary>What the compatible form of the command is asked to do.</summary>
internal enum NbdfuseAction
{
    /// <summary>Mount an export.</summary>
    Mount,

    /// <summary>Print the usage.</summary>
    Help,

    /// <summary>Print the options of -o.</summary>
    FuseHelp,

    /// <summary>Print the version.</summary>
    Version,

    /// <summary>Print the long options, one a line.</summary>
    LongOptions,

    /// <summary>Print the short options, one a line.</summary>
    ShortOptions,
}
