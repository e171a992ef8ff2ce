using Xunit;

namespace NbdFuse.VmTests.Harness;

/// <summary>
/// One guest for all tests of a class (<see cref="IClassFixture{TFixture}"/>): booted by the first test that asks, so that a
/// missing part skips tests; booted anew when a test has killed it.
/// </summary>
/// <param name="options">What it has.</param>
public abstract class GuestFixture(GuestOptions options) : IAsyncLifetime
{
    private Guest? _guest;

    /// <summary>The guest, running.</summary>
    public async Task<Guest> GuestAsync()
    {
        if (_guest is { IsRunning: false })
        {
            await _guest.DisposeAsync().ConfigureAwait(false);
            _guest = null;
        }

        if (_guest is null)
        {
            _guest = await Guest.StartAsync(options).ConfigureAwait(false);
            await PrepareAsync(_guest).ConfigureAwait(false);
        }

        return _guest;
    }

    /// <summary>Runs a test in the guest, and once more in a new one when the guest failed by its own fault.</summary>
    /// <param name="test">The test; it must be able to run twice.</param>
    public async Task UseAsync(Func<Guest, Task> test)
    {
        for (int attempt = 1; ; attempt++)
        {
            Guest guest = await GuestAsync().ConfigureAwait(false);
            try
            {
                await test(guest).ConfigureAwait(false);
                return;
            }
            catch (Exception error) when (attempt == 1 && KernelLog.IsOwnFault(guest.Console))
            {
                Guest.Note("trying again", error);
                await guest.DisposeAsync().ConfigureAwait(false);
                _guest = null;
            }
        }
    }

    /// <inheritdoc/>
    public virtual ValueTask InitializeAsync() => ValueTask.CompletedTask;

    /// <inheritdoc/>
    public virtual async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        if (_guest is not null)
        {
            await _guest.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Runs after each boot, before the first test.</summary>
    /// <param name="guest">The guest.</param>
    protected virtual Task PrepareAsync(Guest guest) => Task.CompletedTask;
}
