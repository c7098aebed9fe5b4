"""Measures, in the journal, what the gates of a slice are judged by. Reads only, by keys and open rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from gateway.backfill.store import verified
from gateway.change_feed import Feed
from gateway.clock import rfc3339
from gateway.compare import tables as compare
from gateway.compare.verdict import Verdict
from gateway.compare.waiver import Waiver
from gateway.compare.waivers import in_force
from gateway.database import among, from_micros
from gateway.dispatch.backlog import SliceBacklog
from gateway.dispatch.claim import MICROS
from gateway.ids import DELIVERY, first_of
from gateway.ledger.slices import Slice
from gateway.ledger.states import DeliveryEvent
from gateway.ledger.tables import attempt, delivery
from gateway.readiness.gates import LEAST_CALLS, REHEARSED_DAYS, WAIVED_DAYS, WINDOW_DAYS
from gateway.readiness.measured import Calls, Facts
from gateway.readiness.variants import variants
from gateway.reconcile import Run, Term
from gateway.reconcile import Verdict as Reconciled
from gateway.reconcile.queries import last_done
from gateway.routing.calendar import Calendar
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage
from gateway.routing.transition import left_behind, new_violations
from gateway.switchover.evidence import Key, open_cases, standing
from gateway.switchover.gates import unlinked
from gateway.switchover.states import SwitchState
from gateway.switchover.tables import switch

HOUR = 3600 * MICROS
DAY = 24 * HOUR
#: Writes of one slice that errors and latency are read from, the newest of the last hour.
MOST_CALLS = 1_000
#: A refusal on business rules is an answer; these are none.
_FAILED = frozenset(
    event.value
    for event in (
        DeliveryEvent.DEFINITE_NO,
        DeliveryEvent.AMBIGUOUS,
        DeliveryEvent.LEASE_EXPIRED,
        DeliveryEvent.CUT_OFF,
    )
)


def next_stage(stage: Stage) -> Stage | None:
    """Where a slice at ``stage`` goes on to; None at the end of the way."""
    order = tuple(Stage)
    place = stage.position + 1
    return order[place] if place < len(order) else None


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What is read once for all slices of one moment, by slice."""

    now: int
    stages: Mapping[Key, Stage]
    backlog: Mapping[Key, SliceBacklog]  #: as ``Backlog.of_slices`` counts it
    compares: Mapping[Key, int]  #: comparisons that came to a verdict in the window
    waivers: Mapping[Key, Sequence[Waiver]]
    calendar: Calendar
    feeds: Sequence[Feed]  #: of all slices


def shared(
    connection: Connection,
    stages: Mapping[Key, Stage],
    backlog: Mapping[Key, SliceBacklog],
    *,
    calendar: Calendar,
    feeds: Sequence[Feed],
    now: int,
) -> Shared:
    table = compare.compare_counter
    since = from_micros(now - (WINDOW_DAYS - 1) * DAY).date().isoformat()
    rows = connection.execute(
        select(table.c.entity, table.c.region, func.sum(table.c.count).label("times"))
        .where(table.c.day >= since, among(table.c.outcome, list(Verdict)))
        .group_by(table.c.entity, table.c.region)
    )
    return Shared(
        now=now,
        stages=stages,
        backlog=backlog,
        compares={(row.entity, row.region): int(row.times) for row in rows},
        waivers=in_force(connection, now),
        calendar=calendar,
        feeds=feeds,
    )


def measure(connection: Connection, one: Slice, known: Shared) -> Facts:
    """What is so of the slice now."""
    key = (one.entity, one.region)
    plan = PLANS[one.stage]
    mirror = None if plan.mirror is None else plan.mirror.value
    now = known.now
    queue = known.backlog.get(key)
    following = next_stage(one.stage)
    records, kinds = variants(connection, *key) if mirror else (0, ())
    waivers = known.waivers.get(key, ())
    waiting = open_cases(connection, key)
    stands = standing(connection, key)
    reconciled = last_done(connection, *key, epoch=one.epoch)
    return Facts(
        paired=mirror is not None,
        compares=known.compares.get(key, 0),
        mismatched=stands.get(Verdict.MISMATCH, 0),
        money_mismatched=_money_parts(connection, key),
        parts=_parts(connection, key),
        unverifiable=stands.get(Verdict.UNVERIFIABLE, 0),
        unlinked=None if mirror is None else len(unlinked(connection, one, mirror, under_way=False)),
        backfilled=verified(connection, *key, epoch=one.epoch),
        lag_p99_s=None if queue is None else queue["lag_p99_s"],
        open=0 if queue is None else queue["open"],
        parked=0 if queue is None else queue["parked"],
        unknown=0 if queue is None else queue["unknown"],
        cases=sum(waiting.kinds.values()),
        case_money=waiting.money,
        today=_calls(connection, key, one.authority.value, now),
        next=Calls() if mirror is None else _calls(connection, key, mirror, now),
        variants=kinds,
        records=records,
        dependencies=()
        if following is None
        else tuple(broken.message for broken in new_violations(known.stages, *key, following)),
        dependants=() if following is None else left_behind(known.stages, *key, following),
        feeds=[feed for feed in known.feeds if (feed.entity, feed.region) == key],
        frozen=known.calendar.frozen(*key, from_micros(now).date()),
        waivers=tuple(f"{waiver.id} until {rfc3339(from_micros(waiver.expires_at))}" for waiver in waivers),
        waivers_ending=tuple(
            f"{waiver.id} of {waiver.field or 'the record'} ends {rfc3339(from_micros(waiver.expires_at))[:10]}"
            for waiver in waivers
            if waiver.expires_at < now + WAIVED_DAYS * DAY
        ),
        rehearsed=_rehearsed(connection, key, now),
        # By when it began: what was read then is what it speaks of.
        reconciled_age_h=None if reconciled is None else (now - reconciled.evidence_at) / HOUR,
        unexplained=None if reconciled is None else _unexplained(reconciled),
    )


def _unexplained(run: Run) -> int | None:
    """Records that nothing explains; None where there was nothing to compare, which is no agreement."""
    if run.terms is None or run.verdict is Reconciled.INCONCLUSIVE:
        return None
    return run.terms[Term.UNEXPLAINED]


def _money_parts(connection: Connection, key: Key) -> int:
    """Records in which money parts and stays so."""
    diff = compare.diff
    return int(
        connection.execute(
            select(func.count(diff.c.record_id.distinct())).where(
                diff.c.entity == key[0],
                diff.c.region == key[1],
                diff.c.verdict == Verdict.MISMATCH.value,
                diff.c.resolved_at.is_(None),
                diff.c.money != "{}",
            )
        ).scalar_one()
    )


def _parts(connection: Connection, key: Key) -> str | None:
    """Which records part in which fields and how, as a hash: another one of as many is another one."""
    diff, field = compare.diff, compare.diff_field
    told = (diff.c.record_id, field.c.field, field.c["class"])
    rows = connection.execute(
        select(*told)
        .join(diff, diff.c.id == field.c.diff_id)
        .where(
            diff.c.entity == key[0],
            diff.c.region == key[1],
            diff.c.verdict == Verdict.MISMATCH.value,
            diff.c.resolved_at.is_(None),
        )
        .distinct()
        .order_by(*told)
    )
    found = [list(row) for row in rows]
    return hashlib.sha256(msgspec.json.encode(found)).hexdigest() if found else None


def _calls(connection: Connection, key: Key, system: str, now: int) -> Calls:
    rows: list[Any] = list(
        connection.execute(
            select(attempt.c.outcome, (attempt.c.ended_at - attempt.c.started_at).label("took"))
            .join(delivery, delivery.c.id == attempt.c.delivery_id)
            .where(
                delivery.c.id > first_of(DELIVERY, now - HOUR),
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


def _rehearsed(connection: Connection, key: Key, now: int) -> str | None:
    at = connection.execute(
        select(func.max(switch.c.ended_at)).where(
            switch.c.entity == key[0],
            switch.c.region == key[1],
            switch.c.kind == "rollback",
            switch.c.state == SwitchState.COMMITTED.value,
        )
    ).scalar_one()
    if at is None or at < now - REHEARSED_DAYS * DAY:
        return None
    return rfc3339(from_micros(at))
