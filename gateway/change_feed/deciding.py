"""What a person decides about edits that were held, done in the transaction of the decision."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection

from gateway.cases import Case, Resolution
from gateway.change_feed import store
from gateway.change_feed.writing import Wish, Writing
from gateway.ids import Ids
from gateway.ledger import journal, slices
from gateway.ledger.decisions import Unfit
from gateway.routing.plan import PLANS
from gateway.routing.stage import System


class Decides:
    """Implements ``cases.resolve.Edited``. ``settle_us``: how long after a write both systems are compared."""

    def __init__(self, *, ids: Ids, settle_us: int) -> None:
        self._ids = ids
        self._settle_us = settle_us

    def __call__(self, connection: Connection, case: Case, resolution: Resolution, at: int) -> Unfit:
        """The caller holds the slice and the record. Returns why it does not fit now."""
        edits, before, since = _held(connection, case.operation_id)
        lost = store.written_since(connection, case.record_id, since)
        both_ways: dict[str, object] = {}
        carry: dict[System, dict[str, object]] = {}
        revert: dict[System, set[str]] = {}
        mine = System(case.system or "")
        for name in sorted({name for each in edits.values() for name in each}):
            here = mine if name in edits.get(mine, {}) else mine.other
            both = name in edits.get(mine, {}) and name in edits.get(mine.other, {})
            if resolution is Resolution.CARRY_OVER and name in lost.get(here.value, ()):
                both_ways[name] = edits[here][name]
            elif resolution is Resolution.CARRY_OVER:
                carry.setdefault(here, {})[name] = edits[here][name]
            elif resolution is Resolution.REVERT and both:
                carry.setdefault(mine.other, {})[name] = edits[mine.other][name]
            elif resolution is Resolution.REVERT:
                revert.setdefault(here, set()).add(name)
        if carry or revert or both_ways:
            key = (case.entity, case.region)
            slice_ = slices.read(connection, [key])[key]
            if PLANS[slice_.stage].mirror is None:
                return {case.operation_id: f"{case.entity} in {case.region} keeps one system only by now"}
            if slice_.draining:
                return {case.operation_id: "the authority is being moved: decide it when that is over"}
            row = journal.records_for_update(connection, [case.record_id])[case.record_id]
            if row.open_writes or store.moving(connection, [case.record_id]):
                return {
                    case.operation_id: "a write of this record is on its way: decide it when that has ended"
                }
            writing = Writing(connection, slice_, ids=self._ids, at=at, settle_us=self._settle_us)
            wish = Wish(
                row=row,
                edits=edits,
                before=before,
                carry=carry,
                both=both_ways,
                revert={system: frozenset(names) for system, names in revert.items()},
            )
            writing.add(wish, open_lanes=journal.open_deliveries(connection, [case.record_id]))
            writing.write()
        self._known(connection, case.record_id, edits, revert, at=at)
        return {}

    @staticmethod
    def _known(
        connection: Connection,
        record_id: str,
        edits: Mapping[System, Mapping[str, object]],
        revert: Mapping[System, set[str]],
        *,
        at: int,
    ) -> None:
        """What was decided is no edit any more; what is put back is seen when it is there."""
        changed: list[store.Seen] = []
        for seen in store.seen_of(connection, [record_id]).values():
            system = System(seen.system)
            mine = {
                name: value
                for name, value in edits.get(system, {}).items()
                if name not in revert.get(system, set())
            }
            document = {name: value for name, value in seen.document.items() if name not in mine}
            document.update({name: value for name, value in mine.items() if value is not None})
            changed.append(msgspec.structs.replace(seen, document=document))
        store.keep_seen(connection, changed, now=at)


def _held(
    connection: Connection, operation_id: str
) -> tuple[dict[System, dict[str, object]], dict[System, dict[str, object]], int]:
    """The edits that are held, and the fields as they were, by system; and when they were found."""
    edits: dict[System, dict[str, object]] = {}
    before: dict[System, dict[str, object]] = {}
    since = 0
    for one in store.edits_of_operation(connection, operation_id):
        since = one.at
        for name, (was, now) in one.change.items():
            edits.setdefault(System(one.system), {})[name] = now
            before.setdefault(System(one.system), {})[name] = was
    return edits, before, since
