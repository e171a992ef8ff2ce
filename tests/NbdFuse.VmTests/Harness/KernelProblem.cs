namespace NbdFuse.VmTests.Harness;

/// <summary>A complaint of the guest's kernel.</summary>
/// <param name="Kind">What it is about.</param>
/// <param name="Line">The line of the console.</param>
public sealed record KernelProblem(KernelProblemKind Kind, string Line);
