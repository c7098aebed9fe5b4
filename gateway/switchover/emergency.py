"""The emergency: the authority of a slice does not answer, and the system that was kept beside it takes over.

An ordinary switch drains; here there is nobody to drain. What has been confirmed is delivered to the heir from the
ledger's own images. What was never sent goes to the heir. Only a write of which it is open what the dead system has
done is *stranded*. Two persons agree on the list of those before anything moves: it is the evidence that the approval
signs. Left out of the hash is what grows with traffic; it is counted beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select

from adapters.contract import Adapter, Health
from gateway.canonical import BY_NAME
from gateway.canonical.lifecycle import in_the_books
from gateway.cases.kinds import stake
from gateway.clock import rfc3339
from gateway.compare.tolerance import EXACT
from gateway.database import among, from_micros
from gateway.errors import FieldError, Invalid, RuleRefused
from gateway.ledger import stranded
from gateway.ledger.pressure import health
from gateway.ledger.slices import Slice, Slices
from gateway.ledger.states import DeliveryState
from gateway.ledger.tables import delivery, operation
from gateway.routing import transition
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage
from gateway.switchover.evidence import head
from gateway.switchover.store import Counts

KIND = "emergency"
#: Stranded writes that the list names one by one; the hash is over all of them.
LISTED = 1_000
#: How often it is asked: the first may meet a connection that the system has closed since, which says nothing.
ASKED = 2

_GATES = ("authority_down", "successor", "dependency")
_GOING = [state.value for state in (DeliveryState.READY, DeliveryState.SENDING, DeliveryState.UNKNOWN)]


class Emergency:
    """What speaks for and against leaving an authority now."""

    def __init__(self, *, slices: Slices, adapters: Mapping[str, Adapter]) -> None:
        self._slices = slices
        self._adapters = adapters

    async def answers(self, system: str) -> bool:
        """Whether the system answers its health probe."""
        return (await self.health(system)).ok

    async def health(self, system: str) -> Health:
        """What it answers to its health probe; of a system that is not configured, that it is not."""
        adapter = self._adapters.get(system)
        if adapter is None:
            return Health(ok=False, latency_s=0.0, detail="it is not configured")
        return await health(adapter, tries=ASKED)

    async def weigh(self, current: Slice, wanted: Stage, *, override: bool) -> list[FieldError]:
        """What stands against it. Raises Invalid for another stage than the way leads to, and RuleRefused where there
        is no way, or with each gate that fails unless they are overridden."""
        to = transition.EMERGENCIES.get(current.stage)
        if to is None:
            message = (
                f"at {current.stage.value} no other system is kept that could take over"
                if PLANS[current.stage].mirror is None
                else f"at {current.stage.value} {current.authority.value} leads; only a slice that the cloud leads is"
                " switched back"
            )
            raise RuleRefused(
                message,
                errors=[FieldError(pointer="/stage", code="no_way_back", message=message)],
                gates=["no_way_back"],
            )
        if wanted is not to:
            message = f"an emergency leads from {current.stage.value} to {to.value}"
            raise Invalid(message, errors=[FieldError(pointer="/stage", code="emergency", message=message)])
        heir = PLANS[to].authority.value
        old, new = await asyncio.gather(self.health(current.authority.value), self.health(heir))
        failures: list[FieldError] = []
        if old.ok:
            failures.append(
                _failed(
                    "authority_down",
                    f"{current.authority.value} answers its health probe: ask for an ordinary switch, which drains it,"
                    " or override if you know that it takes no writes",
                )
            )
        if not new.ok:
            failures.append(
                _failed(
                    "successor",
                    f"{heir} does not answer its health probe ({new.detail}): bring it up first, it is to take over",
                )
            )
        stages = {(one.entity, one.region): one.stage for one in await self._slices.all()}
        failures.extend(
            _failed("dependency", one.message)
            for one in transition.new_violations(stages, current.entity, current.region, to)
        )
        if failures and not override:
            raise RuleRefused(
                f"{current.entity} in {current.region} is not switched back: {failures[0].message}",
                errors=failures,
                gates=[one.code for one in failures],
            )
        return failures


def seen(
    connection: Connection, current: Slice, wanted: Stage, failures: Sequence[FieldError]
) -> dict[str, Any]:
    """The evidence: the gates, and the list of what would be stranded."""
    failed: dict[str, str] = {}
    for one in failures:
        failed[one.code] = f"{failed[one.code]}; {one.message}" if one.code in failed else one.message
    heir = PLANS[wanted].authority.value
    return {
        **head(current, wanted, _GATES, failed),
        "stranded": _list(connection, current),
        "parked": _number(
            connection, _mirrors(current, heir) & (delivery.c.state == DeliveryState.PARKED.value)
        ),
    }


def counted(connection: Connection, current: Slice, wanted: Stage) -> Counts:
    """What would become of the writes under way, by number, as of now."""
    open_ = _open(current)
    wanted_ = stranded.under_way((current.entity, current.region), current.authority.value, current.epoch + 1)
    every = (
        select(func.count())
        .select_from(operation)
        .join(delivery, (delivery.c.operation_id == operation.c.id) & (delivery.c.role == "authority"))
        .where(wanted_)
    )
    sent = int(connection.execute(every.where(open_)).scalar_one())
    return Counts(
        at="requested",
        stranded=sent,
        recalled=int(connection.execute(every).scalar_one()) - sent,
        undelivered=undelivered(
            connection,
            (current.entity, current.region),
            PLANS[wanted].authority.value,
            epoch=current.epoch + 1,
        ),
    )


def undelivered(connection: Connection, key: tuple[str, str], system: str, *, epoch: int) -> int:
    """Confirmed writes of before ``epoch`` that are on their way to ``system``. What waits behind one that a person has
    is not on its way."""
    before = delivery.alias("before")
    stands = select(before.c.id).where(
        before.c.record_id == delivery.c.record_id,
        before.c.system == system,
        before.c.seq < delivery.c.seq,
        before.c.state == DeliveryState.PARKED.value,
    )
    return _number(
        connection,
        (delivery.c.entity == key[0])
        & (delivery.c.region == key[1])
        & (delivery.c.system == system)
        & (delivery.c.role == "mirror")
        & (delivery.c.epoch < epoch)
        & among(delivery.c.state, _GOING)
        & ~stands.exists(),
    )


def _list(connection: Connection, current: Slice) -> dict[str, Any]:
    rows = connection.execute(
        select(operation)
        .join(delivery, (delivery.c.operation_id == operation.c.id) & (delivery.c.role == "authority"))
        .where(
            stranded.under_way((current.entity, current.region), current.authority.value, current.epoch + 1),
            _open(current),
        )
        .order_by(operation.c.id)
    ).all()
    money: dict[str, Decimal] = {}
    listed: list[dict[str, Any]] = []
    for row in rows:
        document = msgspec.json.decode(row.image or row.change)
        at_stake = stake(row.entity, document)
        if at_stake is not None:
            money[at_stake[1]] = EXACT.add(money.get(at_stake[1], Decimal(0)), at_stake[0])
        if len(listed) < LISTED:
            listed.append(
                {
                    "operation": row.id,
                    "record": row.record_id,
                    "kind": row.kind,
                    "number": document.get(BY_NAME[row.entity].natural_key or ""),
                    "accepted_at": rfc3339(from_micros(row.created_at)),
                    "amount": None
                    if at_stake is None
                    else {"amount": str(at_stake[0]), "currency": at_stake[1]},
                    "posted": in_the_books(row.entity, document),
                }
            )
    return {
        "count": len(rows),
        "operations_hash": sha256("\n".join(row.id for row in rows).encode()).hexdigest(),
        "amount": {currency: format(amount, "f") for currency, amount in sorted(money.items())},
        "listed": listed,
    }


def _open(current: Slice) -> ColumnElement[bool]:
    return (delivery.c.system == current.authority.value) & (
        (delivery.c.state != DeliveryState.READY.value) | (delivery.c.maybe_sent > 0)
    )


def _mirrors(current: Slice, system: str) -> ColumnElement[bool]:
    return (
        (delivery.c.entity == current.entity)
        & (delivery.c.region == current.region)
        & (delivery.c.system == system)
        & (delivery.c.role == "mirror")
    )


def _number(connection: Connection, which: ColumnElement[bool]) -> int:
    return int(connection.execute(select(func.count()).select_from(delivery).where(which)).scalar_one())


def _failed(gate: str, message: str) -> FieldError:
    return FieldError(pointer="/stage", code=gate, message=message)
