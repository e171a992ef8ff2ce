namespace NbdFuse.Cli;

/// <summary>What the user wants to see.</summary>
/// <param name="Verbosity">How much.</param>
/// <param name="Debug">Whether exceptions are shown with their stack.</param>
internal sealed record CommandLogOptions(LogVerbosity Verbosity, bool Debug);
