using Xunit;

namespace NbdFuse.VmTests.KernelNbd;

/// <summary>The tests that share the guest of the kernel's nbd driver.</summary>
[CollectionDefinition(nameof(KernelNbdCollection))]
public sealed class KernelNbdCollection : ICollectionFixture<KernelNbdGuest>;
