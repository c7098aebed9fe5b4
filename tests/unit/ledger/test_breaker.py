"""When nothing is sent to a system any more, and how sending begins again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.breaker import (
    BREAKER_MOVES,
    CONSECUTIVE,
    FORGET_S,
    PAUSE_CAP_S,
    PAUSE_S,
    PROBE_CAP_S,
    PROBE_S,
    WINDOW_CALLS,
    WINDOW_S,
    Breaker,
    Event,
    Impossible,
    State,
    after,
)

MOST = 8


def _failed(breaker: Breaker, times: int, now: float) -> None:
    for _ in range(times):
        breaker.seen(ok=False, period=breaker.period, now=now)


def _opened(now: float = 0.0, *, times: int = 1) -> Breaker:
    """A breaker that has opened so many times in a row."""
    breaker = Breaker(MOST)
    for opening in range(times):
        _failed(breaker, CONSECUTIVE, now)
        assert breaker.state is State.OPEN
        if opening + 1 < times:
            _answered(breaker, now, ok=False)
            assert _answered(breaker, now)
    return breaker


def _answered(breaker: Breaker, now: float, *, ok: bool = True) -> bool:
    breaker.asked(now)
    return breaker.probed(ok=ok, now=now)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_pair_is_decided_by_the_table(state: State, event: Event) -> None:
    """A pair of the table leads where the table says, and any other is a fault of the program."""
    if (state, event) in BREAKER_MOVES:
        assert after(state, event) is BREAKER_MOVES[state, event]
    else:
        with pytest.raises(Impossible):
            after(state, event)


def test_it_opens_at_the_fifth_failure_in_a_row() -> None:
    """Four failures are bad luck; a success between them begins the count anew."""
    breaker = Breaker(MOST)
    _failed(breaker, CONSECUTIVE - 1, 0.0)
    breaker.seen(ok=True, period=0, now=0.0)
    _failed(breaker, CONSECUTIVE - 1, 0.0)
    assert breaker.lets_through
    _failed(breaker, 1, 0.0)
    assert breaker.state is State.OPEN
    assert breaker.limit == 0


@pytest.mark.parametrize(
    ("calls", "opens"),
    [
        pytest.param(WINDOW_CALLS, True, id="half of enough calls"),
        pytest.param(WINDOW_CALLS - 2, False, id="half of too few calls"),
    ],
)
def test_it_opens_when_half_of_the_calls_fail(calls: int, opens: bool) -> None:
    """Every second call failing never makes a row of five, and is no less an outage; few calls say nothing."""
    breaker = Breaker(MOST)
    for _ in range(calls // 2):
        breaker.seen(ok=True, period=0, now=1.0)
        breaker.seen(ok=False, period=0, now=1.5)
    assert (breaker.state is State.OPEN) is opens


def test_old_failures_are_forgotten() -> None:
    """The share is taken over the last seconds only."""
    breaker = Breaker(MOST)
    for second in range(0, 10 * WINDOW_S, WINDOW_S):
        for _ in range(WINDOW_CALLS // 4):
            breaker.seen(ok=True, period=0, now=float(second))
            breaker.seen(ok=False, period=0, now=float(second))
    assert breaker.state is State.CLOSED


def test_a_probe_that_saw_the_outage_ends_it() -> None:
    """Silent and then answered: the outage is over, however short it was, and one call goes first."""
    breaker = _opened()
    assert not _answered(breaker, 0.5, ok=False)
    assert _answered(breaker, 1.0)
    assert breaker.state is State.RAMPING
    assert breaker.limit == 1


def test_a_probe_is_believed_where_the_system_was_not_even_reached() -> None:
    """Calls that were refused at the port have seen what a probe would have seen."""
    breaker = Breaker(MOST)
    for _ in range(CONSECUTIVE):
        breaker.seen(ok=False, period=0, now=0.0, reached=False)
    assert _answered(breaker, 0.5)
    assert breaker.limit == 1


@pytest.mark.parametrize("times", [1, 2, 3, 20])
def test_a_probe_that_never_saw_the_outage_has_to_wait(times: int) -> None:
    """Answered all the time while calls failed: believed after 30 s times the openings in a row, 300 s at most."""
    breaker = _opened(times=times)
    pause = min(PAUSE_CAP_S, PAUSE_S * times)
    assert not _answered(breaker, pause - 0.01)
    assert breaker.state is State.OPEN
    assert _answered(breaker, pause)


def test_an_opening_long_after_the_last_one_is_a_first_one() -> None:
    """Openings are in a row only while they follow each other."""
    breaker = _opened(times=3)
    _answered(breaker, 1.0, ok=False)
    assert _answered(breaker, 2.0)
    _failed(breaker, CONSECUTIVE, 2.0 + FORGET_S)
    assert breaker.times == 1


def test_concurrency_grows_by_one_with_each_success() -> None:
    """From one call at a time to as many as the system bears; then it is closed."""
    breaker = _opened()
    _answered(breaker, 1.0, ok=False)
    _answered(breaker, 2.0)
    seen = [breaker.limit]
    while breaker.state is State.RAMPING:
        breaker.seen(ok=True, period=breaker.period, now=3.0)
        seen.append(breaker.limit)
    assert seen == list(range(1, MOST + 1))
    assert breaker.state is State.CLOSED


def test_a_failure_on_the_way_up_halves_what_may_go() -> None:
    """Additive up, multiplicative down, and never below one."""
    breaker = _opened()
    _answered(breaker, 1.0, ok=False)
    _answered(breaker, 2.0)
    for _ in range(5):
        breaker.seen(ok=True, period=breaker.period, now=3.0)
    assert breaker.limit == 6
    limits: list[int] = []
    for _ in range(CONSECUTIVE - 1):
        breaker.seen(ok=False, period=breaker.period, now=3.0)
        limits.append(breaker.limit)
    assert limits == [3, 1, 1, 1]


def test_calls_of_before_the_outage_prove_nothing_after_it() -> None:
    """What was begun before it opened and ends late neither opens it again nor counts as a success."""
    breaker = _opened()
    _answered(breaker, 1.0, ok=False)
    _answered(breaker, 2.0)
    for _ in range(50):
        assert not breaker.seen(ok=False, period=0, now=3.0)
        assert not breaker.seen(ok=True, period=0, now=3.0)
    assert breaker.limit == 1


def test_probes_come_less_often_the_longer_it_lasts() -> None:
    """Twice a second at first, and never later than a fiftieth of the outage or ten seconds."""
    breaker = _opened()
    now, gaps = 0.0, list[float]()
    while now < 3600:
        due = breaker.next_probe()
        assert not breaker.probe_due(due - 0.001)
        assert breaker.probe_due(due)
        gaps.append(due - now)
        now = due
        _answered(breaker, now, ok=False)
    assert gaps == sorted(gaps)
    assert gaps[0] == PROBE_S
    assert gaps[-1] == PROBE_CAP_S


def test_fewer_calls_at_once_are_kept_to_at_any_time() -> None:
    """A share that shrinks counts at once, also on the way up, and never shrinks to nothing."""
    breaker = Breaker(MOST)
    breaker.resize(3)
    assert breaker.limit == 3
    breaker.resize(0)
    assert breaker.limit == 1


_STEPS = st.lists(
    st.tuples(st.sampled_from(["ok", "failed", "late", "probe ok", "probe silent"]), st.floats(0, 40)),
    max_size=200,
)


@given(_STEPS)
def test_nothing_leaves_an_open_breaker_whatever_happens(steps: list[tuple[str, float]]) -> None:
    """In any history: open means a limit of none, and it was opened by failures alone; otherwise at least one may go
    and never more than the system bears. It opens after five failures in a row, however they are mixed."""
    breaker, now, row = Breaker(MOST), 0.0, 0
    for what, wait in steps:
        now += wait
        if what.startswith("probe"):
            if breaker.probe_due(now):
                _answered(breaker, now, ok=what == "probe ok")
                row = 0
        elif what == "late":
            before = breaker.state, breaker.limit
            breaker.seen(ok=False, period=breaker.period - 1, now=now)
            assert (breaker.state, breaker.limit) == before
        elif breaker.lets_through:
            row = row + 1 if what == "failed" else 0
            breaker.seen(ok=what == "ok", period=breaker.period, now=now)
        assert breaker.state is not State.PROBING
        if breaker.state is State.OPEN:
            assert breaker.limit == 0
        else:
            assert row < CONSECUTIVE
            assert 1 <= breaker.limit <= MOST
