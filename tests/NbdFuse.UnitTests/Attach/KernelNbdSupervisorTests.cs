using NbdFuse.Attach;
using NbdFuse.Attach.KernelNbd;
using NbdFuse.Protocol;
using Xunit;

namespace NbdFuse.UnitTests.Attach;

/// <summary>The supervisor's decisions, in a world in which time passes only when it waits.</summary>
public sealed class KernelNbdSupervisorTests
{
    private static readonly NbdExportInfo First = new() { Name = "x", Size = 1 << 20, Flags = NbdTransmissionFlags.HasFlags };

    [Fact]
    public void Dead_connection_is_replaced_at_once()
    {
        var world = new World(1);
        world.Lose(1);

        Assert.Equal(KernelNbdSupervisionEnd.Stopped, Run(world));

        Assert.Equal([(1, false)], world.Asked);
        Assert.Equal(1, world.HandedOver);
        Assert.Equal(0, world.Time);
        Assert.Equal((true, null), world.Reports[^1]);
        Assert.Null(world.Failed);
    }

    [Fact]
    public void All_connections_are_replaced_together_and_one_goes_to_the_server_of_the_others()
    {
        var world = new World(4);
        world.Lose(1);
        world.Lose(4);

        Run(world);

        Assert.Equal([(1, true), (4, false)], world.Asked);
        Assert.Equal(5, world.HandedOver);
    }

    [Fact]
    public void Server_that_gives_fewer_connections_is_asked_again_for_the_rest()
    {
        var world = new World(3) { Gives = 1 };
        world.Lose(3);

        Run(world);

        Assert.Equal([(3, false), (2, true), (1, true)], world.Asked);
        Assert.Equal(0, world.Dead);
    }

    [Fact]
    public void Absent_server_is_called_with_growing_pauses_until_it_is_back()
    {
        var world = new World(1) { Refusals = 12 };
        world.Lose(1);

        Run(world);

        Assert.Equal(13, world.Asked.Count);
        Assert.Equal([100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000, 5000, 5000], world.Pauses);
        Assert.Contains(world.Reports, report => report == (false, "refused"));
        Assert.Equal((true, null), world.Reports[^1]);
    }

    [Fact]
    public void Server_that_takes_clients_and_drops_them_is_not_called_without_pauses()
    {
        var world = new World(1);
        for (int i = 0; i < 5; i++)
        {
            world.Lose(1);
        }

        Run(world);

        Assert.Equal(5, world.HandedOver);
        Assert.Equal([100, 200, 400, 800], world.Pauses);
    }

    [Fact]
    public void Connection_that_has_held_is_replaced_without_a_pause()
    {
        var world = new World(1);
        world.Lose(1);
        world.Lose(1, after: 60_000);

        Run(world);

        Assert.Empty(world.Pauses);
    }

    [Fact]
    public void Other_export_at_the_address_fails_the_device_and_gets_nothing()
    {
        var world = new World(1) { Export = First with { Size = 1 << 19 } };
        world.Lose(1);

        Assert.Equal(KernelNbdSupervisionEnd.GivenUp, Run(world));

        Assert.Equal(0, world.HandedOver);
        Assert.Equal(1, world.Declined);
        Assert.Contains("524288", world.Failed);
    }

    [Fact]
    public void Export_that_has_grown_is_taken_and_its_first_size_is_too_small_from_then_on()
    {
        var world = new World(1) { Export = First with { Size = 2 << 20 } };
        world.Lose(1);
        world.Lose(1);

        Assert.Equal(KernelNbdSupervisionEnd.Stopped, Run(world));

        Assert.Equal(2, world.HandedOver);
        Assert.Equal([2ul << 20], world.Grown);
        Assert.Null(world.Failed);

        world.Lose(1);
        world.Lose(1);
        world.Shrinks = First;
        Assert.Equal(KernelNbdSupervisionEnd.GivenUp, Run(world));
        Assert.Contains("1048576", world.Failed);
    }

    [Fact]
    public void Size_stays_while_a_connection_lives_to_a_server_that_knows_only_the_old_one()
    {
        var world = new World(2) { Export = First with { Size = 2 << 20 } };
        world.Lose(1);

        Run(world);

        Assert.Equal(1, world.HandedOver);
        Assert.Empty(world.Grown);
    }

    [Fact]
    public void Connection_goes_to_the_kernel_only_in_the_place_of_one_that_it_knows_to_be_dead()
    {
        Assert.Equal(0, KernelNbdSupervision.Replaceable(noticed: 0, dead: 2, sinceLoss: 2000));
        Assert.Equal(1, KernelNbdSupervision.Replaceable(noticed: 1, dead: 2, sinceLoss: 2000));
        Assert.Equal(2, KernelNbdSupervision.Replaceable(noticed: 3, dead: 2, sinceLoss: 0));
        Assert.Equal(2, KernelNbdSupervision.Replaceable(noticed: 0, dead: 2, sinceLoss: 30_000));
    }

    [Fact]
    public void Patience_ends_when_no_connection_lives()
    {
        var world = new World(2) { Refusals = int.MaxValue };
        world.Lose(2);

        Assert.Equal(KernelNbdSupervisionEnd.GivenUp, Run(world, patience: 30_000));

        Assert.InRange(world.Time, 30_000, 35_000);
        Assert.Contains("no server for 30 s: refused", world.Failed);
    }

    [Fact]
    public void Patience_does_not_end_while_another_connection_lives()
    {
        var world = new World(2) { Refusals = 100 };
        world.Lose(1);

        Assert.Equal(KernelNbdSupervisionEnd.Stopped, Run(world, patience: 30_000));

        Assert.True(world.Time > 30_000);
        Assert.Null(world.Failed);
        Assert.Equal(0, world.Dead);
    }

    [Fact]
    public void Device_that_somebody_else_has_disconnected_is_left_alone()
    {
        var world = new World(1) { IsOurs = false };
        world.Lose(1);

        Assert.Equal(KernelNbdSupervisionEnd.Gone, Run(world));

        Assert.Empty(world.Asked);
        Assert.Null(world.Failed);
    }

    [Fact]
    public void Kernel_that_does_not_take_a_connection_is_tried_again()
    {
        var world = new World(1) { HandOverFailures = 2 };
        world.Lose(1);

        Run(world);

        Assert.Equal(3, world.Asked.Count);
        Assert.Equal(3, world.Disposed);
        Assert.Equal(0, world.Dead);
    }

    [Fact]
    public void Stop_ends_a_pause()
    {
        var world = new World(1) { Refusals = int.MaxValue, StopAfterPauses = 3 };
        world.Lose(1);

        Assert.Equal(KernelNbdSupervisionEnd.Stopped, Run(world));
        Assert.Equal(3, world.Pauses.Count);
    }

    [Fact]
    public void Pauses_are_shorter_by_chance_by_half_at_most()
    {
        Assert.Equal(100, KernelNbdSupervisor.Pause(1, 0));
        Assert.Equal(50, KernelNbdSupervisor.Pause(1, 1));
        Assert.Equal(5000, KernelNbdSupervisor.Pause(int.MaxValue, 0));
        Assert.Equal(2500, KernelNbdSupervisor.Pause(1000, 1));
    }

    private static KernelNbdSupervisionEnd Run(World world, long patience = 0) =>
        new KernelNbdSupervisor(world, First, patience, () => 0).Run();

    private sealed class World(int connections) : IKernelNbdSupervision, IDisposable
    {
        private readonly Queue<(int Count, long After)> _losses = new();

        public int Alive { get; private set; } = connections;

        public int Dead { get; private set; }

        public bool IsOurs { get; init; } = true;

        public long Now => Time;

        public long Time { get; private set; }

        public int Gives { get; init; } = int.MaxValue;

        public int Refusals { get; set; }

        public int HandOverFailures { get; set; }

        public int StopAfterPauses { get; init; } = int.MaxValue;

        public NbdExportInfo Export { get; init; } = First;

        public List<(int Count, bool SameServer)> Asked { get; } = [];

        /// <summary>What is offered from the second time on.</summary>
        public NbdExportInfo? Shrinks { get; set; }

        public List<ulong> Grown { get; } = [];

        public List<int> Pauses { get; } = [];

        public List<(bool IsOnline, string? Reason)> Reports { get; } = [];

        public int HandedOver { get; private set; }

        public int Declined { get; private set; }

        public int Disposed { get; private set; }

        public string? Failed { get; private set; }

        public void Lose(int count, long after = 0) => _losses.Enqueue((count, after));

        public KernelNbdLinkEvent WaitForLoss()
        {
            if (!_losses.TryDequeue(out (int Count, long After) loss))
            {
                return KernelNbdLinkEvent.Stopped;
            }

            Time += loss.After;
            Alive -= loss.Count;
            Dead += loss.Count;
            return KernelNbdLinkEvent.Lost;
        }

        public bool Delay(int milliseconds)
        {
            Pauses.Add(milliseconds);
            Time += milliseconds;
            return Pauses.Count < StopAfterPauses;
        }

        public KernelNbdOffer Negotiate(int connections, bool sameServer)
        {
            Asked.Add((connections, sameServer));
            if (Refusals-- > 0)
            {
                throw new IOException("refused");
            }

            _offered = Math.Min(connections, Gives);
            NbdExportInfo export = Shrinks is { } smaller && _offers++ > 0 ? smaller : Export;
            return new KernelNbdOffer(export, [], () => Declined++, this);
        }

        public void HandOver(KernelNbdOffer offer)
        {
            if (HandOverFailures-- > 0)
            {
                throw new AttachException("not taken");
            }

            HandedOver += _offered;
            Alive += _offered;
            Dead -= _offered;
        }

        public void FailClosed(string reason) => Failed = reason;

        public void Report(bool isOnline, string? reason) => Reports.Add((isOnline, reason));

        public void Dispose() => Disposed++;

        public void Grow(NbdExportInfo export) => Grown.Add(export.Size);

        private int _offered;
        private int _offers;
    }
}
