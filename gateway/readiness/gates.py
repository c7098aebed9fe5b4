"""The gates of a slice: what is measured, what it may be, and what comes of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from gateway.change_feed import FOLLOWED, Feed, State
from gateway.clock import rfc3339
from gateway.database import from_micros
from gateway.readiness.measured import Facts

#: Feeds that edits are carried over by, or ought to be.
REQUIRED = FOLLOWED | {State.NOT_STARTED}
#: Days of comparisons that are looked at.
WINDOW_DAYS = 7
#: Fewer comparisons than this say nothing.
LEAST_COMPARES = 100
#: Records whose sides part and stay so, of those compared; for money it is none.
MOST_MISMATCHED = 0.001
MOST_UNVERIFIABLE = 0.001
#: From acceptance to applied by the mirror, in seconds, for 99 of 100.
MOST_LAG_S = 60.0
#: Calls of each system that its error rate and latency are read from, at least.
LEAST_CALLS = 30
#: The next authority may fail this much more often, and answer this much slower, than today's.
MORE_ERRORS = 0.01
SLOWER = 2.0
#: A rehearsal of the way back counts for this many days.
REHEARSED_DAYS = 30
#: A waiver that ends sooner than this brings its differences back too soon to build on.
WAIVED_DAYS = 7
RECONCILED_H = 24


class Outcome(StrEnum):
    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One gate. ``sample`` is how much evidence there was of the ``least`` that it needs. ``evidence`` is what the hash
    of the report covers beside verdict and threshold: what changes it is to be looked at again. A figure that moves
    with every write is not in it, but the side of the threshold that it is on, which is the verdict."""

    name: str
    title: str
    verdict: Outcome
    measure: str
    threshold: str
    sample: int | None = None
    least: int | None = None
    window: str | None = None
    details: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


def judge(facts: Facts) -> tuple[Gate, ...]:
    """Every gate, in the order in which a person reads them."""
    return (
        _compares(facts),
        _mismatches(facts),
        _money(facts),
        _unverifiable(facts),
        _coverage(facts),
        _reconciled(facts),
        _backfill(facts),
        _crosswalk(facts),
        _lag(facts),
        _change_feed(facts),
        _deliveries(facts),
        _cases(facts),
        _next_authority(facts),
        _dependencies(facts),
        _dependants(facts),
        _period(facts),
        _waivers(facts),
        _rehearsed(facts),
    )


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """Fail if one fails; else inconclusive if one is, or if there is none; else pass."""
    if Outcome.FAIL in outcomes:
        return Outcome.FAIL
    return Outcome.PASS if outcomes and set(outcomes) == {Outcome.PASS} else Outcome.INCONCLUSIVE


def _holds(held: bool, *, enough: bool = True) -> Outcome:
    if not held:
        return Outcome.FAIL
    return Outcome.PASS if enough else Outcome.INCONCLUSIVE


def _of_comparisons(
    facts: Facts, name: str, title: str, *, held: bool, measure: str, threshold: str, stands: tuple[str, ...] = ()
) -> Gate:
    """A gate whose evidence is the comparisons of the window: with too few it says nothing, unless it fails."""
    return Gate(
        name=name,
        title=title,
        verdict=_holds(held, enough=facts.compares >= LEAST_COMPARES),
        measure=measure,
        threshold=threshold,
        sample=facts.compares,
        least=LEAST_COMPARES,
        window=f"{WINDOW_DAYS} days",
        evidence=stands,
    )


def _compares(facts: Facts) -> Gate:
    return _of_comparisons(
        facts,
        "compares",
        "Comparisons made",
        held=True,
        measure=f"{facts.compares:,}",
        threshold=f"≥ {LEAST_COMPARES:,}",
    )


def _mismatches(facts: Facts) -> Gate:
    return _share(
        "mismatches",
        "Records that part and stay so",
        facts.mismatched,
        MOST_MISMATCHED,
        facts,
        stands=() if facts.parts is None else (f"SHA-256 {facts.parts}",),
    )


def _unverifiable(facts: Facts) -> Gate:
    return _share(
        "unverifiable", "Records of which nobody can say", facts.unverifiable, MOST_UNVERIFIABLE, facts
    )


def _share(
    name: str, title: str, count: int, most: float, facts: Facts, *, stands: tuple[str, ...] = ()
) -> Gate:
    share = count / facts.compares if facts.compares else (1.0 if count else 0.0)
    return _of_comparisons(
        facts,
        name,
        title,
        held=share <= most,
        measure=f"{count:,} ({share:.3%})",
        threshold=f"≤ {most:.1%} of the comparisons",
        stands=(f"{count} records", *stands),
    )


def _money(facts: Facts) -> Gate:
    return _of_comparisons(
        facts,
        "money",
        "Records in which money parts",
        held=facts.money_mismatched == 0,
        measure=f"{facts.money_mismatched:,}",
        threshold="0",
        stands=(f"{facts.money_mismatched} records",),
    )


def _coverage(facts: Facts) -> Gate:
    never = [one for one in facts.variants if one.compared == 0]
    return Gate(
        name="coverage",
        title="Kinds of records that were compared",
        verdict=Outcome.PASS if facts.variants and not never else Outcome.INCONCLUSIVE,
        measure=f"{len(facts.variants) - len(never)} of {len(facts.variants)}",
        threshold="each kind that was seen, at least once",
        sample=facts.records,
        details=tuple(f"never compared: {one.field} {one.value}, {one.records:,} records" for one in never),
        evidence=tuple(f"never compared: {one.field} {one.value}" for one in never),
    )


def _reconciled(facts: Facts) -> Gate:
    age = facts.reconciled_age_h
    fresh = age is not None and age <= RECONCILED_H
    verdict = Outcome.INCONCLUSIVE
    if fresh and facts.unexplained is not None:
        verdict = _holds(facts.unexplained == 0)
    return Gate(
        name="reconciliation",
        title="Whole sets reconciled, nothing unexplained",
        verdict=verdict,
        measure="never" if age is None else f"{age:.1f} h ago, {_counted(facts.unexplained)} unexplained",
        threshold=f"within {RECONCILED_H} h, 0 unexplained",
        evidence=() if age is None else (f"{_counted(facts.unexplained)} unexplained",),
    )


def _counted(number: int | None) -> str:
    return "nobody knows how many" if number is None else f"{number:,}"


def _backfill(facts: Facts) -> Gate:
    known = facts.unlinked is not None and facts.paired
    verdict = Outcome.INCONCLUSIVE
    if known and (facts.backfilled or facts.unlinked == 0):
        verdict = _holds(facts.unlinked == 0)
    return Gate(
        name="backfill",
        title="Backfill complete",
        verdict=verdict,
        measure="not mirrored"
        if not known
        else f"{'verified' if facts.backfilled else 'never run'}, {facts.unlinked:,} without a link",
        threshold="0 without a link",
        evidence=("verified",) if facts.backfilled else (),
    )


def _crosswalk(facts: Facts) -> Gate:
    known = facts.unlinked is not None and facts.paired
    return Gate(
        name="crosswalk",
        title="Records without an id in the other system",
        verdict=_holds(facts.unlinked == 0) if known else Outcome.INCONCLUSIVE,
        measure=f"{facts.unlinked:,}" if facts.unlinked is not None and facts.paired else "not mirrored",
        threshold="0",
        evidence=(f"{facts.unlinked} without an id",) if known else (),
    )


def _lag(facts: Facts) -> Gate:
    lag = facts.lag_p99_s
    return Gate(
        name="lag",
        title="Lag of the mirror, 99 of 100 writes",
        verdict=Outcome.INCONCLUSIVE if lag is None else _holds(lag <= MOST_LAG_S),
        measure="no write mirrored lately" if lag is None else f"{lag:.2f} s",
        threshold=f"≤ {MOST_LAG_S:g} s",
        window="10 minutes",
    )


def _deliveries(facts: Facts) -> Gate:
    return Gate(
        name="deliveries",
        title="Deliveries parked or of unknown outcome",
        verdict=_holds(facts.parked + facts.unknown == 0),
        measure=f"{facts.parked:,} parked, {facts.unknown:,} unknown",
        threshold="0",
        details=(f"{facts.open:,} open in all",) if facts.open else (),
        evidence=(f"{facts.parked} parked", f"{facts.unknown} unknown"),
    )


def _cases(facts: Facts) -> Gate:
    amounts = tuple(f"{amount} {currency}" for currency, amount in sorted(facts.case_money.items()))
    return Gate(
        name="cases",
        title="Open cases",
        verdict=_holds(facts.cases == 0),
        measure=f"{facts.cases:,}",
        threshold="0",
        details=amounts,
        evidence=(f"{facts.cases} open", *amounts),
    )


def _next_authority(facts: Facts) -> Gate:
    today, then = facts.today, facts.next
    enough = min(today.count, then.count) >= LEAST_CALLS
    held = True
    measure = f"{then.count:,} calls, {today.count:,} of today's"
    if enough and today.p95_s is not None and then.p95_s is not None:
        errors = then.failed / then.count - today.failed / today.count
        held = errors <= MORE_ERRORS and then.p95_s <= max(SLOWER * today.p95_s, 1.0)
        measure = (
            f"fails {then.failed / then.count:.1%} (today's {today.failed / today.count:.1%}), "
            f"95 of 100 within {then.p95_s:.2f} s (today's {today.p95_s:.2f} s)"
        )
    return Gate(
        name="next_authority",
        title="Errors and latency of the other system",
        verdict=_holds(held, enough=enough),
        measure=measure,
        threshold=f"at most {MORE_ERRORS:.0%} more errors; {SLOWER:g}× the time or 1 s",
        sample=min(today.count, then.count),
        least=LEAST_CALLS,
        window="1 hour",
    )


def _dependencies(facts: Facts) -> Gate:
    return Gate(
        name="dependencies",
        title="Entities that it refers to",
        verdict=_holds(not facts.dependencies),
        measure="in order" if not facts.dependencies else f"{len(facts.dependencies)} in the way",
        threshold="none is led by the other system",
        details=tuple(facts.dependencies),
        evidence=tuple(facts.dependencies),
    )


def _dependants(facts: Facts) -> Gate:
    return Gate(
        name="dependants",
        title="Entities that refer to it",
        verdict=_holds(not facts.dependants),
        measure="none is left behind" if not facts.dependants else f"{len(facts.dependants)} would wait for it",
        threshold="none writes on to a system that it leaves",
        details=tuple(facts.dependants),
        evidence=tuple(facts.dependants),
    )


def _change_feed(facts: Facts) -> Gate:
    """Edits made in the systems themselves. Where none are followed nothing is required, and that is said."""
    feeds = [one for one in facts.feeds if one.state in REQUIRED]
    conflicts = sum(one.open_conflicts for one in feeds)
    if not feeds:
        verdict = Outcome.PASS
        why = next((one.why for one in facts.feeds if one.state is State.OFF), None)
        measure = f"not required: {why or 'no edits are followed here'}"
    else:
        broken = any(one.state in (State.BEHIND, State.FAILING) for one in feeds)
        begun = all(one.state is not State.NOT_STARTED for one in feeds)
        verdict = _holds(not broken and not conflicts, enough=begun)
        measure = f"{', '.join(_read_up(one) for one in feeds)}; {conflicts:,} conflicts open"
    return Gate(
        name="change_feed",
        title="Edits made in the systems themselves",
        verdict=verdict,
        measure=measure,
        threshold="each feed read on, 0 conflicts open",
        details=tuple(f"{one.system} is {one.state}: {one.why}" for one in facts.feeds if one.why),
        evidence=(*(f"{one.system} {one.state}" for one in facts.feeds), f"{conflicts} conflicts"),
    )


def _read_up(one: Feed) -> str:
    if one.read_at is None or one.lag_s is None:
        return f"{one.system} never read"
    waiting = f", {one.waiting:,} waiting" if one.waiting else ""
    return f"{one.system} read up to {rfc3339(from_micros(one.read_at))}, {one.lag_s:.1f} s ago{waiting}"


def _period(facts: Facts) -> Gate:
    return Gate(
        name="period",
        title="Outside of freeze windows",
        verdict=_holds(facts.frozen is None),
        measure=facts.frozen or "open",
        threshold="no window in which no authority moves",
        evidence=() if facts.frozen is None else (facts.frozen,),
    )


def _waivers(facts: Facts) -> Gate:
    return Gate(
        name="waivers",
        title="Waivers in force",
        verdict=_holds(not facts.waivers_ending),
        measure=f"{len(facts.waivers)}",
        threshold=f"none ends within {WAIVED_DAYS} days",
        details=tuple(facts.waivers_ending),
        evidence=tuple(facts.waivers),
    )


def _rehearsed(facts: Facts) -> Gate:
    return Gate(
        name="rollback_rehearsed",
        title="The way back rehearsed",
        verdict=Outcome.PASS if facts.rehearsed else Outcome.INCONCLUSIVE,
        measure=facts.rehearsed or "never",
        threshold=f"within {REHEARSED_DAYS} days",
        evidence=(facts.rehearsed,) if facts.rehearsed else (),
    )
