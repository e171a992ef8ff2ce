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
