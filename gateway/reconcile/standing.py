"""Where a record that parts stands in the journal, and the term that follows from it. Pure but for one look."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

import msgspec
from sqlalchemy import Connection, func, select

from gateway.cases.tables import case_
from gateway.database import among
from gateway.ledger.states import DELIVERY_OPEN, DeliveryState
from gateway.ledger.tables import delivery, record
from gateway.reconcile.bridge import Term
from gateway.reconcile.run import SourceUse

#: How often a record is looked at again before it is settled by what is known.
MOST_TRIES = 5

_OPEN = [state.value for state in DELIVERY_OPEN]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal says of one record. Moments are microseconds UTC."""

    queued: str | None = None  #: the oldest mirror delivery that is on its way by itself
    queued_since: int = 0
    moving: bool = False  #: any delivery of it is on its way by itself
    parked: str | None = None  #: a delivery that waits for a person
    case: str | None = None  #: an open case
    quiet_since: int = 0  #: the last settlement of a delivery
    merged_into: str | None = None  #: the record that it is taken for


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The term of a record, and what it follows from."""

    term: Term
    why: str


Next = Literal["look", "wait"]


def standings(connection: Connection, record_ids: Collection[str]) -> dict[str, Standing]:
    """The standing of each of these records."""
    if not record_ids:
        return {}
    facts: dict[str, dict[str, object]] = {one: {} for one in record_ids}
    rows = connection.execute(
        select(delivery.c.id, delivery.c.record_id, delivery.c.role, delivery.c.state, delivery.c.created_at)
        .where(among(delivery.c.record_id, record_ids), among(delivery.c.state, _OPEN))
        .order_by(delivery.c.created_at.desc(), delivery.c.id.desc())
    )
    for row in rows:
        mine = facts[row.record_id]
        if row.state == DeliveryState.PARKED:
            mine["parked"] = row.id
            continue
        mine["moving"] = True
        if row.role == "mirror":
            mine.update(queued=row.id, queued_since=row.created_at)
    for row in connection.execute(
        select(case_.c.record_id, func.min(case_.c.id).label("id"))
        .where(among(case_.c.record_id, record_ids), case_.c.state == "open")
        .group_by(case_.c.record_id)
    ):
        facts[row.record_id]["case"] = row.id
    for row in connection.execute(
        select(delivery.c.record_id, func.max(delivery.c.updated_at).label("quiet"))
        .where(among(delivery.c.record_id, record_ids))
        .group_by(delivery.c.record_id)
    ):
        facts[row.record_id]["quiet_since"] = row.quiet
    for row in connection.execute(
        select(record.c.id, record.c.merged_into).where(
            among(record.c.id, record_ids), record.c.merged_into.is_not(None)
        )
    ):
        facts[row.id]["merged_into"] = row.merged_into
    return {one: msgspec.convert(known, Standing) for one, known in facts.items()}


def at_once(standing: Standing, *, read_at: int) -> Found | None:
    """The term that the journal alone gives a record that parts, or None: it has to be read again.

    A delivery that was accepted after both sides had been read accounts for nothing that was read.
    """
    if standing.merged_into is not None:
        return Found(term=Term.LATE, why=f"merged into {standing.merged_into} since it was read")
    if standing.queued is not None and standing.queued_since <= read_at:
        return Found(term=Term.QUEUED, why=standing.queued)
    if standing.case is not None or standing.parked is not None:
        return Found(term=Term.IN_CASE, why=standing.case or standing.parked or "")
    return None


def since_made(standing: Standing, uses: Iterable[SourceUse]) -> Found | None:
    """Late, if a source of the run was made before the last write that we know of: it cannot have it."""
    for use in uses:
        if use.made_at is not None and standing.quiet_since > use.made_at:
            return Found(term=Term.LATE, why=f"written since {use.name} was made")
    return None


def before_look(standing: Standing, *, now: int, settle: int, tries: int) -> Found | Next:
    """Whether a record is quiet enough to be read again. One that never is was written within the settle time."""
    if not standing.moving and standing.quiet_since + settle <= now:
        return "look"
    if tries < MOST_TRIES:
        return "wait"
    if standing.queued is not None:
        return Found(term=Term.QUEUED, why=standing.queued)
    return Found(term=Term.LATE, why="written within the settle time")
