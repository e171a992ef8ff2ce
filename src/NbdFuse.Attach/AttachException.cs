namespace NbdFuse.Attach;

/// <summary>A block device could not be made, used or taken down; the message says why and what to do.</summary>
/// <param name="message">One line for the user.</param>
/// <param name="inner">What caused it, or null.</param>
public class AttachException(string message, Exception? inner = null) : IOException(message, inner);
