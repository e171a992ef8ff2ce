using System.Runtime.InteropServices;
using NbdFuse.Native;
using NbdFuse.Native.Ublk;
using NbdFuse.Ublk;
using Xunit;

namespace NbdFuse.UnitTests.Ublk;

/// <summary>
/// The kernel's side of a queue, as Linux 6.12 behaves: a tag is handed out once between fetch and commit, payload is copied in
/// before and out at the commit, and completions show up only after the server has entered the kernel.
/// </summary>
/// <remarks>THREADING: the loop's thread, but for <see cref="Kick"/>.</remarks>
internal sealed class FakeUblkRing : IUblkRing
{
    private readonly FileDescriptor _event = FileDescriptor.OwnOrThrow(Posix.EventFdCreate(), "eventfd");
    private readonly FakeUblkTag[] _tags;
    private readonly List<(int Tag, int Result, nint Address, bool IsCommit)> _queued = [];
    private readonly Queue<(int Tag, int Result)> _deferred = new();
    private readonly Queue<(int Tag, int Result)> _completions = new();
    private readonly Queue<FakeUblkCall> _waiting = new();
    private bool _isStopping;

    public FakeUblkRing(int depth)
    {
        _tags = new FakeUblkTag[depth];
        for (int i = 0; i < depth; i++)
        {
            _tags[i] = new FakeUblkTag();
        }
    }

    public int EventDescriptor => _event.Value;

    public bool NeedsSubmit => _queued.Count > 0 || _deferred.Count > 0;

    public bool HasCompletion => _completions.Count > 0;

    public bool IsDisposed { get; private set; }

    public int Submissions { get; private set; }

    public int Fetched => _tags.Count(tag => tag.IsFetched);

    /// <summary>How many commits each submission carried.</summary>
    public List<int> CommitsPerSubmission { get; } = [];

    /// <summary>What the next submissions return instead of doing anything.</summary>
    public Queue<int> SubmitErrors { get; } = new();

    /// <summary>Errors with which the next commands complete instead of being taken.</summary>
    public Queue<int> CommandErrors { get; } = new();

    /// <summary>Address of the buffer that a tag was last given.</summary>
    public nint AddressOf(int tag) => _tags[tag].Address;

    public bool TryQueueFetch(int tag, nint address)
    {
        _queued.Add((tag, 0, address, false));
        return true;
    }

    public bool TryQueueCommit(int tag, int result, nint address)
    {
        _queued.Add((tag, result, address, true));
        return true;
    }

    public int Submit()
    {
        Assert.False(IsDisposed, "a closed ring was used");
        Submissions++;
        if (SubmitErrors.TryDequeue(out int error))
        {
            return error;
        }

        CommitsPerSubmission.Add(_queued.Count(command => command.IsCommit));
        foreach ((int tag, int result, nint address, bool isCommit) in _queued)
        {
            if (CommandErrors.TryDequeue(out int refusal))
            {
                _deferred.Enqueue((tag, refusal));
                continue;
            }

            Take(tag, result, address, isCommit);
        }

        int count = _queued.Count;
        _queued.Clear();
        DispatchWaiting();
        while (_deferred.TryDequeue(out (int Tag, int Result) completion))
        {
            _completions.Enqueue(completion);
        }

        return count;
    }

    public bool TryTake(out int tag, out int result)
    {
        bool taken = _completions.TryDequeue(out (int Tag, int Result) completion);
        (tag, result) = completion;
        return taken;
    }

    public UblkIoDescriptor Describe(int tag)
    {
        FakeUblkTag state = _tags[tag];
        Assert.NotNull(state.Call);
        return state.Call.Description with { Address = (ulong)state.Address };
    }

    public void Dispose()
    {
        IsDisposed = true;
        _event.Dispose();
    }

    /// <summary>Tells the server that there is something for it.</summary>
    public void Kick() => Posix.EventFdWrite(_event.Value);

    /// <summary>Sends a request, now or as soon as a tag is free.</summary>
    public void Send(FakeUblkCall call)
    {
        _waiting.Enqueue(call);
        DispatchWaiting();
        Kick();
    }

    /// <summary>Stops the device as STOP_DEV does: what is under way is waited for, then every fetch ends.</summary>
    public void Stop()
    {
        _isStopping = true;
        EndIdleTags();
        Kick();
    }

    private void Take(int tag, int result, nint address, bool isCommit)
    {
        FakeUblkTag state = _tags[tag];
        Assert.False(state.IsFetched, "a tag was fetched twice");
        Assert.NotEqual(0, address);
        Assert.Equal(isCommit, state.Call is not null);
        state.Address = address;
        state.IsFetched = true;
        if (state.Call is { } call)
        {
            state.Call = null;
            call.End(result, address);
        }

        if (_isStopping)
        {
            EndIdleTags();
        }
    }

    private void DispatchWaiting()
    {
        for (int tag = 0; tag < _tags.Length && _waiting.Count > 0; tag++)
        {
            FakeUblkTag state = _tags[tag];
            if (state.IsFetched && !_isStopping)
            {
                state.IsFetched = false;
                state.Call = _waiting.Dequeue();
                if (state.Call.Data is { } data)
                {
                    Marshal.Copy(data, 0, state.Address, data.Length);
                }

                _deferred.Enqueue((tag, 0));
            }
        }
    }

    private void EndIdleTags()
    {
        if (_tags.Any(tag => tag.Call is not null))
        {
            return;
        }

        for (int tag = 0; tag < _tags.Length; tag++)
        {
            if (_tags[tag].IsFetched)
            {
                _tags[tag].IsFetched = false;
                _deferred.Enqueue((tag, UblkConstants.Abort));
            }
        }
    }
}
