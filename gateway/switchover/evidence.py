"""What speaks for and against a move of authority at one moment, and the hash that an approval signs.

In it is what a person has to weigh: the rule, the gates with what was measured, differences that stand, what waits for
a person, waivers. Left out is what only grows with traffic (how many were compared, how many writes were taken): it
would change between two looks at the same thing, and no approval would ever hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from gateway.cases.tables import case_
from gateway.compare import tables as compare
from gateway.compare.verdict import Verdict
from gateway.compare.waivers import in_force
from gateway.database import among
from gateway.errors import FieldError
from gateway.ledger.slices import Slice
from gateway.ledger.states import DeliveryState
from gateway.ledger.tables import delivery
from gateway.proof import Notice
from gateway.routing import transition
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage

_WAITING = (DeliveryState.UNKNOWN.value, DeliveryState.PARKED.value)
_STANDING = (Verdict.MISMATCH.value, Verdict.UNVERIFIABLE.value)


def evidence(
    connection: Connection,
    current: Slice,
    wanted: Stage,
    *,
    failures: Sequence[FieldError],
    known: Sequence[Notice] | None,
    now: int,
) -> dict[str, Any]:
    """``failures`` and ``known``: what the gates and the mapping prover have said of this move."""
    failed = {one.code: one.message for one in failures}
    named = (*transition.gates(current.stage, wanted), *(code for code in failed))
    return {
        "slice": {
            "entity": current.entity,
            "region": current.region,
            "stage": current.stage.value,
            "authority": current.authority.value,
            "version": current.version,
        },
        "move": {"stage": wanted.value, "authority": PLANS[wanted].authority.value},
        "gates": [
            {"gate": gate, "passed": gate not in failed, "message": failed.get(gate)}
            for gate in dict.fromkeys(named)
        ],
        "mapping": [f"{one.path}: {one.words}" for one in known or ()],
        "differences": _differences(connection, current),
        "deliveries": _deliveries(connection, current),
        "cases": _cases(connection, current),
        "waivers": [
            {"id": one.id, "field": one.field, "class": one.kind, "expires_at": one.expires_at}
            for one in in_force(connection, now).get((current.entity, current.region), ())
        ],
    }


def digest(found: dict[str, Any]) -> str:
    """SHA-256, in hex, of the evidence as JSON with its names in order."""
    return hashlib.sha256(msgspec.json.encode(found, order="sorted")).hexdigest()


def changed(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    """The parts that are not what they were."""
    return tuple(name for name in after if after[name] != before.get(name))


def _differences(connection: Connection, current: Slice) -> dict[str, Any]:
    """Records whose sides part and stay so, or of which nobody can say; by verdict, field and class."""
    diff, field = compare.diff, compare.diff_field
    where = (
        diff.c.entity == current.entity,
        diff.c.region == current.region,
        diff.c.resolved_at.is_(None),
        among(diff.c.verdict, _STANDING),
    )
    records = connection.execute(
        select(diff.c.verdict, func.count(diff.c.record_id.distinct())).where(*where).group_by(diff.c.verdict)
    )
    fields = connection.execute(
        select(field.c.field, field.c["class"], field.c.verdict, func.count(diff.c.record_id.distinct()))
        .join(diff, diff.c.id == field.c.diff_id)
        .where(*where)
        .group_by(field.c.field, field.c["class"], field.c.verdict)
        .order_by(field.c.field, field.c["class"], field.c.verdict)
    )
    return {
        "records": {row[0]: row[1] for row in records},
        "fields": [
            {"field": name, "class": kind, "verdict": verdict, "records": count}
            for name, kind, verdict, count in fields
        ],
    }


def _deliveries(connection: Connection, current: Slice) -> dict[str, int]:
    rows = connection.execute(
        select(delivery.c.state, func.count())
        .where(
            delivery.c.entity == current.entity,
            delivery.c.region == current.region,
            among(delivery.c.state, _WAITING),
        )
        .group_by(delivery.c.state)
    )
    return {row[0]: row[1] for row in rows}


def _cases(connection: Connection, current: Slice) -> dict[str, Any]:
    """Open cases by kind, and what they are about in money, exactly."""
    kinds: dict[str, int] = {}
    money: dict[str, Decimal] = {}
    for row in connection.execute(
        select(case_.c.kind, case_.c.amount, case_.c.currency).where(
            case_.c.entity == current.entity, case_.c.region == current.region, case_.c.state == "open"
        )
    ):
        kinds[row.kind] = kinds.get(row.kind, 0) + 1
        if row.amount is not None:
            money[row.currency] = money.get(row.currency, Decimal(0)) + Decimal(row.amount)
    return {
        "open": dict(sorted(kinds.items())),
        "amount": {currency: str(amount) for currency, amount in sorted(money.items())},
    }
