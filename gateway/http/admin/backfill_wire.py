"""Backfills in wire form: moments in RFC 3339."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.backfill.run import Item, Outcome, Run
from gateway.canonical.values import Note
from gateway.clock import rfc3339
from gateway.database import from_micros, moment

BASE = "/admin/v1/backfills"
_Token = Annotated[str, Meta(min_length=1, max_length=40, pattern="^[ -~]+$")]


class BackfillWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The slice whose mirror is to get what its authority holds."""

    entity: Annotated[_Token, Meta(description="the entity")]
    region: Annotated[_Token, Meta(description="the region")]
    reason: Annotated[Note, Meta(min_length=1, description="what it is for; kept in the audit")] | None = None


class BackfillActing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a backfill is paused, resumed or cancelled."""

    reason: Annotated[Note, Meta(min_length=1, description="why; kept in the audit")] | None = None


class BackfillDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """The write that brings a record. Its state is null once it is kept no longer."""

    id: str
    state: str | None


class BackfilledRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one record. `why` is null where nothing has to be explained; `delivery` is the write into the
    target as it stands now, where one was made, and `case` the newest case about it."""

    record: str
    outcome: str
    why: str | None
    delivery: BackfillDelivery | None
    case: str | None


class BackfillTold(msgspec.Struct, frozen=True, kw_only=True):
    """How far a backfill has come. `records` counts by what became of them; `failed`, `differs` and `unlinked` are null
    until it is verified; `complete` says that it is, and that they are zero."""

    id: str
    entity: str
    region: str
    source: str
    target: str
    stage: str
    state: str
    phase: str
    total: int
    read: int
    remaining: int
    per_s: float
    records: Mapping[str, int]
    failed: int | None
    differs: int | None
    unlinked: int | None
    complete: bool
    note: str | None
    actor: str
    reason: str | None
    created_at: str
    updated_at: str
    ended_at: str | None
    ended_by: str | None
    href: str
    records_href: str


def told_record(one: Item) -> BackfilledRecord:
    delivery = None
    if one.delivery_id is not None:
        delivery = BackfillDelivery(id=one.delivery_id, state=one.delivery_state)
    return BackfilledRecord(
        record=one.record_id, outcome=one.outcome.value, why=one.why, delivery=delivery, case=one.case_id
    )


def told(run: Run) -> BackfillTold:
    return BackfillTold(
        id=run.id,
        entity=run.entity,
        region=run.region,
        source=run.source,
        target=run.target,
        stage=run.stage,
        state=run.state.value,
        phase=run.phase,
        total=run.total,
        read=run.read,
        remaining=run.remaining,
        per_s=round(run.per_s, 1),
        records={outcome.value: getattr(run, outcome.value) for outcome in Outcome},
        failed=run.failed,
        differs=run.differs,
        unlinked=run.unlinked,
        complete=run.complete,
        note=run.note,
        actor=run.actor,
        reason=run.reason,
        created_at=rfc3339(from_micros(run.created_at)),
        updated_at=rfc3339(from_micros(run.updated_at)),
        ended_at=moment(run.ended_at),
        ended_by=run.ended_by,
        href=f"{BASE}/{run.id}",
        records_href=f"{BASE}/{run.id}/records",
    )
