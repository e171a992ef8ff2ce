namespace NbdFuse.Cli;

/// <summary>One option of the compatible form, as getopt_long(3) describes it.</summary>
/// <param name="Id">What the option means: the same for all spellings.</param>
/// <param name="Short">Its letter, or NUL when it has none.</param>
/// <param name="Long">Its long name without dashes, or null when it has none.</param>
/// <param name="TakesArgument">Whether an argument is required.</param>
/// <param name="IsOwn">
/// Whether libnbd's nbdfuse lacks it. Abbreviations of libnbd's names win over those of own ones, so that no script breaks because
/// a name was added here.
/// </param>
/// <param name="IsListed">Whether --long-options and --short-options show it.</param>
internal sealed record GetoptOption(
    OptionId Id,
    char Short = '\0',
    string? Long = null,
    bool TakesArgument = false,
    bool IsOwn = false,
    bool IsListed = true);
