"""Reads and writes switches. Struct in, Struct out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Select, Table, insert, select, update

from gateway.database import among
from gateway.ledger import slices
from gateway.ledger.tables import slice_
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage
from gateway.switchover.states import UNDER_WAY, SwitchEvent, SwitchState, switch_after
from gateway.switchover.tables import switch

S = TypeVar("S", bound=msgspec.Struct)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a switch was aborted. ``code``: a gate, or ``expired``, ``aborted``, ``rule_moved``, ``store``."""

    code: str
    message: str


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What an emergency makes of the writes under way; before its fence, what it would make of them. ``at``: requested,
    cutting_off, delivering, releasing."""

    at: str
    stranded: int = 0  #: sent to the dead system, and what became of them there is open
    recalled: int = 0  #: never sent; they go to the system that takes over
    undelivered: int = 0  #: confirmed by the dead system, and not yet in the one that takes over
    released: int = 0  #: recalled or held meanwhile, and let go


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """One move of authority. Moments are microseconds UTC on the database's clock."""

    id: str
    entity: str
    region: str
    kind: str
    from_stage: Stage
    to_stage: Stage
    state: SwitchState
    rule: dict[str, Any]
    rule_version: int
    reason: str
    overridden: tuple[str, ...]
    accepted: tuple[str, ...]
    evidence: dict[str, Any]
    evidence_hash: str
    two_person: bool
    requested_by: str
    requested_at: int
    expires_at: int
    looked_at: int
    approved_by: str | None = None
    approved_at: int | None = None
    epoch: int | None = None
    fenced_at: int | None = None
    drain_until: int | None = None
    remaining: int | None = None
    ended_at: int | None = None
    ended_by: str | None = None
    problem: Problem | None = None
    counts: Counts | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.entity, self.region

    @property
    def next_authority(self) -> str:
        return PLANS[self.to_stage].authority.value


_JSON = ("rule", "overridden", "accepted", "evidence", "problem", "counts")


def add(connection: Connection, one: Switch) -> None:
    """Writes a new one. The slice's lock is held, and it has no open switch."""
    connection.execute(insert(switch), [_row(one)])


def change(
    connection: Connection, one: Switch, event: SwitchEvent | None, values: Mapping[str, Any]
) -> Switch:
    """``one`` after ``event`` and with these values, written. The caller has it from ``held``."""
    state = one.state if event is None else switch_after(one.state, event)
    after = msgspec.structs.replace(one, state=state, **values)
    row = _row(after)
    del row["id"]
    connection.execute(update(switch).where(switch.c.id == one.id).values(**row))
    return after


def one(connection: Connection, id_: str, *, lock: bool = False) -> Switch | None:
    """The switch; ``lock``: nobody else changes it until the transaction ends."""
    wanted = select(switch).where(switch.c.id == id_)
    row = connection.execute(wanted.with_for_update() if lock else wanted).one_or_none()
    return None if row is None else _switch(row)


def still(connection: Connection, id_: str, *, remaining: int, at: int) -> None:
    """Somebody is at a switch that drains, and so many deliveries are left; one that has ended stays as it is."""
    connection.execute(
        update(switch)
        .where(switch.c.id == id_, switch.c.state == SwitchState.DRAINING.value)
        .values(remaining=remaining, looked_at=at)
    )


def held(connection: Connection, id_: str) -> Switch | None:
    """The switch as it is now, with its slice's exclusive lock and its own row held until the transaction ends."""
    there = one(connection, id_)
    if there is None:
        return None
    # In this order everywhere: a write takes the slice's lock and no switch.
    slices.lock_exclusive(connection, there.key)
    return one(connection, id_, lock=True)


def orphaned(connection: Connection, *, before: int) -> tuple[tuple[str, str], ...]:
    """Slices that have been draining since ``before`` and that no switch under way holds."""
    holds = select(switch.c.id).where(
        switch.c.entity == slice_.c.entity,
        switch.c.region == slice_.c.region,
        switch.c.ended_at.is_(None),
        among(switch.c.state, [state.value for state in UNDER_WAY]),
    )
    rows = connection.execute(
        select(slice_.c.entity, slice_.c.region).where(
            slice_.c.draining.is_(True), slice_.c.drain_since <= before, ~holds.exists()
        )
    )
    return tuple((row.entity, row.region) for row in rows)


def open_of(connection: Connection, key: tuple[str, str]) -> Switch | None:
    """The switch of the slice that has not ended."""
    row = connection.execute(
        select(switch).where(
            switch.c.entity == key[0], switch.c.region == key[1], switch.c.ended_at.is_(None)
        )
    ).one_or_none()
    return None if row is None else _switch(row)


def abandoned(connection: Connection, *, before: int) -> tuple[str, ...]:
    """Those under way that nobody has been at since ``before``."""
    rows = connection.execute(
        select(switch.c.id).where(
            switch.c.ended_at.is_(None),
            among(switch.c.state, [state.value for state in UNDER_WAY]),
            switch.c.looked_at < before,
        )
    )
    return tuple(rows.scalars())


def expired(connection: Connection, *, now: int) -> tuple[str, ...]:
    """Requests whose time to be approved is over."""
    rows = connection.execute(
        select(switch.c.id).where(
            switch.c.ended_at.is_(None),
            switch.c.state == SwitchState.REQUESTED.value,
            switch.c.expires_at <= now,
        )
    )
    return tuple(rows.scalars())


def page(
    connection: Connection,
    *,
    entity: str | None = None,
    region: str | None = None,
    state: str | None = None,
    regions: frozenset[str] | None = None,
    entities: frozenset[str] | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Sequence[Switch]:
    """The newest first; ``after`` is the id that the last page ended with."""
    wanted = newest(
        switch, entity=entity, region=region, state=state, regions=regions, entities=entities, after=after, limit=limit
    )
    return [_switch(row) for row in connection.execute(wanted)]


def newest(
    table: Table,
    *,
    entity: str | None,
    region: str | None,
    state: str | None,
    regions: frozenset[str] | None,
    entities: frozenset[str] | None,
    after: str | None,
    limit: int,
) -> Select[Any]:
    """The newest rows of a table of moves, narrowed to what was asked for and to what the caller may see; ``after`` is
    the id that the last page ended with."""
    wanted = select(table).order_by(table.c.id.desc()).limit(limit)
    for column, value in ((table.c.entity, entity), (table.c.region, region), (table.c.state, state)):
        if value is not None:
            wanted = wanted.where(column == value)
    if regions is not None:
        wanted = wanted.where(among(table.c.region, sorted(regions)))
    if entities is not None:
        wanted = wanted.where(among(table.c.entity, sorted(entities)))
    return wanted if after is None else wanted.where(table.c.id < after)


def as_row(one: msgspec.Struct, *json: str) -> dict[str, Any]:
    """The row of a move: its fields, those that ``json`` names as JSON."""
    fields = msgspec.structs.asdict(one)
    row = {name: value.value if isinstance(value, Enum) else value for name, value in fields.items()}
    return row | {name: None if row[name] is None else msgspec.json.encode(row[name]).decode() for name in json}


def from_row(row: Any, kind: type[S], *json: str) -> S:
    """The other way round."""
    fields = {name: getattr(row, name) for name in kind.__struct_fields__}
    for name in json:
        fields[name] = None if fields[name] is None else msgspec.json.decode(fields[name])
    return msgspec.convert(fields, kind, strict=False)


def _row(one: Switch) -> dict[str, Any]:
    return as_row(one, *_JSON)


def _switch(row: Any) -> Switch:
    return from_row(row, Switch, *_JSON)
