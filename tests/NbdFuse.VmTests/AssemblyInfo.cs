using Xunit;

// A guest takes a processor: one after the other.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
