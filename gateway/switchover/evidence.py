"""What speaks for and against a move of authority at one moment, and the hash that an approval signs.

In it is what a person has to weigh: the rule, the gates with what was measured, differences that stand, what waits for
a person, waivers. Left out is what only grows with traffic (how many were compared, how many writes were taken): it
would change between two looks at the same thing, and no approval would ever hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select

from gateway.cases.kinds import ABOUT_PLANS
from gateway.cases.tables import case_
from gateway.compare import tables as compare
from gateway.compare.tables import diff
from gateway.compare.tolerance import EXACT
from gateway.compare.verdict import Verdict
from gateway.compare.waivers import in_force
from gateway.database import among
from gateway.errors import EvidenceChanged, FieldError, SecondPersonNeeded
from gateway.ledger.slices import Slice
from gateway.ledger.states import DeliveryState
from gateway.ledger.tables import delivery
from gateway.proof import Notice
from gateway.routing import transition
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage

Key = tuple[str, str]  #: entity and region


def agreed(field: str, told: str, there: str, what: str) -> None:
    """Raises EvidenceChanged, with the hash that there is, where ``told`` in ``field`` is another one than that of
    ``what``: nobody agrees to what they have not looked at."""
    if told != there:
        message = f"is not the {what}; look at it again"
        raise EvidenceChanged(
            f"{field} {message}",
            **{field: there},
            errors=[FieldError(pointer=f"/{field}", code="other", message=message)],
        )


def another_person(actor: str, requested_by: str | None, what: str) -> None:
    """Raises SecondPersonNeeded for whoever has asked for ``what`` and would approve it."""
    if actor == requested_by:
        raise SecondPersonNeeded(
            f"{actor} has asked for this {what}; another person has to approve it", requested_by=actor
        )


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
    key = (current.entity, current.region)
    waiting = open_cases(connection, key)
    failed = {one.code: one.message for one in failures}
    named = (*transition.gates(current.stage, wanted), *(code for code in failed))
    return {
        **head(current, wanted, dict.fromkeys(named), failed),
        "mapping": [f"{one.path}: {one.words}" for one in known or ()],
        "differences": {"records": standing(connection, key), "fields": _fields(connection, key)},
        "deliveries": _deliveries(connection, current),
        "cases": {
            "open": dict(sorted(waiting.kinds.items())),
            "amount": {currency: str(amount) for currency, amount in sorted(waiting.money.items())},
        },
        "waivers": [
            {"id": one.id, "field": one.field, "class": one.kind, "expires_at": one.expires_at}
            for one in in_force(connection, now).get(key, ())
        ],
    }


def head(current: Slice, wanted: Stage, gates: Iterable[str], failed: Mapping[str, str]) -> dict[str, Any]:
    """What all evidence begins with: the slice as it is, where it is to go, and each of ``gates`` with what stands
    against it."""
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
            {"gate": gate, "passed": gate not in failed, "message": failed.get(gate)} for gate in gates
        ],
    }


def digest(found: dict[str, Any]) -> str:
    """SHA-256, in hex, of the evidence as JSON with its names in order."""
    return hashlib.sha256(msgspec.json.encode(found, order="sorted")).hexdigest()


def changed(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    """The parts that are not what they were."""
    return tuple(name for name in after if after[name] != before.get(name))


def standing(connection: Connection, key: Key) -> dict[str, int]:
    """Records whose sides part and stay so, or of which nobody can say, by verdict."""
    records = select(diff.c.verdict, func.count(diff.c.record_id.distinct())).where(*_stands(key))
    return {row[0]: row[1] for row in connection.execute(records.group_by(diff.c.verdict))}


def _fields(connection: Connection, key: Key) -> list[dict[str, Any]]:
    """The same by field and class."""
    found = (compare.diff_field.c.field, compare.diff_field.c["class"], compare.diff_field.c.verdict)
    rows = connection.execute(
        select(*found, func.count(diff.c.record_id.distinct()))
        .join(diff, diff.c.id == compare.diff_field.c.diff_id)
        .where(*_stands(key))
        .group_by(*found)
        .order_by(*found)
    )
    return [
        {"field": name, "class": kind, "verdict": verdict, "records": count}
        for name, kind, verdict, count in rows
    ]


def _stands(key: Key) -> tuple[ColumnElement[bool], ...]:
    return (
        diff.c.entity == key[0],
        diff.c.region == key[1],
        diff.c.resolved_at.is_(None),
        among(diff.c.verdict, _STANDING),
    )


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


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Open cases by kind, and what they are about in money, exactly, by currency."""

    kinds: dict[str, int]
    money: dict[str, Decimal]


def open_cases(connection: Connection, key: Key) -> Waiting:
    """What of the slice's records waits for a person."""
    found = Waiting(kinds={}, money={})
    for row in connection.execute(
        select(case_.c.kind, case_.c.amount, case_.c.currency).where(
            case_.c.entity == key[0],
            case_.c.region == key[1],
            case_.c.state == "open",
            case_.c.kind.not_in(sorted(ABOUT_PLANS)),
        )
    ):
        found.kinds[row.kind] = found.kinds.get(row.kind, 0) + 1
        if row.amount is not None:
            so_far = found.money.get(row.currency, Decimal(0))
            found.money[row.currency] = EXACT.add(so_far, Decimal(row.amount))
    return found
