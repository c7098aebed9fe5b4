"""Writes a chunk of an approved plan into the ledger, each record judged once more under its lock.

What is written is what was approved: a record that is not as it was planned is left alone, and so is one that anything
has happened to since it was looked at. Whatever a person is to decide becomes a case, and nothing is sent for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from adapters.contract import Adapter
from gateway.audit import record as audited
from gateway.backfill.bringing import Behalf, Bringing, Brought, bring
from gateway.backfill.steps import CALLS_A_DELIVERY
from gateway.backfill.store import moved_since
from gateway.compare.jobs import schedule
from gateway.compare.observation import CompareJob
from gateway.crosswalk.store import Link, link, links_of, unlink
from gateway.dispatch.prepare import found_link
from gateway.ids import Ids
from gateway.ledger import journal
from gateway.ledger.tables import REPAIR
from gateway.repair import store
from gateway.repair.looking import Looked
from gateway.repair.run import HARMLESS, Action, Item, Outcome, Repair

MICROS = 1_000_000
LIVE = "superseded_by_live: something has happened to it since"
CHANGED = "it is not as it was planned, and nobody has approved what it would take now"


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """What a chunk came to. ``sent``: records that go to the target; ``linked`` and ``gone``: links made and taken
    back."""

    sent: int
    linked: tuple[Link, ...]
    gone: tuple[Link, ...]


class Writing:
    """``spare_edits``: the change feed is on. ``pace`` says in how many microseconds so many calls may be made for a
    repair."""

    def __init__(
        self,
        *,
        adapters: Mapping[str, Adapter],
        ids: Ids,
        settle_s: float,
        spare_edits: bool,
        pace: Callable[[Repair, int], int],
    ) -> None:
        self._spare_edits = spare_edits
        self._adapters = adapters
        self._ids = ids
        self._settle_s = settle_s
        self._pace = pace

    def chunk(
        self,
        connection: Connection,
        repair: Repair,
        items: Sequence[Item],
        looked: Mapping[str, Looked],
        *,
        mark: int,
        now: int,
    ) -> Chunk:
        """Judges each record again under its lock, and writes what follows. ``mark``: the journal's last event before
        they were looked at. The caller holds the slice."""
        ids = [one.record_id for one in items]
        rows = journal.records_for_update(connection, ids)
        journal.lanes_for_update(connection, ids)
        restless = {record_id for record_id, _ in journal.open_deliveries(connection, ids)}
        restless |= moved_since(connection, ids, mark)
        held = links_of(connection, ids)
        fates: dict[str, tuple[Outcome, str | None]] = {}
        wanted: dict[str, Bringing] = {}
        gone: list[Link] = []
        fits: list[Link] = []
        due = float(now)
        for item in items:
            one, row = looked.get(item.record_id), rows.get(item.record_id)
            if one is None or row is None:
                left = Outcome.FAILED if item.action is Action.BLOCKED else Outcome.SUPERSEDED
                fates[item.record_id] = (left, item.why)
                continue
            action, why = one.decision.action, one.decision.why
            there = held.get((item.record_id, repair.target))
            if action is Action.NOTHING:
                fates[item.record_id] = (Outcome.SUPERSEDED, why)
            elif row.merged_into is not None:
                fates[item.record_id] = (Outcome.SUPERSEDED, f"it was merged into {row.merged_into}")
            elif action is Action.BLOCKED:
                fates[item.record_id] = (Outcome.FAILED, why)
            elif item.record_id in restless or row.open_writes or row.seq != one.seq:
                fates[item.record_id] = (Outcome.SUPERSEDED, LIVE)
            elif action not in HARMLESS and (action, one.decision.digest) != (item.action, item.digest):
                fates[item.record_id] = (Outcome.SUPERSEDED, CHANGED)
            elif action not in (Action.UPDATE, Action.PERSON) and there is not None and not _same(there, one.gone):
                fates[item.record_id] = (Outcome.SUPERSEDED, "linked meanwhile")
            else:
                if one.gone is not None:
                    gone.append(one.gone)
                if action is Action.LINK and one.found is not None:
                    fates[item.record_id] = (Outcome.LINKED, None)
                    fits.append(
                        found_link(self._adapters[repair.target], repair.entity, item.record_id, one.found)
                    )
                    continue
                wanted[item.record_id] = _bringing(one, due=int(due), now=now)
                left_to = action in (Action.PERSON, Action.AMBIGUOUS)
                fates[item.record_id] = (Outcome.PERSON if left_to else Outcome.WRITTEN, why)
                due += 0 if left_to else self._pace(repair, CALLS_A_DELIVERY)
        self._unlinked(connection, repair, gone, now=now)
        for lost in link(connection, fits, at=now):
            why = f"{repair.target} has it as {lost.native_id}, which is another record's"
            fates[lost.record_id] = (Outcome.PERSON, why)
            one = looked[lost.record_id]
            wanted[lost.record_id] = Bringing(record_id=lost.record_id, image=dict(one.image), due_at=now, unclear=why)
        if not self._spare_edits:
            # What was looked at is what is written over, at the first try: another state there is refused as stale. The
            # change feed keeps these versions itself, and tells edits by them.
            shown = [shown for one in wanted if (shown := looked[one].shown) is not None]
            link(connection, shown, at=now, known=held)
        linked = tuple(one for one in fits if fates[one.record_id][0] is Outcome.LINKED)
        behalf = Behalf(
            id=repair.id, entity=repair.entity, region=repair.region, stage=repair.stage, epoch=repair.epoch,
            source=repair.source, target=repair.target, event="repair", origin=REPAIR,
        )  # fmt: skip
        made = bring(connection, behalf, list(wanted.values()), records=rows, ids=self._ids, at=now)
        store.set_items(connection, repair.id, [_row(record_id, fate, made) for record_id, fate in fates.items()])
        self._compare(connection, repair, rows, [one.record_id for one in linked], now=now)
        sent = sum(outcome is Outcome.WRITTEN for outcome, _ in fates.values())
        return Chunk(sent=sent, linked=linked, gone=tuple(gone))

    def _unlinked(self, connection: Connection, repair: Repair, gone: Sequence[Link], *, now: int) -> None:
        """The target holds these no more, so what it gets is a new record of its own."""
        unlink(connection, gone)
        for one in gone:
            detail = {"repair": repair.id, "system": one.system, "native_id": one.native_id}
            audited(
                connection, at=now, actor=repair.approved_by or repair.actor, action="crosswalk.unlink",
                subject=one.record_id, detail=detail,
            )  # fmt: skip

    def _compare(
        self, connection: Connection, repair: Repair, rows: Mapping[str, Any], ids: Sequence[str], *, now: int
    ) -> None:
        """What is linked is compared; what is written is compared when the target has taken it."""
        schedule(
            connection,
            [
                CompareJob(
                    record_id=record_id,
                    entity=repair.entity,
                    region=repair.region,
                    authority=repair.source,
                    other=repair.target,
                    stage=repair.stage,
                    seq=rows[record_id].seq,
                    due_at=now + int(self._settle_s * MICROS),
                    reason="read",
                )
                for record_id in sorted(ids)
            ],
        )


def _same(there: Link, gone: Link | None) -> bool:
    return gone is not None and there.native_id == gone.native_id


def _bringing(one: Looked, *, due: int, now: int) -> Bringing:
    decision = one.decision
    image = dict(one.image)
    if decision.action is Action.PERSON:
        return Bringing(record_id=one.record_id, image=image, due_at=now, person=decision.why)
    if decision.action is Action.AMBIGUOUS:
        return Bringing(record_id=one.record_id, image=image, due_at=now, unclear=decision.why)
    return Bringing(
        record_id=one.record_id, image=image, due_at=due, fields=decision.fields, moves=decision.moves
    )


def _row(record_id: str, fate: tuple[Outcome, str | None], made: Brought) -> dict[str, Any]:
    deliveries = made.deliveries.get(record_id, ())
    return {
        "record_id": record_id,
        "outcome": fate[0].value,
        "why": fate[1],
        "deliveries": msgspec.json.encode(deliveries).decode(),
        "delivery_id": deliveries[-1] if deliveries else None,
        "case_id": made.cases.get(record_id),
    }
