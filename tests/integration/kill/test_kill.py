"""SIGKILL at every point of a write, with processes as they are in production: nothing is lost, doubled, reordered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.integration.kill import judge
from tests.integration.kill.campaign import Campaign, Outcome
from tests.integration.kill.figures import figures, table
from tests.integration.kill.programs import PASSED, CannotHave, Postgres
from tests.simulation.erp import Effect
from tests.simulation.history import History
from tests.systems.plugin import leave_out
from tests.systems.redis import Redis

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(480)]

KILLS = 60
KILLS_OF_ONE = 20


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """One campaign, which all tests look at."""
    folder = tmp_path_factory.mktemp("kill")
    try:
        postgres, redis = Postgres(), Redis(folder)
    except (CannotHave, FileNotFoundError) as cause:
        leave_out("PostgreSQL or Redis of the test's own", cause)

    async def run() -> Outcome:
        await postgres.start()
        return await Campaign(folder, postgres, redis, kills=KILLS).run()

    redis.start()
    try:
        yield asyncio.run(run())
    finally:
        redis.stop()
        postgres.remove()


def test_nothing_is_lost_doubled_or_reordered(outcome: Outcome) -> None:
    """Whatever was being done when a process died: each acknowledged write is in both ERPs once and in the order of
    its record, or with a person; each operation has ended; what callers were told was true; both ERPs agree."""
    assert not outcome.verdicts, table(figures([outcome], seed=0))
    assert not outcome.unexpected, "\n".join(outcome.unexpected)


def test_every_point_was_reached(outcome: Outcome) -> None:
    """A point at which nobody died has proved nothing, nor has a campaign in which nothing was under way."""
    assert len(outcome.deaths) >= KILLS
    assert [name for name in PASSED if not outcome.by_point[name]] == [], table(
        figures([outcome], seed=0)
    )
    assert all(outcome.disturbances[name] for name in ("flush", "redis", "postgres", "pause", "move: moved"))
    assert outcome.repeats > KILLS, "callers hardly noticed"
    assert len(outcome.recoveries) > KILLS / 6, "hardly a death left anything in the middle"


def test_one_process_on_sqlite_loses_nothing(tmp_path: Path) -> None:
    """Where the one process that dies is the one that recovers, the same laws hold at every point."""
    outcome = asyncio.run(Campaign(tmp_path, kills=KILLS_OF_ONE).run())
    told = table(figures([outcome], seed=0))
    assert not outcome.verdicts, told
    assert not outcome.unexpected, "\n".join(outcome.unexpected)
    assert [name for name in PASSED if not outcome.by_point[name]] == [], told
    assert outcome.recoveries, "no death left anything in the middle"


# --- the judge, on what really happened -------------------------------------------------------------------------


def _judged(outcome: Outcome, **changes: object) -> set[str]:
    """The laws that the history breaks when it is told otherwise."""
    history: History = msgspec.structs.replace(outcome.history, **changes)
    cases = Counter(outcome.cases)
    return {verdict.law.split()[0] for verdict in judge.verdicts(history, cases)}


def _settled_effect(outcome: Outcome) -> Effect:
    """An effect of a write that a caller was told of, in the middle of the campaign."""
    told = {one.operation for one in outcome.history.said if one.kind == "ok"}
    markers = {
        op.marker for op in outcome.history.operations.values() if op.id in told and op.state == "settled"
    }
    mine = [one for one in outcome.history.effects if one.marker in markers and one.entity == "time_entry"]
    return mine[len(mine) // 2]


def _without(outcome: Outcome) -> dict[str, object]:
    gone = _settled_effect(outcome)
    return {"effects": [one for one in outcome.history.effects if one is not gone]}


def _twice(outcome: Outcome) -> dict[str, object]:
    again = _settled_effect(outcome)
    more = msgspec.structs.replace(again, place=len(outcome.history.effects))
    return {"effects": [*outcome.history.effects, more]}


def _twice_as_another_record(outcome: Outcome) -> dict[str, object]:
    again = _settled_effect(outcome)
    more = msgspec.structs.replace(
        again, place=len(outcome.history.effects), native_id="another", marker="another"
    )
    return {"effects": [*outcome.history.effects, more]}


def _swapped(outcome: Outcome) -> dict[str, object]:
    """Two writes of one record land in one system the other way round."""
    record_of = {op.marker: op.record for op in outcome.history.operations.values()}
    first: dict[tuple[str, str], Effect] = {}
    for one in outcome.history.effects:
        key = record_of[one.marker or ""], one.system
        if key not in first:
            first[key] = one
        elif first[key].marker != one.marker:
            before, after = first[key], one
            swapped = {
                before.place: msgspec.structs.replace(before, marker=after.marker),
                after.place: msgspec.structs.replace(after, marker=before.marker),
            }
            return {"effects": [swapped.get(effect.place, effect) for effect in outcome.history.effects]}
    raise AssertionError("no record had two writes")


def _forgotten(outcome: Outcome) -> dict[str, object]:
    """The journal has lost an operation that a caller was told of."""
    told = {one.operation for one in outcome.history.said if one.kind == "ok"}
    gone = next(op.id for op in outcome.history.operations.values() if op.id in told)
    return {
        "operations": {id_: op for id_, op in outcome.history.operations.items() if id_ != gone},
        "lines": [line for line in outcome.history.lines if line.operation != gone],
    }


def _left_open(outcome: Outcome) -> dict[str, object]:
    """A delivery that nobody takes up again."""
    lines = list(outcome.history.lines)
    place = next(at for at, line in enumerate(lines) if line.state == "applied" and line.role == "mirror")
    lines[place] = msgspec.structs.replace(lines[place], state="sending")
    return {"lines": lines}


def _untrue(outcome: Outcome) -> dict[str, object]:
    """A caller was answered before the authority had its write."""
    said = list(outcome.history.said)
    place = next(at for at, one in enumerate(said) if one.kind == "ok" and one.action == "create")
    said[place] = msgspec.structs.replace(said[place], effects=0)
    return {"said": said}


def _without_a_person(outcome: Outcome) -> dict[str, object]:
    operations = dict(outcome.history.operations)
    one = next(op for op in operations.values() if op.state == "settled")
    operations[one.id] = msgspec.structs.replace(one, state="attention")
    return {"operations": operations}


@pytest.mark.parametrize(
    ("change", "law"),
    [
        pytest.param(_without, "acknowledged", id="an effect that was never made"),
        pytest.param(_without, "C1", id="an applied delivery without effect"),
        pytest.param(_twice, "C2", id="an effect made twice"),
        pytest.param(_twice_as_another_record, "C4", id="an effect that nobody asked for"),
        pytest.param(_swapped, "C3", id="two effects the other way round"),
        pytest.param(_forgotten, "C1", id="an operation that the journal has lost"),
        pytest.param(_left_open, "C1", id="a delivery that nobody takes up"),
        pytest.param(_untrue, "C6", id="an answer before its effect"),
        pytest.param(_without_a_person, "cases", id="attention without a case"),
    ],
)
def test_the_judge_rejects(
    outcome: Outcome, change: Callable[[Outcome], dict[str, object]], law: str
) -> None:
    """The history of the campaign with one thing changed is rejected by the law that it breaks, and by it only for
    that change."""
    assert law not in {verdict.law.split()[0] for verdict in outcome.verdicts}
    assert law in _judged(outcome, **change(outcome))
