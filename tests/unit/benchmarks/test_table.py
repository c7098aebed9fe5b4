"""The arithmetic of the benchmarks' table. No figure is ever judged in a test; how they are judged is."""

from __future__ import annotations

import pytest

from tests.benchmarks.table import Bound, Reached, Report, Round, Side, detail, ratio, shown, spread, summary


def _round(
    count: int, seconds: float, *, cpu_s: float = 1.0, p50_ms: float = 1.0, p99_ms: float = 2.0
) -> Round:
    return Round(count=count, seconds=seconds, cpu_s=cpu_s, p50_ms=p50_ms, p99_ms=p99_ms)


def _side(name: str, *rounds: Round) -> Side:
    return Side(name=name, rounds=rounds)


def test_a_rate_is_all_that_was_done_by_all_the_time() -> None:
    """Rounds weigh by their length: 100 in 1 s and 100 in 4 s are 40 a second, not the mean of 100 and 25."""
    assert _side("ours", _round(100, 1.0), _round(100, 4.0)).rate == pytest.approx(40.0)


def test_cpu_is_per_one_of_what_was_counted() -> None:
    """CPU time of all rounds by the count of all rounds, in microseconds."""
    side = _side("ours", _round(1_000, 1.0, cpu_s=0.5), _round(3_000, 1.0, cpu_s=1.5))
    assert side.cpu_us == pytest.approx(500.0)


def test_the_middle_is_of_the_middle_round_and_the_tail_of_the_worst() -> None:
    """p50 is the median of the rounds' medians; p99 the highest, so that a bad round cannot hide."""
    side = _side(
        "ours", *(_round(1, 1.0, p50_ms=a, p99_ms=b) for a, b in ((1.0, 5.0), (9.0, 50.0), (2.0, 6.0)))
    )
    assert (side.p50_ms, side.p99_ms) == (2.0, 50.0)
    even = _side("ours", *(_round(1, 1.0, p50_ms=a) for a in (1.0, 2.0)))
    assert even.p50_ms == 1.5


def test_ratio_and_spread() -> None:
    """The ratio is of the sides' rates; the spread of rounds that followed each other."""
    ours = _side("ours", _round(400, 1.0), _round(200, 1.0))
    theirs = _side("theirs", _round(100, 1.0), _round(100, 1.0))
    assert ratio(ours, theirs) == pytest.approx(3.0)
    assert spread(ours, theirs) == pytest.approx((2.0, 4.0))


def test_sides_that_did_not_take_turns_have_no_spread() -> None:
    """A side with a round more was not measured beside the other."""
    with pytest.raises(ValueError, match="zip"):
        spread(_side("ours", _round(1, 1.0), _round(1, 1.0)), _side("theirs", _round(1, 1.0)))


@pytest.mark.parametrize(
    ("value", "at_most", "reached"),
    [
        pytest.param(5.0, False, Reached.AIM, id="at-least-aim"),
        pytest.param(4.99, False, Reached.GATE, id="at-least-below-aim"),
        pytest.param(2.0, False, Reached.GATE, id="at-least-gate"),
        pytest.param(1.99, False, Reached.NEITHER, id="at-least-below-gate"),
        pytest.param(1.0, True, Reached.AIM, id="at-most-aim"),
        pytest.param(1.01, True, Reached.GATE, id="at-most-above-aim"),
        pytest.param(3.0, True, Reached.GATE, id="at-most-gate"),
        pytest.param(3.01, True, Reached.NEITHER, id="at-most-above-gate"),
    ],
)
def test_what_is_reached(value: float, at_most: bool, reached: Reached) -> None:
    """A bound that is met exactly is reached; "at most" turns the direction round."""
    gate, aim = (3.0, 1.0) if at_most else (2.0, 5.0)
    assert Bound(unit="s", value=value, gate=gate, aim=aim, at_most=at_most).reached is reached


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        pytest.param(1234.4, "/s", "1,234/s", id="large"),
        pytest.param(12.34, "MiB", "12.3 MiB", id="middling"),
        pytest.param(0.854, "×", "0.85×", id="small"),
    ],
)
def test_how_a_figure_is_shown(value: float, unit: str, text: str) -> None:
    """No more digits than the figure bears."""
    assert shown(value, unit) == text


def test_every_bound_is_a_row_and_a_missed_one_is_plain() -> None:
    """A benchmark with two bounds has two rows, each judged by itself."""
    side = _side("ours", _round(500, 1.0, cpu_s=0.25))
    report = Report(
        name="B3",
        title="dual write",
        bounds=(
            Bound(unit="×", value=1.5, gate=2, aim=5),
            Bound(unit="/s", value=500, gate=400, aim=1000),
        ),
        sides=(side,),
        remarks=("In turn.",),
    )
    rows = summary([report]).splitlines()[2:]
    assert rows == [
        "| B3 | dual write | 1.50× | ≥ 2.00× | 5.00× | NOT reached |",
        "| B3 | dual write | 500/s | ≥ 400/s | 1,000/s | gate |",
    ]
    assert "| ours | 500/s | 1.0 ms | 2.0 ms | 500 µs |" in detail(report)
    assert detail(report).endswith("- In turn.")
