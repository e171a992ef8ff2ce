using System.Diagnostics;
using System.Text;

namespace NbdFuse.TestKit;

/// <summary>
/// A running program whose output is collected, and which does not outlive this object.
/// </summary>
public sealed class BackgroundTool : IAsyncDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly StringBuilder _error = new();
    private readonly Task _outputPump;
    private readonly Task _errorPump;

    /// <summary>Starts a program with an empty stdin.</summary>
    /// <param name="file">Name or path of the program.</param>
    /// <param name="args">Arguments, unquoted.</param>
    public BackgroundTool(string file, params string[] args)
        : this(file, args, environment: null)
    {
    }

    /// <summary>Starts a program with an empty stdin.</summary>
    /// <param name="file">Name or path of the program.</param>
    /// <param name="args">Arguments, unquoted.</param>
    /// <param name="environment">Variables to add or, with a null value, to remove.</param>
    public BackgroundTool(string file, string[] args, IReadOnlyDictionary<string, string?>? environment)
    {
        var start = new ProcessStartInfo(Requires.FindCommand(file) ?? file)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach (string arg in args)
        {
            start.ArgumentList.Add(arg);
        }

        // Messages are compared: no translations.
        start.Environment["LC_ALL"] = "C.UTF-8";
        foreach ((string name, string? value) in environment ?? new Dictionary<string, string?>())
        {
            start.Environment[name] = value;
        }

        CommandLine = Tool.Describe(start);
        _process = StartThread.Start(start) ?? throw new InvalidOperationException($"'{CommandLine}' did not start.");
        Id = _process.Id;
        _process.StandardInput.Close();
        _outputPump = PumpAsync(_process.StandardOutput, _output);
        _errorPump = PumpAsync(_process.StandardError, _error);
    }

    /// <summary>What was run, for messages.</summary>
    public string CommandLine { get; }

    /// <summary>Process id.</summary>
    public int Id { get; }

    /// <summary>True when the program has ended.</summary>
    public bool HasExited => _process.HasExited;

    /// <summary>Exit code of a program that has ended; 128 + signal when a signal ended it.</summary>
    public int ExitCode => _process.ExitCode;

    /// <summary>stdout so far.</summary>
    public string Output => Snapshot(_output);

    /// <summary>stderr so far.</summary>
    public string Error => Snapshot(_error);

    /// <summary>Sends SIGKILL to the program and all its descendants, and waits until it is gone.</summary>
    public void Kill()
    {
        try
        {
            _process.Kill(entireProcessTree: true);
        }
        catch (InvalidOperationException)
        {
            // It ended by itself in the meantime: what was wanted.
        }

        _process.WaitForExit(TimeSpan.FromSeconds(30));
    }

    /// <summary>Sends a signal to the program only.</summary>
    /// <param name="name">Name without SIG, as "TERM".</param>
    public void Signal(string name)
    {
        if (!_process.HasExited)
        {
            // The shell's own kill: procps need not be installed. The process may end in between, so the result
            // says nothing.
            using Process? kill = Process.Start("/bin/sh", ["-c", $"kill -s {name} {Id} 2>/dev/null || true"]);
            kill?.WaitForExit();
        }
    }

    /// <summary>Waits for the end, and for the end of the output.</summary>
    /// <param name="cancellation">Gives up waiting.</param>
    /// <returns>The exit code.</returns>
    public async Task<int> WaitForExitAsync(CancellationToken cancellation)
    {
        await _process.WaitForExitAsync(cancellation).ConfigureAwait(false);

        // A grandchild may hold the pipes open for ever: then what has come so far must do.
        await Task.WhenAny(Task.WhenAll(_outputPump, _errorPump), Task.Delay(TimeSpan.FromSeconds(5), cancellation))
            .ConfigureAwait(false);
        return _process.ExitCode;
    }

    /// <summary>Asks by SIGTERM, waits 10 s, kills.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> StopAsync()
    {
        Signal("TERM");
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        try
        {
            return await WaitForExitAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            Kill();
            return _process.ExitCode;
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            Kill();
        }

        _process.Dispose();
        return ValueTask.CompletedTask;
    }

    private static async Task PumpAsync(StreamReader reader, StringBuilder sink)
    {
        char[] buffer = new char[4096];
        try
        {
            int count;
            while ((count = await reader.ReadAsync(buffer).ConfigureAwait(false)) > 0)
            {
                lock (sink)
                {
                    sink.Append(buffer, 0, count);
                }
            }
        }
        catch (Exception error) when (error is ObjectDisposedException or IOException)
        {
            lock (sink)
            {
                sink.Append($"[{error.GetType().Name} while reading]");
            }
        }
    }

    private static string Snapshot(StringBuilder text)
    {
        lock (text)
        {
            return text.ToString();
        }
    }
}
