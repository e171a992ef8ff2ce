using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace NbdFuse.Cli;

/// <summary>
/// Compiles what continues the asynchronous methods of an assembly. The precompiled program lacks these few methods per asynchronous
/// method, and which of them run depends on who is faster: one that was going to be awaited continues by another of them than one
/// that had ended by then. So a rehearsal alone meets some of them only now and then.
/// </summary>
internal static class AsyncPreparation
{
    private const BindingFlags Own = BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
    private const string Justification = "What was trimmed away does not run either: what is not found need not be prepared.";

    // The runtime's names; a runtime that has others prepares nothing, which the count of compiled methods shows.
    private const string BoxName = "AsyncStateMachineBox`1";
    private static readonly string[] _continuations = ["MoveNext", "ExecuteFromThreadPool", "ExecutionContextCallback"];

    /// <summary>Compiles.</summary>
    /// <param name="assembly">Whose methods.</param>
    /// <returns>How many asynchronous methods were met.</returns>
    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = Justification)]
    public static int Run(Assembly assembly)
    {
        int count = 0;
        foreach (Type type in assembly.GetTypes())
        {
            if (type.IsValueType && typeof(IAsyncStateMachine).IsAssignableFrom(type) && Closed(type) is { } machine
                && BuilderOf(machine) is { } builder && ResultOf(builder) is { } result && BoxOf(result, machine) is { } box)
            {
                Prepare(box);
                count++;
            }
        }

        return count;
    }

    // A generic method's code is one for all references.
    [UnconditionalSuppressMessage("Trimming", "IL2055", Justification = Justification)]
    private static Type? Closed(Type machine)
    {
        if (!machine.IsGenericTypeDefinition)
        {
            return machine;
        }

        Type[] parameters = machine.GetGenericArguments();
        bool isFree = parameters.All(parameter =>
            parameter.GetGenericParameterConstraints().Length == 0 && parameter.GenericParameterAttributes == GenericParameterAttributes.None);
        return isFree && RuntimeFeature.IsDynamicCodeSupported ? machine.MakeGenericType([.. parameters.Select(_ => typeof(object))]) : null;
    }

    [UnconditionalSuppressMessage("Trimming", "IL2070", Justification = Justification)]
    private static Type? BuilderOf(Type machine) => machine.GetField("<>t__builder")?.FieldType;

    // What the builder's task results in: a type of the runtime's own where the method returns none.
    private static Type? ResultOf(Type builder)
    {
        if (builder.IsGenericType)
        {
            return builder.GenericTypeArguments[0];
        }

        return builder == typeof(AsyncTaskMethodBuilder) || builder == typeof(AsyncValueTaskMethodBuilder)
            ? typeof(AsyncTaskMethodBuilder).GetField("m_task", Own)?.FieldType.GenericTypeArguments[0]
            : null;
    }

    [UnconditionalSuppressMessage("Trimming", "IL2055", Justification = Justification)]
    private static Type? BoxOf(Type result, Type machine) =>
        RuntimeFeature.IsDynamicCodeSupported
            ? typeof(AsyncTaskMethodBuilder<>).GetNestedType(BoxName, BindingFlags.NonPublic)?.MakeGenericType(result, machine)
            : null;

    [UnconditionalSuppressMessage("Trimming", "IL2067", Justification = Justification)]
    [UnconditionalSuppressMessage("Trimming", "IL2070", Justification = Justification)]
    private static void Prepare(Type box)
    {
        RuntimeTypeHandle[] arguments = [.. box.GenericTypeArguments.Select(argument => argument.TypeHandle)];
        foreach (MethodInfo method in box.GetMethods(Own))
        {
            if (_continuations.Contains(method.Name) && !method.IsAbstract)
            {
                RuntimeHelpers.PrepareMethod(method.MethodHandle, arguments);
                if (method.GetParameters().Length == 0)
                {
                    // The runtime does not prepare this one, which implements an interface, unless it is somebody's delegate.
                    RuntimeHelpers.PrepareDelegate(method.CreateDelegate<Action>(RuntimeHelpers.GetUninitializedObject(box)));
                }
            }
        }

        if (box.TypeInitializer is { } initializer)
        {
            RuntimeHelpers.PrepareMethod(initializer.MethodHandle, arguments);
        }
    }
}
