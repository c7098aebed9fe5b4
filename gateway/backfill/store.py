"""Reads and writes runs and what became of their records, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, exists, func, select, update

from gateway.access import within
from gateway.backfill.run import OPEN, WORKED, Item, Outcome, Run, State
from gateway.backfill.tables import backfill_item, backfill_run
from gateway.cases.tables import case_
from gateway.compare.tables import compare_job, diff
from gateway.crosswalk.tables import crosswalk
from gateway.database import among
from gateway.errors import NotFoundHere
from gateway.ledger.states import DELIVERY_OPEN, DeliveryState
from gateway.ledger.tables import delivery, event, record
from gateway.runs import Lost

Scope = frozenset[str] | None  #: what a caller may see; None: all
_runs, _items = backfill_run.c, backfill_item.c
_MOVING = [state.value for state in DELIVERY_OPEN if state is not DeliveryState.PARKED]
_FAILED = [state.value for state in (DeliveryState.PARKED, DeliveryState.REJECTED, DeliveryState.SKIPPED)]


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A run in the hands of whoever works on it."""

    run: Run
    epoch: int
    cursor: str | None
    failures: int
    token: int
    next_at: int

    @property
    def id(self) -> str:
        return self.run.id


def one(
    connection: Connection, run_id: str, regions: Scope = None, entities: Scope = None, *, lock: bool = False
) -> Run:
    """Raises NotFoundHere, also outside of what the caller may see."""
    query = select(backfill_run).where(_runs.id == run_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None or not within(row.entity, row.region, entities, regions):
        raise NotFoundHere("there is no such backfill, or it is over a slice that this key may not see")
    return _run(row)


def page(
    connection: Connection,
    *,
    entity: str | None,
    region: str | None,
    state: str | None,
    after: str | None,
    limit: int,
    regions: Scope,
    entities: Scope,
) -> Sequence[Run]:
    """Runs from the newest to the oldest; ``after`` is the id that the last page ended with."""
    query = select(backfill_run).order_by(_runs.id.desc()).limit(limit)
    for column, value in ((_runs.entity, entity), (_runs.region, region), (_runs.state, state)):
        if value is not None:
            query = query.where(column == value)
    for column, seen in ((_runs.region, regions), (_runs.entity, entities)):
        if seen is not None:
            query = query.where(column.in_(sorted(seen)))
    if after is not None:
        query = query.where(_runs.id < after)
    return [_run(row) for row in connection.execute(query)]


def under_way(connection: Connection, entity: str, region: str) -> str | None:
    """The id of the run over this slice that has not ended."""
    query = select(_runs.id).where(_runs.entity == entity, _runs.region == region, _runs.state.in_(OPEN))
    return connection.execute(query).scalar_one_or_none()


def claim(connection: Connection, *, now: int, lease: int, only: str | None = None) -> Work | None:
    """The run that has been due for longest and that nobody holds. Microseconds."""
    query = (
        select(_runs.id)
        .where(_runs.state.in_(WORKED), _runs.next_at <= now, func.coalesce(_runs.lease_until, 0) <= now)
        .order_by(_runs.next_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if only is not None:
        query = query.where(_runs.id == only)
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        return None
    row = connection.execute(
        update(backfill_run)
        .where(_runs.id == found)
        .values(token=_runs.token + 1, lease_until=now + lease)
        .returning(*_runs)
    ).one()
    return _work(row)


def advance(connection: Connection, work: Work, *, now: int, **values: Any) -> Work:
    """Writes how far the run has come. Raises Lost, which rolls the whole step back."""
    row = connection.execute(
        update(backfill_run)
        .where(_runs.id == work.run.id, _runs.token == work.token, _runs.state == work.run.state.value)
        .values(updated_at=now, **values)
        .returning(*_runs)
    ).one_or_none()
    if row is None:
        raise Lost(work.run.id)
    return _work(row)


def keep_lease(connection: Connection, work: Work, *, until: int | None) -> bool:
    """Holds the run for longer, or lets go of it. False: somebody else has it."""
    done = connection.execute(
        update(backfill_run)
        .where(_runs.id == work.run.id, _runs.token == work.token)
        .values(lease_until=until)
    )
    return done.rowcount == 1


def low_mark(connection: Connection, *, before: int) -> int:
    """The journal's last event of ``before`` (microseconds UTC)."""
    query = select(event.c.position).where(event.c.at < before).order_by(event.c.position.desc()).limit(1)
    return connection.execute(query).scalar() or 0


def moved_since(connection: Connection, ids: Sequence[str], mark: int) -> frozenset[str]:
    """Which of these records something has happened to since the mark."""
    query = select(event.c.record_id).where(among(event.c.record_id, ids), event.c.position > mark).distinct()
    return frozenset(connection.execute(query).scalars())


def fresh(connection: Connection, run: Run, ids: Sequence[str]) -> frozenset[str]:
    """Which of these belong to the slice and have not been taken by this run: a page may show one again."""
    taken = select(_items.record_id).where(_items.run_id == run.id, among(_items.record_id, ids))
    wanted = select(record.c.id).where(
        among(record.c.id, ids),
        record.c.region == run.region,
        record.c.merged_into.is_(None),
        record.c.id.not_in(taken),
    )
    return frozenset(connection.execute(wanted).scalars())


def moving(connection: Connection, run: Run) -> int:
    """Deliveries of the run that are on their way."""
    return connection.execute(
        select(func.count())
        .select_from(backfill_item)
        .join(delivery, delivery.c.id == _items.delivery_id)
        .where(
            _items.run_id == run.id,
            _items.outcome == Outcome.CREATED.value,
            delivery.c.state.in_(_MOVING),
        )
    ).scalar_one()


def comparing(connection: Connection, run: Run) -> int:
    """Comparisons of what the run has linked or created that are still to be made. That of a later live write is not
    waited for: where there is always one, a run would never end."""
    return connection.execute(
        select(func.count())
        .select_from(backfill_item)
        .join(compare_job, compare_job.c.record_id == _items.record_id)
        .outerjoin(delivery, delivery.c.id == _items.delivery_id)
        .where(
            _items.run_id == run.id,
            (compare_job.c.operation_id == delivery.c.operation_id)
            | (compare_job.c.operation_id.is_(None) & _items.delivery_id.is_(None)),
        )
    ).scalar_one()


def failed(connection: Connection, run: Run) -> int:
    """Records whose delivery the target has refused, or a person has given up."""
    return connection.execute(
        select(func.count())
        .select_from(backfill_item)
        .join(delivery, delivery.c.id == _items.delivery_id)
        .where(
            _items.run_id == run.id,
            _items.outcome == Outcome.CREATED.value,
            delivery.c.state.in_(_FAILED),
        )
    ).scalar_one()


def differing(connection: Connection, run: Run) -> int:
    """Records of the run that an open difference stands against."""
    return connection.execute(
        select(func.count(func.distinct(_items.record_id)))
        .select_from(backfill_item)
        .join(diff, diff.c.record_id == _items.record_id)
        .where(_items.run_id == run.id, diff.c.resolved_at.is_(None), diff.c.verdict == "mismatch")
    ).scalar_one()


def unlinked(connection: Connection, entity: str, region: str, source: str, target: str) -> int:
    """Records of a slice that the source holds, and the target neither holds nor has on its way. What waits for a
    person is not on its way."""
    here, there = crosswalk.alias("here"), crosswalk.alias("there")
    return connection.execute(
        select(func.count())
        .select_from(record)
        .join(here, (here.c.record_id == record.c.id) & (here.c.system == source))
        .outerjoin(there, (there.c.record_id == record.c.id) & (there.c.system == target))
        .where(
            record.c.entity == entity,
            record.c.region == region,
            record.c.merged_into.is_(None),
            there.c.record_id.is_(None),
            ~exists().where(
                delivery.c.record_id == record.c.id,
                delivery.c.system == target,
                delivery.c.state.in_(_MOVING),
            ),
        )
    ).scalar_one()


def items(
    connection: Connection, run: Run, *, outcome: Outcome | None, after: str, limit: int
) -> Sequence[Item]:
    """What became of the run's records, by their ids; ``after`` is the id that the last page ended with."""
    newest = select(func.max(case_.c.id)).where(
        case_.c.record_id == _items.record_id, case_.c.delivery_id == _items.delivery_id
    )
    query = (
        select(
            _items.record_id,
            _items.outcome,
            func.coalesce(_items.why, delivery.c.message).label("why"),
            _items.delivery_id,
            delivery.c.state.label("delivery_state"),
            newest.scalar_subquery().label("case_id"),
        )
        .select_from(backfill_item)
        .outerjoin(delivery, delivery.c.id == _items.delivery_id)
        .where(_items.run_id == run.id, _items.record_id > after)
        .order_by(_items.record_id)
        .limit(limit)
    )
    if outcome is not None:
        query = query.where(_items.outcome == outcome.value)
    return [
        Item(
            record_id=row.record_id,
            outcome=Outcome(row.outcome),
            why=row.why,
            delivery_id=row.delivery_id,
            delivery_state=row.delivery_state,
            case_id=row.case_id,
        )
        for row in connection.execute(query)
    ]


def verified(connection: Connection, entity: str, region: str, *, epoch: int) -> bool:
    """Whether a backfill of the slice was seen through in this authority period."""
    query = select(_runs.id).where(
        _runs.entity == entity,
        _runs.region == region,
        _runs.epoch == epoch,
        _runs.state == State.DONE.value,
    )
    return connection.execute(query.limit(1)).first() is not None


def compared(connection: Connection, entity: str, region: str) -> ColumnElement[bool]:
    """That a run has found the record of a row linked, or has linked it, and was seen through: then both sides of it
    were compared. For as long as the records of a run are kept."""
    query = select(_runs.id).where(
        _runs.entity == entity, _runs.region == region, _runs.state == State.DONE.value
    )
    runs = list(connection.execute(query).scalars())
    return exists().where(
        among(_items.run_id, runs),
        _items.record_id == record.c.id,
        among(_items.outcome, [Outcome.LINKED.value, Outcome.PRESENT.value]),
    )


def _run(row: Any) -> Run:
    return Run(
        state=State(row.state),
        **{name: getattr(row, name) for name in Run.__struct_fields__ if name != "state"},
    )


def _work(row: Any) -> Work:
    return Work(
        run=_run(row),
        epoch=row.epoch,
        cursor=row.cursor,
        failures=row.failures,
        token=row.token,
        next_at=row.next_at,
    )
