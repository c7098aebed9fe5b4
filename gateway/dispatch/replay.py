"""Dead letters are sent again: one, or as many as a filter names, at a bounded rate.

A bulk replay is a row of the database and no task of a process: whichever replica finds it due takes its next chunk,
and chunk, counters, audit and how far it has come are one commit, so a crash loses nothing and repeats nothing. It
takes what waited when it began: what is refused again comes to wait anew and is not its business any more. Never over a
newer state: where a newer write of the lane is in the system, or may be, a mirror of master data is marked superseded,
if that was a mirror's too and so brought the whole state, and any other is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from gateway.audit import reason_of
from gateway.audit import record as audited
from gateway.cases import close_for
from gateway.database import Database, among, from_micros
from gateway.database.rows import insert_missing, rows_by_id
from gateway.dispatch import replay_runs
from gateway.dispatch.claim import LATEST, MICROS, supersede
from gateway.dispatch.dead_letters import Cause, Narrowed, causes, waiting
from gateway.dispatch.replay_runs import Run, Scope
from gateway.dispatch.replay_tables import replay_refusal, replay_run
from gateway.errors import CannotCancel
from gateway.ids import REPLAY, Ids
from gateway.ledger import decisions, journal
from gateway.ledger.decisions import Decided
from gateway.ledger.states import DeliveryState
from gateway.ledger.tables import delivery

#: Seconds between two chunks of one run.
CHUNK_S = 0.5
_TOUCHED = [state.value for state in (DeliveryState.SENDING, DeliveryState.UNKNOWN, DeliveryState.APPLIED)]


class Done(msgspec.Struct, kw_only=True):
    """What became of some deliveries: ids, and for those that were refused the reason."""

    replayed: list[str]
    superseded: list[str]
    refused: dict[str, str]


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay would do, counted and not done. Given back as ``until``, its moment keeps a run to what was
    counted."""

    at: datetime
    count: int
    superseded: int
    refused: int
    causes: tuple[Cause, ...]


def replay(
    connection: Connection, delivery_ids: Collection[str], *, at: int, by: str, reason: str | None
) -> Done:
    """D12 and D11 for these deliveries, in the caller's transaction; their cases are closed with them."""
    first = rows_by_id(connection, delivery, set(delivery_ids))
    record_ids = {row.record_id for row in first.values()}
    journal.records_for_update(connection, record_ids)
    journal.lanes_for_update(connection, record_ids)
    rows = rows_by_id(connection, delivery, set(delivery_ids), lock=True)
    newest = _newest(connection, record_ids)
    overtaken = [
        row
        for row in rows.values()
        if row.state == DeliveryState.PARKED
        and row.role == "mirror"
        and row.entity in LATEST
        and newest.get((row.record_id, row.system), 0) > row.seq
    ]
    supersede(connection, overtaken, at=at)
    superseded = [row.id for row in overtaken]
    others = sorted(set(delivery_ids).difference(superseded))
    detail = by if reason is None else f"{by}: {reason}"
    unfit = decisions.replay(connection, [Decided(delivery_id=id_, detail=detail) for id_ in others], at=at)
    journal.wake_lanes(connection, {(row.record_id, row.system) for row in overtaken}, latest=LATEST)
    replayed = [id_ for id_ in others if id_ not in unfit]
    for ids, how in ((replayed, "replay"), (superseded, "overtaken")):
        close_for(connection, delivery_ids=ids, at=at, how=how, by=by, reason=reason)
    return Done(replayed=replayed, superseded=superseded, refused=unfit)


def _newest(connection: Connection, record_ids: Collection[str]) -> dict[journal.LaneKey, int]:
    """By lane, the newest write that a mirror has brought to the system, or may have: the whole state, in which an
    older one is contained. What an authority was sent is a patch, and contains nothing."""
    if not record_ids:
        return {}
    rows = connection.execute(
        select(delivery.c.record_id, delivery.c.system, func.max(delivery.c.seq).label("seq"))
        .where(
            among(delivery.c.record_id, record_ids),
            among(delivery.c.state, _TOUCHED),
            delivery.c.role == "mirror",
        )
        .group_by(delivery.c.record_id, delivery.c.system)
    )
    return {(row.record_id, row.system): row.seq for row in rows}


class Replays:
    """``per_s`` is the rate of a run. ``told`` hears when something is left to be sent."""

    def __init__(self, *, database: Database, ids: Ids, per_s: int, told: Callable[[], None]) -> None:
        self._database = database
        self._ids = ids
        self._per_s = per_s
        self._told = told

    async def forecast(
        self, narrowed: Narrowed, *, regions: Scope = None, entities: Scope = None
    ) -> Forecast:
        """What a replay of these would do now."""

        def unit(connection: Connection) -> Forecast:
            now = self._database.now(connection)
            if narrowed.until is None:
                seen = msgspec.structs.replace(narrowed, until=from_micros(now))
            else:
                seen = narrowed
            found = causes(connection, seen, regions=regions, entities=entities, role="mirror")
            return Forecast(
                at=seen.until or from_micros(now),
                count=sum(one.count for one in found),
                superseded=sum(one.superseded for one in found),
                refused=sum(one.refused for one in found),
                causes=found,
            )

        return await self._database.read(unit)

    async def start(
        self, narrowed: Narrowed, *, actor: str, reason: str, regions: Scope = None, entities: Scope = None
    ) -> Run:
        """Begins a run over what waits now, at most up to ``until``. Raises Invalid without a reason."""
        why = reason_of(reason)
        run_id = self._ids.new(REPLAY)

        def unit(connection: Connection) -> Run:
            now = self._database.now(connection)
            at = from_micros(now)
            until = at if narrowed.until is None else min(narrowed.until, at)
            fixed = msgspec.structs.replace(narrowed, until=until)
            found = causes(connection, fixed, regions=regions, entities=entities, role="mirror")
            total = sum(one.count for one in found)
            connection.execute(
                replay_run.insert().values(
                    id=run_id,
                    state="running",
                    filter=journal.encode(fixed),
                    regions=replay_runs.kept(regions),
                    entities=replay_runs.kept(entities),
                    actor=actor,
                    reason=why,
                    total=total,
                    replayed=0,
                    superseded=0,
                    refused=0,
                    per_s=self._per_s,
                    after="",
                    next_at=now,
                    created_at=now,
                    updated_at=now,
                )
            )
            detail = {"filter": msgspec.to_builtins(fixed), "reason": why, "total": total}
            audited(connection, at=now, actor=actor, action="replay.start", subject=run_id, detail=detail)
            return replay_runs.told(replay_runs.row(connection, run_id))

        return await self._database.transaction(unit)

    async def get(self, run_id: str, *, regions: Scope = None, entities: Scope = None) -> Run:
        """Raises NotFoundHere, also for a run over more than the caller may see."""
        return await self._database.read(lambda conn: replay_runs.seen(conn, run_id, regions, entities))

    async def list(
        self, *, after: str | None = None, limit: int = 50, regions: Scope = None, entities: Scope = None
    ) -> tuple[Run, ...]:
        """Runs from the newest to the oldest; ``after`` is the id that the last page ended with."""

        def unit(connection: Connection) -> tuple[Run, ...]:
            query = select(replay_run).order_by(replay_run.c.id.desc())
            if after is not None:
                query = query.where(replay_run.c.id < after)
            found: list[Run] = []
            for row in connection.execute(query.limit(1000)):
                if replay_runs.within(row, regions, entities):
                    found.append(replay_runs.told(row))
                    if len(found) == limit:
                        break
            return tuple(found)

        return await self._database.read(unit)

    async def cancel(self, run_id: str, *, actor: str, regions: Scope = None, entities: Scope = None) -> Run:
        """Sends no more of it. Cancelling again changes nothing. Raises NotFoundHere, and CannotCancel when it is
        done."""

        def unit(connection: Connection) -> Run:
            replay_runs.seen(connection, run_id, regions, entities)
            row = connection.execute(
                select(replay_run).where(replay_run.c.id == run_id).with_for_update()
            ).one()
            if row.state == "done":
                raise CannotCancel("the replay is done", state="done")
            if row.state == "running":
                now = self._database.now(connection)
                replay_runs.end(connection, run_id, "cancelled", at=now, by=actor)
                left = row.total - row.replayed - row.superseded - row.refused
                audited(
                    connection,
                    at=now,
                    actor=actor,
                    action="replay.cancel",
                    subject=run_id,
                    detail={"left": left},
                )
            return replay_runs.seen(connection, run_id, regions, entities)

        return await self._database.transaction(unit)

    async def run_once(self) -> int:
        """Takes the next chunk of a run that is due. Returns how many deliveries it decided on."""
        if not await self._database.read(self._due):
            return 0
        done = await self._database.transaction(self._chunk)
        if done is None:
            return 0
        if done.replayed or done.superseded:
            self._told()
        return len(done.replayed) + len(done.superseded) + len(done.refused)

    # --- a chunk -----------------------------------------------------------------------------------------------

    def _due(self, connection: Connection) -> bool:
        query = select(replay_run.c.id).where(
            replay_run.c.state == "running", replay_run.c.next_at <= self._database.now(connection)
        )
        return connection.execute(query.limit(1)).first() is not None

    def _chunk(self, connection: Connection) -> Done | None:
        now = self._database.now(connection)
        run = connection.execute(
            select(replay_run)
            .where(replay_run.c.state == "running", replay_run.c.next_at <= now)
            .order_by(replay_run.c.next_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).one_or_none()
        if run is None:
            return None
        size = max(1, int(run.per_s * CHUNK_S))
        ids, reached = waiting(
            connection,
            msgspec.json.decode(run.filter, type=Narrowed),
            regions=replay_runs.scope(run.regions),
            entities=replay_runs.scope(run.entities),
            after=run.after,
            limit=size,
        )
        done = replay(connection, ids, at=now, by=run.actor, reason=f"{run.reason} ({run.id})")
        self._keep(connection, run, done, at=now)
        connection.execute(
            replay_run.update()
            .where(replay_run.c.id == run.id)
            .values(
                replayed=run.replayed + len(done.replayed),
                superseded=run.superseded + len(done.superseded),
                refused=run.refused + len(done.refused),
                after=reached or run.after,
                next_at=now + int(len(ids) / run.per_s * MICROS),
                updated_at=now,
            )
        )
        if reached is None:
            replay_runs.end(connection, run.id, "done", at=now, by=None)
        return done

    def _keep(self, connection: Connection, run: Any, done: Done, *, at: int) -> None:
        """The audit of a chunk, and the reasons of what it refused."""
        if not (done.replayed or done.superseded or done.refused):
            return
        operations = rows_by_id(connection, delivery, list(done.refused))
        insert_missing(
            connection,
            replay_refusal,
            [
                {
                    "run_id": run.id,
                    "delivery_id": id_,
                    "operation_id": operations[id_].operation_id if id_ in operations else None,
                    "reason": why,
                }
                for id_, why in sorted(done.refused.items())
            ],
        )
        audited(
            connection,
            at=at,
            actor=run.actor,
            action="replay.chunk",
            subject=run.id,
            detail=msgspec.to_builtins(done),
        )
