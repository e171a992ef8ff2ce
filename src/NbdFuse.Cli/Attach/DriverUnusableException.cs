using NbdFuse.Attach;

namespace NbdFuse.Cli;

/// <summary>A driver could not make a device for a reason of its own, so that another driver may still do. No device is left.</summary>
/// <param name="message">One line for the user.</param>
/// <param name="inner">What caused it.</param>
internal sealed class DriverUnusableException(string message, Exception inner) : AttachException(message, inner);
