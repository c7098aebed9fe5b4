"""The steps of a repair: a piece of a reconciliation is planned, a chunk of the plan is written, what was written is
verified. Each is one commit, with how far the repair has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from adapters.contract import Adapter
from gateway.audit import record as audited
from gateway.backfill.looking import Bound
from gateway.backfill.run import rate
from gateway.backfill.steps import CALLS_A_DELIVERY, CHUNK, MOST_MOVING, WAIT_S
from gateway.backfill.store import low_mark
from gateway.crash import crash_point
from gateway.crosswalk.store import Link
from gateway.database import Database
from gateway.dispatch.records import Records
from gateway.ids import Ids
from gateway.ledger import slices
from gateway.ledger.slices import Slice
from gateway.repair import planning, store
from gateway.repair.looking import RepairLooks
from gateway.repair.run import Action, Item, Outcome, Repair, State
from gateway.repair.settling import settled
from gateway.repair.store import Part, Work
from gateway.repair.writing import Writing
from gateway.routing.plan import PLANS
from gateway.runs import Over
from gateway.switchover.switches import VALID_S

MICROS = 1_000_000
#: Records that are verified in one commit.
SETTLED_AT_ONCE = 200


class Steps:
    """``bounds`` are the systems' limits; ``told`` hears when something is left to be sent."""

    def __init__(
        self,
        *,
        database: Database,
        adapters: Mapping[str, Adapter],
        records: Records,
        looks: RepairLooks,
        ids: Ids,
        bounds: Mapping[str, Bound],
        settle_s: float,
        told: Callable[[], None],
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._writing = Writing(
            adapters=adapters, ids=ids, settle_s=settle_s, spare_edits=records.spare_edits, pace=self._pace
        )
        self._records = records
        self._looks = looks
        self._bounds = bounds
        self._told = told

    async def take(self, work: Work) -> Work | None:
        """The next step of a repair; None where there is nothing more to do. Raises Over, Lost, and the errors of
        ``adapters.errors``."""
        match work.repair.state:
            case State.PLANNING:
                return await self._plan(work)
            case State.REQUESTED:
                return await self._expire(work)
            case State.RUNNING:
                return await self._write(work)
            case _:
                return await self._verify(work)

    def _pace(self, repair: Repair, calls: int) -> int:
        """Microseconds that so many calls take at the rate that a backfill may have, in the slower system."""
        rates = [
            rate(bound.requests_per_second, bound.concurrency)
            for bound in (self._bounds[repair.source], self._bounds[repair.target])
        ]
        return int(calls / min(rates) * MICROS)

    async def _kept(self, work: Work, wait_s: float, **values: Any) -> Work:
        def unit(connection: Connection) -> Work:
            now = self._database.now(connection)
            return store.advance(
                connection, work, now=now, next_at=now + int(wait_s * MICROS), **{"failures": 0, "note": None, **values}
            )

        return await self._database.transaction(unit)

    # --- the plan ------------------------------------------------------------------------------------------------

    async def _plan(self, work: Work) -> Work | None:
        repair = work.repair

        def ahead(connection: Connection) -> Sequence[Part]:
            _as_it_was(connection, repair)
            if not store.kept(connection, repair.reconciliation):
                raise Over("the reconciliation is not kept any longer: reconcile anew, and repair from that")
            return store.unexplained(connection, repair, after=work.after, limit=CHUNK)

        parts = await self._database.read(ahead)
        wanted = {one.record_id: one for one in parts if planning.selected(one.kind, one.differences, repair.chosen)}
        looked, calls = await self._looks.look(repair, list(wanted), failures=work.failures)
        items = [
            Item(
                record_id=record_id,
                kind=wanted[record_id].kind,
                action=one.decision.action,
                outcome=Outcome.PLANNED,
                why=one.decision.why,
                native_id=one.decision.native_id,
                digest=one.decision.digest,
                changes=one.decision.changes,
                money=one.decision.money,
            )
            for record_id, one in sorted(looked.items())
        ]
        planned: Counter[Action] = Counter(repair.planned)
        planned.update(one.action for one in items)
        money = planning.together([repair.money, *(one.money for one in items)])

        def unit(connection: Connection) -> Work | None:
            now = self._database.now(connection)
            store.add_items(connection, repair.id, items)
            values: dict[str, Any] = {
                "total": repair.total + len(items),
                "looked": repair.looked + len(parts),
                "planned": store.encode(planned).decode(),
                "money": store.encode(money).decode(),
                "next_at": now + self._pace(repair, calls),
                "failures": 0,
                "note": None,
            }
            if len(parts) == CHUNK:
                return store.advance(connection, work, now=now, after=parts[-1].record_id, **values)
            values.update(self._ready(connection, repair, now=now))
            store.advance(connection, work, now=now, **values)
            detail = {"reconciliation": repair.reconciliation, "planned": planned, "plan": values["plan_hash"]}
            audited(
                connection, at=now, actor=repair.actor, action="repair.planned", subject=repair.id, detail=detail
            )
            return None

        try:
            return await self._database.transaction(unit)
        except IntegrityError as twice:
            other = await self._database.read(lambda conn: store.asked(conn, repair.entity, repair.region))
            if other is None:
                raise
            raise Over(f"{other} was asked for over the same slice meanwhile: see it through, or cancel it") from twice

    def _ready(self, connection: Connection, repair: Repair, *, now: int) -> dict[str, Any]:
        """What a repair becomes whose records have all been looked at."""
        values: dict[str, Any] = {"after": "", "lease_until": None, "plan_hash": plan_hash(connection, repair)}
        if repair.dry_run:
            return {**values, "state": State.PLANNED.value}
        return {**values, "state": State.REQUESTED.value, **asked_for(repair.actor, now=now)}

    async def _expire(self, work: Work) -> None:
        """Nobody has approved it in time."""

        def unit(connection: Connection) -> None:
            now = self._database.now(connection)
            store.advance(connection, work, now=now, state=State.EXPIRED.value, ended_at=now, lease_until=None)
            detail: dict[str, Any] = {"plan": work.repair.plan_hash}
            audited(
                connection, at=now, actor="repair", action="repair.expire", subject=work.id, detail=detail
            )

        await self._database.transaction(unit)

    # --- a chunk -------------------------------------------------------------------------------------------------

    async def _write(self, work: Work) -> Work:
        repair = work.repair
        if await self._database.read(lambda conn: store.moving(conn, repair.id)) > MOST_MOVING:
            note = f"waits until {repair.target} has taken what it was sent"
            return await self._kept(work, WAIT_S, note=note)
        # Both are read: what came to pass within the longer of their lags may not show yet.
        lag = max(self._adapters[one].facts(repair.entity).lag_s for one in (repair.source, repair.target))
        mark = await self._database.read(
            lambda conn: low_mark(conn, before=self._database.now(conn) - int(lag * MICROS))
        )
        items = await self._database.read(
            lambda conn: store.items(conn, repair.id, after=work.after, outcome=Outcome.PLANNED, limit=CHUNK)
        )
        if not items:
            return await self._kept(work, 0.0, state=State.VERIFYING.value)
        again = [one.record_id for one in items if one.action not in (Action.NOTHING, Action.BLOCKED)]
        looked, calls = await self._looks.look(repair, again, failures=work.failures)
        linked: list[Link] = []
        gone: list[Link] = []

        def unit(connection: Connection) -> Work:
            now = self._database.now(connection)
            slices.lock_shared(connection, {(repair.entity, repair.region)})
            if _as_it_was(connection, repair).draining:
                later = now + int(WAIT_S * MICROS)
                return store.advance(connection, work, now=now, next_at=later, note="waits for a move of authority")
            chunk = self._writing.chunk(connection, repair, items, looked, mark=mark, now=now)
            written, linked[:], gone[:] = chunk.sent, chunk.linked, chunk.gone
            following = store.advance(
                connection,
                work,
                now=now,
                after=items[-1].record_id,
                next_at=now + self._pace(repair, calls + CALLS_A_DELIVERY * written),
                failures=0,
                note=None,
            )
            crash_point("CP32")
            return following

        following = await self._database.transaction(unit)
        self._records.forget(gone)
        self._records.remember(linked)
        self._told()
        return following

    # --- the end -------------------------------------------------------------------------------------------------

    async def _verify(self, work: Work) -> Work | None:
        repair = work.repair

        def unit(connection: Connection) -> Work | None:
            now = self._database.now(connection)
            found, count = store.standing(connection, repair, limit=SETTLED_AT_ONCE)
            over = {one.item.record_id: fate for one in found if (fate := settled(one)) is not None}
            store.set_items(
                connection,
                repair.id,
                [
                    {"record_id": record_id, "outcome": outcome.value, "why": why}
                    for record_id, (outcome, why) in over.items()
                ],
            )
            if left := count - len(over):
                wait = 0 if len(over) and count > SETTLED_AT_ONCE else int(WAIT_S * MICROS)
                note = f"waits for {left} records to be taken and compared"
                return store.advance(connection, work, now=now, next_at=now + wait, failures=0, note=note)
            store.advance(
                connection, work, now=now, state=State.DONE.value, note=None, ended_at=now, lease_until=None
            )
            detail = {"outcomes": store.one(connection, repair.id).outcomes, "plan": repair.plan_hash}
            audited(connection, at=now, actor=repair.actor, action="repair.done", subject=repair.id, detail=detail)
            return None

        return await self._database.transaction(unit)


def _as_it_was(connection: Connection, repair: Repair) -> Slice:
    """The slice. Raises Over where it is not what the repair was planned for."""
    key = (repair.entity, repair.region)
    slice_ = slices.read(connection, [key])[key]
    if not fits(slice_, repair):
        raise Over(f"the slice has moved to {slice_.stage.value} since: reconcile it anew, and repair from that")
    return slice_


def fits(slice_: Slice, repair: Repair) -> bool:
    """Whether a slice has the authority and the mirror that a repair was planned for."""
    mirror = PLANS[slice_.stage].mirror
    return slice_.epoch == repair.epoch and mirror is not None and mirror.value == repair.target


def plan_hash(connection: Connection, repair: Repair) -> str:
    """SHA-256, in hex, over what the records of the plan say."""
    hashing = planning.Hashing(
        {
            "reconciliation": repair.reconciliation,
            "slice": [repair.entity, repair.region],
            "from": repair.source,
            "to": repair.target,
            "epoch": repair.epoch,
            "chosen": msgspec.to_builtins(repair.chosen),
        }
    )
    after = ""
    while True:
        piece = store.items(connection, repair.id, after=after, limit=SETTLED_AT_ONCE)
        for one in piece:
            hashing.add(one)
        if len(piece) < SETTLED_AT_ONCE:
            return hashing.digest()
        after = piece[-1].record_id


def asked_for(actor: str, *, now: int) -> dict[str, Any]:
    """What a plan becomes that somebody asks for: it waits for another person, and not for ever."""
    expires_at = now + VALID_S * MICROS
    return {"requested_by": actor, "requested_at": now, "expires_at": expires_at, "next_at": expires_at}
