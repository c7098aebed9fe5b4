"""Reads and writes repairs and their records, in the caller's transaction. Struct in, Struct out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, update

from gateway.access import within
from gateway.compare.observation import Sample
from gateway.compare.tables import compare_job, diff
from gateway.database import among
from gateway.errors import NotFoundHere
from gateway.ledger.journal import insert_rows, update_rows
from gateway.ledger.states import DELIVERY_OPEN, DeliveryState
from gateway.ledger.tables import delivery
from gateway.reconcile.bridge import Term
from gateway.reconcile.tables import reconcile_part, reconcile_run
from gateway.repair.run import WORKED, Action, Change, Chosen, Item, Outcome, Repair, State
from gateway.repair.tables import repair_item, repair_run
from gateway.runs import Lost

Scope = frozenset[str] | None  #: what a caller may see; None: all
_runs, _items = repair_run.c, repair_item.c
_MOVING = frozenset(state.value for state in DELIVERY_OPEN if state is not DeliveryState.PARKED)
encode = msgspec.json.Encoder(decimal_format="string").encode
_chosen = msgspec.json.Decoder(Chosen).decode
_planned = msgspec.json.Decoder(dict[Action, int]).decode
_money = msgspec.json.Decoder(dict[str, Decimal]).decode
_changes = msgspec.json.Decoder(tuple[Change, ...]).decode
_names = msgspec.json.Decoder(tuple[str, ...]).decode
_samples = msgspec.json.Decoder(tuple[Sample, ...]).decode
_OWN = frozenset({"state", "chosen", "planned", "money", "outcomes"})


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A repair in the hands of whoever works on it."""

    repair: Repair
    after: str
    failures: int
    token: int
    next_at: int

    @property
    def id(self) -> str:
        return self.repair.id


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """An unexplained record of a reconciliation."""

    record_id: str
    kind: str
    differences: tuple[Sample, ...]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a record that was written stands: its deliveries' states in their order, whether it is to be compared yet,
    and the places at which its sides part still, by comparisons since. ``overtaken``: a newer write of it is to be
    compared, and that answers for both."""

    item: Item
    states: tuple[str, ...]
    message: str | None
    comparing: bool
    overtaken: bool
    parts: tuple[str, ...]


def one(
    connection: Connection, repair_id: str, regions: Scope = None, entities: Scope = None, *, lock: bool = False
) -> Repair:
    """Raises NotFoundHere, also outside of what the caller may see."""
    query = select(repair_run).where(_runs.id == repair_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None or not within(row.entity, row.region, entities, regions):
        raise NotFoundHere("there is no such repair, or it is over a slice that this key may not see")
    return _repair(row, _outcomes(connection, [row.id]).get(row.id, {}))


def page(connection: Connection, reconciliation: str, *, after: str | None, limit: int) -> Sequence[Repair]:
    """The repairs of a reconciliation, the newest first; ``after`` is the id that the last page ended with."""
    query = select(repair_run).where(_runs.reconciliation == reconciliation).order_by(_runs.id.desc()).limit(limit)
    if after is not None:
        query = query.where(_runs.id < after)
    rows = connection.execute(query).all()
    outcomes = _outcomes(connection, [row.id for row in rows])
    return [_repair(row, outcomes.get(row.id, {})) for row in rows]


def asked(connection: Connection, entity: str, region: str) -> str | None:
    """The repair over this slice that is asked for or under way."""
    open_ = (State.REQUESTED.value, State.RUNNING.value, State.VERIFYING.value)
    query = select(_runs.id).where(_runs.entity == entity, _runs.region == region, _runs.state.in_(open_))
    return connection.execute(query).scalar_one_or_none()


def add(connection: Connection, made: Repair) -> None:
    """Writes a new one, which is to be planned."""
    values = msgspec.structs.asdict(made)
    del values["outcomes"]
    values["state"] = made.state.value
    for name in ("chosen", "planned", "money"):
        values[name] = encode(values[name]).decode()
    connection.execute(
        repair_run.insert().values(**values, after="", failures=0, token=0, next_at=made.created_at)
    )


def change(connection: Connection, repair_id: str, **values: Any) -> None:
    """Writes what a person has done to one whose row is locked: whoever works on it has lost it."""
    connection.execute(
        repair_run.update().where(_runs.id == repair_id).values(token=_runs.token + 1, lease_until=None, **values)
    )


# --- who works on it ---------------------------------------------------------------------------------------------


def claim(connection: Connection, *, now: int, lease: int, only: str | None = None) -> Work | None:
    """The repair that has been due for longest and that nobody holds. Microseconds."""
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
        update(repair_run)
        .where(_runs.id == found)
        .values(token=_runs.token + 1, lease_until=now + lease)
        .returning(*_runs)
    ).one()
    return _work(row)


def advance(connection: Connection, work: Work, *, now: int, **values: Any) -> Work:
    """Writes how far it has come. Raises Lost, which rolls the whole step back."""
    row = connection.execute(
        update(repair_run)
        .where(_runs.id == work.id, _runs.token == work.token, _runs.state == work.repair.state.value)
        .values(updated_at=now, **values)
        .returning(*_runs)
    ).one_or_none()
    if row is None:
        raise Lost(work.id)
    return _work(row)


def keep_lease(connection: Connection, work: Work, *, until: int | None) -> bool:
    """Holds it for longer, or lets go of it. False: somebody else has it."""
    done = connection.execute(
        update(repair_run).where(_runs.id == work.id, _runs.token == work.token).values(lease_until=until)
    )
    return done.rowcount == 1


def kept(connection: Connection, reconciliation: str) -> bool:
    """Whether the reconciliation with its records is kept still."""
    runs = reconcile_run.c
    return connection.execute(select(runs.id).where(runs.id == reconciliation)).first() is not None


def unexplained(connection: Connection, repair: Repair, *, after: str, limit: int) -> Sequence[Part]:
    """The next unexplained records of the reconciliation, by their ids; of those that were named, if any were."""
    parts = reconcile_part.c
    query = (
        select(parts.record_id, parts.kind, parts.differences)
        .where(
            parts.run_id == repair.reconciliation,
            parts.term == Term.UNEXPLAINED.value,
            parts.record_id > after,
        )
        .order_by(parts.record_id)
        .limit(limit)
    )
    if repair.chosen.records:
        query = query.where(among(parts.record_id, repair.chosen.records))
    return [
        Part(record_id=row.record_id, kind=row.kind, differences=_samples(row.differences))
        for row in connection.execute(query)
    ]


# --- records -----------------------------------------------------------------------------------------------------


def add_items(connection: Connection, repair_id: str, items: Sequence[Item]) -> None:
    insert_rows(
        connection,
        repair_item,
        [
            {
                "repair_id": repair_id,
                "record_id": one.record_id,
                "kind": one.kind,
                "action": one.action.value,
                "outcome": one.outcome.value,
                "why": one.why,
                "native_id": one.native_id,
                "digest": one.digest,
                "changes": encode(one.changes).decode(),
                "money": encode(one.money).decode(),
                "deliveries": "[]",
            }
            for one in items
        ],
    )


def set_items(connection: Connection, repair_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes what has become of records; every row names the same columns."""
    update_rows(
        connection, repair_item, [{"repair_id": repair_id, **row} for row in rows], "repair_id", "record_id"
    )


def items(
    connection: Connection,
    repair_id: str,
    *,
    after: str = "",
    limit: int,
    outcome: Outcome | None = None,
    action: Action | None = None,
) -> list[Item]:
    """Records of a repair by their ids; ``after`` is the id that the last page ended with."""
    query = (
        select(repair_item, delivery.c.state.label("delivery_state"), delivery.c.message)
        .outerjoin(delivery, delivery.c.id == _items.delivery_id)
        .where(_items.repair_id == repair_id, _items.record_id > after)
        .order_by(_items.record_id)
        .limit(limit)
    )
    if outcome is not None:
        query = query.where(_items.outcome == outcome.value)
    if action is not None:
        query = query.where(_items.action == action.value)
    return [_item(row) for row in connection.execute(query)]


def standing(connection: Connection, repair: Repair, *, limit: int) -> tuple[list[Standing], int]:
    """Where records that were written stand, and how many there are of them."""
    found = items(connection, repair.id, outcome=Outcome.WRITTEN, limit=limit)
    count = _outcomes(connection, [repair.id]).get(repair.id, {}).get(Outcome.WRITTEN, 0)
    ids = [one.record_id for one in found]
    made = [each for one in found for each in one.deliveries]
    rows = {
        row.id: row
        for row in connection.execute(
            select(
                delivery.c.id, delivery.c.state, delivery.c.message, delivery.c.operation_id, delivery.c.updated_at
            ).where(among(delivery.c.id, made))
        )
    }
    owners = {row.operation_id for row in rows.values()}
    waiting = {
        row.record_id: row.operation_id in owners
        for row in connection.execute(
            select(compare_job.c.record_id, compare_job.c.operation_id).where(among(compare_job.c.record_id, ids))
        )
    }
    since = {one.record_id: max((rows[each].updated_at for each in one.deliveries if each in rows), default=0)
             for one in found}  # fmt: skip
    parting: dict[str, list[str]] = {}
    for row in connection.execute(
        select(diff.c.record_id, diff.c.differences, diff.c.last_at).where(
            among(diff.c.record_id, ids), diff.c.resolved_at.is_(None), diff.c.verdict == "mismatch"
        )
    ):
        if row.last_at >= since[row.record_id]:
            open_ = [one.path for one in _samples(row.differences) if one.explained is None]
            parting.setdefault(row.record_id, []).extend(open_)
    return [
        Standing(
            item=one,
            states=tuple(rows[each].state for each in one.deliveries if each in rows),
            message=next((rows[each].message for each in one.deliveries if each in rows and rows[each].message), None),
            comparing=waiting.get(one.record_id, False),
            overtaken=not waiting.get(one.record_id, True),
            parts=tuple(parting.get(one.record_id, ())),
        )
        for one in found
    ], count


def moving(connection: Connection, repair_id: str) -> int:
    """Deliveries of the repair that are on their way."""
    return connection.execute(
        select(func.count())
        .select_from(repair_item)
        .join(delivery, delivery.c.id == _items.delivery_id)
        .where(
            _items.repair_id == repair_id,
            _items.outcome == Outcome.WRITTEN.value,
            delivery.c.state.in_(sorted(_MOVING)),
        )
    ).scalar_one()


def is_moving(state: str) -> bool:
    return state in _MOVING


def _outcomes(connection: Connection, ids: Sequence[str]) -> dict[str, dict[Outcome, int]]:
    found: dict[str, dict[Outcome, int]] = {}
    rows = connection.execute(
        select(_items.repair_id, _items.outcome, func.count())
        .where(among(_items.repair_id, ids))
        .group_by(_items.repair_id, _items.outcome)
    )
    for row in rows:
        found.setdefault(row[0], {})[Outcome(row[1])] = int(row[2])
    return found


def _repair(row: Any, outcomes: Mapping[Outcome, int]) -> Repair:
    return Repair(
        state=State(row.state),
        chosen=_chosen(row.chosen),
        planned=_planned(row.planned),
        money=_money(row.money),
        outcomes=outcomes,
        **{name: getattr(row, name) for name in Repair.__struct_fields__ if name not in _OWN},
    )


def _work(row: Any) -> Work:
    return Work(
        repair=_repair(row, {}),
        after=row.after,
        failures=row.failures,
        token=row.token,
        next_at=row.next_at,
    )


def _item(row: Any) -> Item:
    return Item(
        record_id=row.record_id,
        kind=row.kind,
        action=Action(row.action),
        outcome=Outcome(row.outcome),
        why=row.why if row.why is not None else row.message,
        native_id=row.native_id,
        digest=row.digest,
        changes=_changes(row.changes),
        money=_money(row.money),
        deliveries=_names(row.deliveries),
        delivery_state=row.delivery_state,
        case_id=row.case_id,
    )
