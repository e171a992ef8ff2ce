namespace NbdFuse.Cache;

/// <summary>
/// Finds how much of the cache the newest should have: tries a larger or smaller window and keeps what gives more hits.
/// </summary>
/// <remarks>
/// A small window is best when the same granules are popular for long, a large one when what was read just now is read
/// again soon and never after. From the smallest it leaves only when a larger one has been better twice; without evidence it
/// goes back there, where the late door of the <see cref="GranuleStore"/> is closed and reads of something new cost least.
/// THREADING: one thread.
/// </remarks>
internal sealed class WindowClimber
{
    /// <summary>A change of the share of hits below this proves nothing.</summary>
    private const double Evidence = 0.004;

    private const int FirstRest = 6;
    private const int LongestRest = 48;
    private readonly int _slots;
    private readonly int _period;
    private readonly int _firstStep;
    private int _step;
    private int _direction;
    private int _rest;
    private int _nextRest = FirstRest;
    private int _probe;
    private double _bestSmall;
    private double _worstLarge;
    private int _uses;
    private int _hits;
    private double _last = -1;

    /// <summary>Makes a climber that starts with the smallest window.</summary>
    /// <param name="slots">Slots of the cache.</param>
    public WindowClimber(int slots)
    {
        _slots = slots;
        _period = Math.Max(4096, slots * 4);
        _firstStep = Math.Max(1, slots / 10);
        Smallest = Math.Max(1, slots / 100);
        Window = Smallest;
        _rest = 4;
    }

    /// <summary>The smallest window, in slots.</summary>
    public int Smallest { get; }

    /// <summary>The window at present, in slots.</summary>
    public int Window { get; private set; }

    /// <summary>Notes a use.</summary>
    /// <param name="isHit">It was in memory.</param>
    /// <returns>True when <see cref="Window"/> may have changed.</returns>
    public bool Note(bool isHit)
    {
        _hits += isHit ? 1 : 0;
        if (++_uses < _period)
        {
            return false;
        }

        double ratio = (double)_hits / _uses;
        _uses = 0;
        _hits = 0;
        Climb(ratio);
        _last = ratio;
        return true;
    }

    private void Climb(double ratio)
    {
        if (_direction == 0)
        {
            Probe(ratio);
            return;
        }

        double change = ratio - _last;
        if (change > Evidence)
        {
            // The right way: faster.
            _step = Math.Min(_step * 2, Math.Max(1, _slots / 4));
        }
        else if (change < -Evidence)
        {
            _direction = -_direction;
            _step = Math.Max(_firstStep, _step / 2);
        }
        else
        {
            _direction = -1;
        }

        Move();
    }

    /// <summary>
    /// From the foot: small, large, small, large, one period each. Both large ones must beat both small ones, or what changed
    /// was only what is being read.
    /// </summary>
    private void Probe(double ratio)
    {
        switch (_probe)
        {
            case 0:
                if (--_rest <= 0)
                {
                    _bestSmall = ratio;
                    _probe = 1;
                    Window = Smallest + _firstStep;
                }

                break;
            case 1:
                _worstLarge = ratio;
                _probe = 2;
                Window = Smallest;
                break;
            case 2:
                _bestSmall = Math.Max(_bestSmall, ratio);
                _probe = 3;
                Window = Smallest + _firstStep;
                break;
            default:
                _worstLarge = Math.Min(_worstLarge, ratio);
                if (_worstLarge > _bestSmall + Evidence)
                {
                    _nextRest = FirstRest;
                    _direction = 1;
                    _step = _firstStep;
                    Move();
                }
                else
                {
                    _nextRest = Math.Min(LongestRest, _nextRest * 2);
                    Rest();
                }

                break;
        }
    }

    private void Rest()
    {
        Window = Smallest;
        _direction = 0;
        _probe = 0;
        _rest = _nextRest;
    }

    private void Move()
    {
        Window = Math.Clamp(Window + (_direction * _step), Smallest, Math.Max(Smallest, _slots * 9 / 10));
        if (Window == Smallest)
        {
            Rest();
        }
    }
}
