"""What is to become of the edits of a page, decided under the locks of their records, and had written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from gateway.canonical import BY_NAME
from gateway.cases import Kind
from gateway.change_feed import store
from gateway.change_feed.looking import MICROS, Pair
from gateway.change_feed.merge import Edits, Merged, all_contested, merged
from gateway.change_feed.store import Edit, Seen
from gateway.change_feed.writing import Wish, Writing
from gateway.ids import Ids
from gateway.ledger import journal
from gateway.ledger.slices import Slice
from gateway.ledger.states import DeliveryState
from gateway.routing.ruleset import Ruleset
from gateway.routing.stage import System

#: More edits than this of one record within ``OFTEN_S`` seconds are not people's work.
MOST = 5
OFTEN_S = 60.0
#: Seconds within which an edit that takes back the other system's counts as one of a loop.
TO_AND_FRO_S = 3600.0

LOOPS = "edited to and fro by the systems in turn"
TOO_OFTEN = f"edited more than {MOST} times in {OFTEN_S:g} seconds"


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. ``sent``: how many lanes have something to be sent."""

    seen: tuple[Seen, ...]
    counted: Counter[str]
    sent: int


class Judging:
    """``settle_us``: how long after a write both systems are compared, in microseconds."""

    def __init__(self, *, ruleset: Ruleset, ids: Ids, settle_us: int) -> None:
        self._ruleset = ruleset
        self._ids = ids
        self._settle_us = settle_us

    def judge(
        self,
        connection: Connection,
        slice_: Slice,
        pairs: Sequence[Pair],
        rows: Mapping[str, Any],
        *,
        at: int,
    ) -> Judged:
        """``rows``: the records, locked, of which nothing is on its way."""
        ids = [pair.view.id for pair in pairs]
        authority = slice_.authority
        owners = self._ruleset.owners(slice_.entity)
        past = store.edits_since(connection, ids, at - int(TO_AND_FRO_S * MICROS))
        cases = store.stopped(connection, ids)
        open_lanes = journal.open_deliveries(connection, ids)
        coming = {
            one.operation_id
            for (_, system), lane in open_lanes.items()
            for one in lane
            if system == authority.other.value and one.state == DeliveryState.READY.value
        }
        racing = store.racing(connection, coming)
        writing = Writing(connection, slice_, ids=self._ids, at=at, settle_us=self._settle_us)
        seen: list[Seen] = []
        counted: Counter[str] = Counter()
        for pair in pairs:
            record_id = pair.view.id
            edits = {system: side.edits for system, side in pair.sides.items()}
            decided = merged(owners, authority, edits, racing.get(record_id, ()))
            kind = Kind.OWNERSHIP_CONFLICT
            stopped = any(one.kind == Kind.EDIT_LOOP.value for one in cases.get(record_id, ()))
            why = LOOPS if stopped else loop(past.get(record_id, ()), decided, pair, at=at)
            if why is not None:
                decided, kind = all_contested(edits, authority, why), Kind.EDIT_LOOP
            disputed = frozenset(one.field for one in decided.contested)
            held = {
                one.operation_id: store.edits_of_operation(connection, one.operation_id)
                for one in cases.get(record_id, ())
            }
            known = any(_same(one, edits, disputed) for one in held.values())
            wish = Wish(
                row=rows[record_id],
                edits=edits,
                before={system: side.before for system, side in pair.sides.items()},
                versions={system: side.version for system, side in pair.sides.items()},
                carry=decided.carry,
                revert=decided.revert,
                disputed=frozenset() if known else disputed,
                system=_in_question(decided),
                kind=kind,
                message=_message(slice_.entity, decided),
                overtaken=tuple(one for one, its in held.items() if _within(its, edits, disputed)),
            )
            if decided.carry or decided.revert or wish.disputed:
                writing.add(wish, open_lanes=open_lanes)
            counted["carried"] += len(decided.carry)
            counted["reverted"] += len(decided.revert)
            counted["conflicts"] += bool(wish.disputed)
            counted["echoes"] += not (decided.carry or decided.revert or decided.contested)
            seen.extend(
                side.seen(record_id, disputed | decided.revert.get(side.system, frozenset()))
                for side in pair.sides.values()
            )
        return Judged(sent=writing.write(), seen=tuple(seen), counted=counted)


def loop(past: Sequence[Edit], decided: Merged, pair: Pair, *, at: int) -> str | None:
    """Why what is to be carried over is not people's work any more."""
    carried = [one for one in past if one.outcome == "carried"]
    if not decided.carry:
        return None
    if sum(1 for one in carried if one.at > at - int(OFTEN_S * MICROS)) >= MOST:
        return TOO_OFTEN
    for system, edits in decided.carry.items():
        last = next((one for one in reversed(carried) if one.change.keys() & edits.keys()), None)
        if last is None or last.system == system.value:
            continue
        before = pair.sides[system].before
        back = {name: [value, before.get(name)] for name, value in edits.items() if name in last.change}
        if all(last.change[name] == both for name, both in back.items()):
            return LOOPS
    return None


def _same(held: Iterable[Edit], edits: Mapping[System, Edits], disputed: frozenset[str]) -> bool:
    """Whether an open case is about the very same edits already."""
    wanted = {
        (system.value, name): value
        for system, each in edits.items()
        for name, value in each.items()
        if name in disputed
    }
    return {(one.system, name): both[1] for one in held for name, both in one.change.items()} == wanted


def _within(held: Sequence[Edit], edits: Mapping[System, Edits], disputed: frozenset[str]) -> bool:
    """Whether all that an open case is about is in dispute still: then the newer case is about it as well."""
    return all(
        name in disputed and name in edits.get(System(one.system), {}) for one in held for name in one.change
    )


def _in_question(decided: Merged) -> System | None:
    """The system whose edits a person decides; of several, the one with the most of them."""
    counted = Counter(one.system for one in decided.contested)
    return counted.most_common(1)[0][0] if counted else None


def _message(entity: str, decided: Merged) -> str:
    """Names fields and systems, never values, which may be about persons."""
    said = [f"{one.field}: {one.why} ({one.system})" for one in decided.contested]
    return f"{BY_NAME[entity].label}: {'; '.join(said)}"
