"""Bulk replays as they are kept, and who may see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, select

from gateway.clock import rfc3339
from gateway.database import from_micros, moment
from gateway.dispatch.dead_letters import Narrowed
from gateway.dispatch.replay_tables import replay_refusal, replay_run
from gateway.errors import NotFoundHere
from gateway.ledger import journal

#: Refusals that are told with a run; how many there are is counted in full.
TOLD_REFUSALS = 100

State = Literal["running", "done", "cancelled"]
Scope = frozenset[str] | None  #: what a caller may see; None: all


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    delivery: str
    operation: str | None
    reason: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One bulk replay. ``total`` was counted when it began; what has left the queue by other ways since is not counted
    below it."""

    id: str
    state: State
    filter: Narrowed
    actor: str
    reason: str
    total: int
    replayed: int
    superseded: int
    refused: int
    per_s: int
    created_at: str
    updated_at: str
    ended_at: str | None
    ended_by: str | None
    refusals: tuple[Refusal, ...] = ()

    @property
    def done(self) -> int:
        return self.replayed + self.superseded + self.refused


def row(connection: Connection, run_id: str) -> Any:
    """The row of a run, or None."""
    return connection.execute(select(replay_run).where(replay_run.c.id == run_id)).one_or_none()


def seen(connection: Connection, run_id: str, regions: Scope, entities: Scope) -> Run:
    """The run with its refusals. Raises NotFoundHere, also outside the caller's reach."""
    found = row(connection, run_id)
    if found is None or not within(found, regions, entities):
        raise NotFoundHere("there is no such replay, or it is over more than this key may see")
    refusals = connection.execute(
        select(replay_refusal)
        .where(replay_refusal.c.run_id == run_id)
        .order_by(replay_refusal.c.delivery_id)
        .limit(TOLD_REFUSALS)
    )
    return told(
        found,
        [
            Refusal(delivery=one.delivery_id, operation=one.operation_id, reason=one.reason)
            for one in refusals
        ],
    )


def within(row: Any, regions: Scope, entities: Scope) -> bool:
    """Whether everything that the run is about lies within what a caller may see."""
    narrowed = msgspec.json.decode(row.filter, type=Narrowed)
    for own, asked, all_of in (
        (regions, narrowed.region, scope(row.regions)),
        (entities, narrowed.entity, scope(row.entities)),
    ):
        about = all_of if asked is None else frozenset({asked})
        if own is not None and (about is None or not about <= own):
            return False
    return True


def end(connection: Connection, run_id: str, state: State, *, at: int, by: str | None) -> None:
    """The run takes no further chunk."""
    connection.execute(
        replay_run.update()
        .where(replay_run.c.id == run_id)
        .values(state=state, ended_at=at, ended_by=by, updated_at=at)
    )


def told(row: Any, refusals: Sequence[Refusal] = ()) -> Run:
    """A row as the rest of the program sees it."""
    return Run(
        id=row.id,
        state=row.state,
        filter=msgspec.json.decode(row.filter, type=Narrowed),
        actor=row.actor,
        reason=row.reason,
        total=row.total,
        replayed=row.replayed,
        superseded=row.superseded,
        refused=row.refused,
        per_s=row.per_s,
        created_at=rfc3339(from_micros(row.created_at)),
        updated_at=rfc3339(from_micros(row.updated_at)),
        ended_at=moment(row.ended_at),
        ended_by=row.ended_by,
        refusals=tuple(refusals),
    )


def kept(names: Scope) -> str | None:
    """What a caller may see, as a row keeps it."""
    return None if names is None else journal.encode(sorted(names))


def scope(text: str | None) -> Scope:
    """The other way about."""
    return None if text is None else frozenset(msgspec.json.decode(text, type=list[str]))
