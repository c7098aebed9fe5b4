"""Measures, in the journal, what the gates of a slice are judged by. Reads only, by keys and open rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, func, select

from gateway.cases.tables import case_
from gateway.clock import rfc3339
from gateway.compare import tables as compare
from gateway.compare.queries import summary
from gateway.compare.verdict import Verdict
from gateway.compare.waivers import in_force
from gateway.database import from_micros
from gateway.dispatch.backlog import SliceBacklog
from gateway.ids import DELIVERY
from gateway.ledger.slices import Slice
from gateway.ledger.states import DeliveryEvent
from gateway.ledger.tables import attempt, delivery
from gateway.readiness.gates import (
    LEAST_CALLS,
    REHEARSED_DAYS,
    WAIVED_DAYS,
    WINDOW_DAYS,
    Calls,
    Facts,
)
from gateway.readiness.variants import variants
from gateway.reconcile import Run, Term
from gateway.reconcile import Verdict as Reconciled
from gateway.reconcile.queries import last_done
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage
from gateway.routing.transition import new_violations
from gateway.switchover.gates import unlinked
from gateway.switchover.states import SwitchState
from gateway.switchover.tables import switch

MICROS = 1_000_000
HOUR = 3600 * MICROS
DAY = 24 * HOUR
#: Writes of one slice that errors and latency are read from, the newest of the last hour.
MOST_CALLS = 1_000
#: A refusal on business rules is an answer; these are none.
_FAILED = frozenset(
    {DeliveryEvent.DEFINITE_NO.value, DeliveryEvent.AMBIGUOUS.value, DeliveryEvent.LEASE_EXPIRED.value}
)


def next_stage(stage: Stage) -> Stage | None:
    """Where a slice at ``stage`` goes on to; None at the end of the way."""
    order = tuple(Stage)
    place = stage.position + 1
    return order[place] if place < len(order) else None


def measure(
    connection: Connection,
    one: Slice,
    *,
    stages: Mapping[tuple[str, str], Stage],
    backlog: Mapping[tuple[str, str], SliceBacklog],
    now: int,
) -> Facts:
    """What is so of the slice now. ``stages``: of every slice; ``backlog``: as ``Backlog.of_slices`` counts it."""
    key = (one.entity, one.region)
    plan = PLANS[one.stage]
    mirror = None if plan.mirror is None else plan.mirror.value
    found = next(
        iter(summary(connection, entity=one.entity, region=one.region, since=now - (WINDOW_DAYS - 1) * DAY)),
        None,
    )
    queue = backlog.get(key)
    following = next_stage(one.stage)
    records, kinds = variants(connection, *key) if mirror else (0, ())
    waivers = in_force(connection, now).get(key, ())
    cases, money = _cases(connection, key)
    reconciled = last_done(connection, *key, epoch=one.epoch)
    return Facts(
        paired=mirror is not None,
        compares=0 if found is None else found.compares,
        mismatched=_standing(connection, key, Verdict.MISMATCH),
        money_mismatched=_standing(connection, key, Verdict.MISMATCH, money=True),
        unverifiable=_standing(connection, key, Verdict.UNVERIFIABLE),
        unlinked=None if mirror is None else len(unlinked(connection, one, mirror, under_way=False)),
        lag_p99_s=None if queue is None else queue["lag_p99_s"],
        open=0 if queue is None else queue["open"],
        parked=0 if queue is None else queue["parked"],
        unknown=0 if queue is None else queue["unknown"],
        cases=cases,
        case_money=money,
        today=_calls(connection, key, one.authority.value, now),
        next=Calls() if mirror is None else _calls(connection, key, mirror, now),
        variants=kinds,
        records=records,
        dependencies=()
        if following is None
        else tuple(broken.message for broken in new_violations(stages, *key, following)),
        waivers=len(waivers),
        waivers_ending=tuple(
            f"{waiver.id} of {waiver.field or 'the record'} ends {rfc3339(from_micros(waiver.expires_at))[:10]}"
            for waiver in waivers
            if waiver.expires_at < now + WAIVED_DAYS * DAY
        ),
        rehearsed=_rehearsed(connection, key, now),
        # By when it began: what was read then is what it speaks of.
        reconciled_age_h=None if reconciled is None else (now - reconciled.created_at) / HOUR,
        unexplained=None if reconciled is None else _unexplained(reconciled),
    )


def _unexplained(run: Run) -> int | None:
    """Records that nothing explains; None where there was nothing to compare, which is no agreement."""
    if run.terms is None or run.verdict is Reconciled.INCONCLUSIVE:
        return None
    return run.terms[Term.UNEXPLAINED]


def _standing(connection: Connection, key: tuple[str, str], verdict: Verdict, *, money: bool = False) -> int:
    diff = compare.diff
    wanted = select(func.count(diff.c.record_id.distinct())).where(
        diff.c.entity == key[0],
        diff.c.region == key[1],
        diff.c.verdict == verdict.value,
        diff.c.resolved_at.is_(None),
    )
    if money:
        wanted = wanted.where(diff.c.money != "{}")
    return int(connection.execute(wanted).scalar_one())


def _cases(connection: Connection, key: tuple[str, str]) -> tuple[int, Mapping[str, Decimal]]:
    rows = connection.execute(
        select(case_.c.amount, case_.c.currency).where(
            case_.c.entity == key[0], case_.c.region == key[1], case_.c.state == "open"
        )
    ).all()
    money: dict[str, Decimal] = {}
    for row in rows:
        if row.amount is not None:
            money[row.currency] = money.get(row.currency, Decimal(0)) + Decimal(row.amount)
    return len(rows), money


def _calls(connection: Connection, key: tuple[str, str], system: str, now: int) -> Calls:
    rows: list[Any] = list(
        connection.execute(
            select(attempt.c.outcome, (attempt.c.ended_at - attempt.c.started_at).label("took"))
            .join(delivery, delivery.c.id == attempt.c.delivery_id)
            .where(
                # Ids sort by the moment they were minted, so this walks the last hour and no more.
                delivery.c.id > _id_of(now - 3600 * MICROS),
                delivery.c.entity == key[0],
                delivery.c.region == key[1],
                delivery.c.system == system,
                attempt.c.ended_at.is_not(None),
            )
            .order_by(delivery.c.id.desc())
            .limit(MOST_CALLS)
        )
    )
    took = sorted(row.took / MICROS for row in rows)
    return Calls(
        count=len(rows),
        failed=sum(1 for row in rows if row.outcome in _FAILED),
        p95_s=took[min(len(took) - 1, int(len(took) * 0.95))] if len(took) >= LEAST_CALLS else None,
    )


def _id_of(at: int) -> str:
    """The lowest id of a delivery minted at this moment or later."""
    stamp = f"{max(at, 0) // 1000:012x}"
    return f"{DELIVERY}{stamp[:8]}-{stamp[8:]}"


def _rehearsed(connection: Connection, key: tuple[str, str], now: int) -> str | None:
    at = connection.execute(
        select(func.max(switch.c.ended_at)).where(
            switch.c.entity == key[0],
            switch.c.region == key[1],
            switch.c.kind == "rollback",
            switch.c.state == SwitchState.COMMITTED.value,
        )
    ).scalar_one()
    if at is None or at < now - int(timedelta(days=REHEARSED_DAYS).total_seconds()) * MICROS:
        return None
    return rfc3339(from_micros(at))
