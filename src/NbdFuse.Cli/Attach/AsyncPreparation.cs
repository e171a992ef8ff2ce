using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace NbdFuse.Cli;

/// <summary>
/// Compiles what suspends and continues the asynchronous methods of an assembly. The precompiled program lacks these few methods per
/// asynchronous method, and which of them run depends on who is faster: one that was going to be awaited continues by another of them
/// than one that had ended by then. So a rehearsal alone meets some of them only now and then.
/// </summary>
internal static class AsyncPreparation
{
    private const BindingFlags Own = BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
    private const string Justification = "What was trimmed away does not run either: what is not found need not be prepared.";

    // The runtime's names; a runtime that has others prepares nothing, which the count of compiled methods shows.
    private const string BoxName = "AsyncStateMachineBox`1";
    private const string Suspension = "AwaitUnsafeOnCompleted";
    private static readonly string[] _continuations = ["MoveNext", "ExecuteFromThreadPool", "ExecutionContextCallback"];

    /// <summary>Compiles.</summary>
    /// <param name="assembly">Whose methods.</param>
    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = Justification)]
    public static void Run(Assembly assembly)
    {
        if (!RuntimeFeature.IsDynamicCodeSupported)
        {
            return;
        }

        foreach (Type type in assembly.GetTypes())
        {
            if (type.IsValueType && typeof(IAsyncStateMachine).IsAssignableFrom(type) && Closed(type) is { } machine && ResultOf(machine) is { } result)
            {
                PrepareSuspensions(machine, result);
                if (typeof(AsyncTaskMethodBuilder<>).GetNestedType(BoxName, BindingFlags.NonPublic) is { } box)
                {
                    PrepareContinuations(box, [result, machine]);
                }
            }
        }
    }

    /// <summary>Compiles a method of the runtime's that runs when a call into the system ends while the collector wants to run.</summary>
    public static void PrepareForCollections()
    {
        if (typeof(Thread).GetMethod("PollGC", Own) is { } poll)
        {
            RuntimeHelpers.PrepareMethod(poll.MethodHandle);
        }
    }

    // A generic method's code is one for all references.
    [UnconditionalSuppressMessage("Trimming", "IL2055", Justification = Justification)]
    [RequiresDynamicCode("Makes types.")]
    private static Type? Closed(Type machine)
    {
        if (!machine.IsGenericTypeDefinition)
        {
            return machine;
        }

        Type[] parameters = machine.GetGenericArguments();
        bool isFree = parameters.All(parameter =>
            parameter.GetGenericParameterConstraints().Length == 0 && parameter.GenericParameterAttributes == GenericParameterAttributes.None);
        return isFree ? machine.MakeGenericType([.. parameters.Select(_ => typeof(object))]) : null;
    }

    // What its task results in: a type of the runtime's own where the method returns nothing.
    [UnconditionalSuppressMessage("Trimming", "IL2070", Justification = Justification)]
    private static Type? ResultOf(Type machine)
    {
        Type? builder = machine.GetField("<>t__builder")?.FieldType;
        if (builder is { IsGenericType: true })
        {
            return builder.GenericTypeArguments[0];
        }

        return builder == typeof(AsyncTaskMethodBuilder) || builder == typeof(AsyncValueTaskMethodBuilder)
            ? typeof(AsyncTaskMethodBuilder).GetField("m_task", Own)?.FieldType.GenericTypeArguments[0]
            : null;
    }

    [UnconditionalSuppressMessage("Trimming", "IL2055", Justification = Justification)]
    [UnconditionalSuppressMessage("Trimming", "IL2060", Justification = Justification)]
    [UnconditionalSuppressMessage("Trimming", "IL2070", Justification = Justification)]
    [UnconditionalSuppressMessage("Trimming", "IL2080", Justification = Justification)]
    [RequiresDynamicCode("Makes types and methods.")]
    private static void PrepareSuspensions(Type machine, Type result)
    {
        MethodInfo? suspend = typeof(AsyncTaskMethodBuilder<>).MakeGenericType(result).GetMethods(Own)
            .SingleOrDefault(method => method.Name == Suspension && method.IsStatic && method.GetGenericArguments().Length == 1 && method.GetParameters().Length == 2);
        foreach (FieldInfo field in machine.GetFields(Own))
        {
            if (suspend is not null && field.FieldType is { IsValueType: true } awaiter && typeof(ICriticalNotifyCompletion).IsAssignableFrom(awaiter))
            {
                RuntimeHelpers.PrepareMethod(suspend.MakeGenericMethod(awaiter).MethodHandle, [result.TypeHandle, awaiter.TypeHandle]);
            }
        }
    }

    [UnconditionalSuppressMessage("Trimming", "IL2055", Justification = Justification)]
    [UnconditionalSuppressMessage("Trimming", "IL2067", Justification = Justification)]
    [UnconditionalSuppressMessage("Trimming", "IL2070", Justification = Justification)]
    [UnconditionalSuppressMessage("Trimming", "IL2072", Justification = Justification)]
    [UnconditionalSuppressMessage("Trimming", "IL2075", Justification = Justification)]
    [RequiresDynamicCode("Makes types.")]
    private static void PrepareContinuations(Type definition, Type[] arguments)
    {
        Type box = definition.MakeGenericType(arguments);
        RuntimeTypeHandle[] handles = [.. arguments.Select(argument => argument.TypeHandle)];
        foreach (MethodInfo method in box.GetMethods(Own).Where(method => _continuations.Contains(method.Name)))
        {
            RuntimeHelpers.PrepareMethod(method.MethodHandle, handles);
            if (method.GetParameters().Length == 0)
            {
                // The runtime does not prepare this one, which implements an interface, unless it is somebody's delegate.
                RuntimeHelpers.PrepareDelegate(method.CreateDelegate<Action>(RuntimeHelpers.GetUninitializedObject(box)));
            }
        }

        if (box.TypeInitializer is { } initializer)
        {
            RuntimeHelpers.PrepareMethod(initializer.MethodHandle, handles);
        }
    }
}
