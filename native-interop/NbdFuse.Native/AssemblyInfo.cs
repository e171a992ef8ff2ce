using System.Runtime.CompilerServices;

// Every signature is blittable: no marshalling stub may copy or pin behind our back.
[assembly: DisableRuntimeMarshalling]
