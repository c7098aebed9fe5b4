"""Repairs in wire form: moments in RFC 3339, amounts as decimal strings."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.canonical.values import Note
from gateway.clock import rfc3339
from gateway.compare.difference import DifferenceClass
from gateway.database import from_micros, moment
from gateway.http.admin import reconciliation_wire
from gateway.repair.repairer import MOST_NAMED
from gateway.repair.run import Change, Chosen, Item, Repair

BASE = "/admin/v1/repairs"
_Path = Annotated[str, Meta(min_length=1, max_length=120, pattern="^[ -~]+$")]
_Id = Annotated[str, Meta(min_length=5, max_length=48, pattern="^[a-z]+_[0-9a-f-]+$")]
_Hash = Annotated[
    str, Meta(pattern="^[0-9a-f]{64}$", description="`plan_hash` of the repair that you have looked at")
]


class RepairWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of a reconciliation's unexplained differences are to be repaired; a list left out, or empty, is all. With
    `dry_run` it ends with the plan; without, it is asked for as soon as it is planned, and `reason` is needed."""

    dry_run: Annotated[bool, Meta(description="only say what would be written where")] = False
    classes: Annotated[
        tuple[DifferenceClass, ...], Meta(max_length=len(DifferenceClass), description="only these classes")
    ] = ()
    fields: Annotated[
        tuple[_Path, ...], Meta(max_length=50, description="only these fields, as `lines[].amount` or `lines`")
    ] = ()
    records: Annotated[
        tuple[_Id, ...], Meta(max_length=MOST_NAMED, description="only these records")
    ] = ()
    reason: Annotated[Note, Meta(min_length=1, description="what it is for; kept in the audit")] | None = None

    @property
    def chosen(self) -> Chosen:
        return Chosen(classes=self.classes, fields=self.fields, records=self.records)


class RepairRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The plan of a dry run that is asked for."""

    plan_hash: _Hash
    reason: Annotated[Note, Meta(min_length=1, description="what it is for; kept in the audit")]


class RepairApproval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is approved: the plan behind this hash, and nothing else."""

    plan_hash: _Hash


class RepairEnding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a repair is cancelled."""

    reason: Annotated[Note, Meta(min_length=1, description="why; kept in the audit")] | None = None


class RepairChosen(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen of the differences; an empty list is all."""

    classes: tuple[DifferenceClass, ...]
    fields: tuple[str, ...]
    records: tuple[str, ...]


class RepairTold(msgspec.Struct, frozen=True, kw_only=True):
    """A repair of one slice. `planned` counts its records by what would be done, `money` is at stake by currency in
    what would be written, and `plan_hash` is over every write of it, once it is planned; `outcomes` counts records by
    what became of them. `complete`: it was seen through, and nothing was refused or is left to a person."""

    id: str
    reconciliation: str
    entity: str
    region: str
    source: str
    target: str
    stage: str
    state: str
    dry_run: bool
    chosen: RepairChosen
    total: int
    writes: int
    planned: Mapping[str, int]
    money: Mapping[str, Decimal]
    plan_hash: str | None
    taken: int
    outcomes: Mapping[str, int]
    complete: bool
    note: str | None
    actor: str
    reason: str | None
    requested_by: str | None
    requested_at: str | None
    expires_at: str | None
    approved_by: str | None
    approved_at: str | None
    created_at: str
    updated_at: str
    ended_at: str | None
    ended_by: str | None
    href: str
    records_href: str


class RepairDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """The last write into the target. Its state is null once it is kept no longer."""

    id: str
    state: str | None


class RepairRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a repair: the `action` that is planned for it in `system`, where it is called `native_id`, with
    each field that would be written; and its `outcome`, with why. Of a personal value only its keyed hash is kept."""

    record: str
    kind: str
    action: str
    outcome: str
    why: str | None
    system: str
    native_id: str | None
    changes: tuple[Change, ...]
    money: Mapping[str, Decimal]
    delivery: RepairDelivery | None
    case: str | None


def told(one: Repair) -> RepairTold:
    return RepairTold(
        id=one.id,
        reconciliation=one.reconciliation,
        entity=one.entity,
        region=one.region,
        source=one.source,
        target=one.target,
        stage=one.stage,
        state=one.state.value,
        dry_run=one.dry_run,
        chosen=RepairChosen(
            classes=one.chosen.classes, fields=one.chosen.fields, records=one.chosen.records
        ),
        total=one.total,
        writes=one.writes,
        planned={action.value: count for action, count in one.planned.items()},
        money=one.money,
        plan_hash=one.plan_hash,
        taken=one.taken,
        outcomes={outcome.value: count for outcome, count in one.outcomes.items()},
        complete=one.complete,
        note=one.note,
        actor=one.actor,
        reason=one.reason,
        requested_by=one.requested_by,
        requested_at=moment(one.requested_at),
        expires_at=moment(one.expires_at),
        approved_by=one.approved_by,
        approved_at=moment(one.approved_at),
        created_at=rfc3339(from_micros(one.created_at)),
        updated_at=rfc3339(from_micros(one.updated_at)),
        ended_at=moment(one.ended_at),
        ended_by=one.ended_by,
        href=f"{BASE}/{one.id}",
        records_href=f"{BASE}/{one.id}/records",
    )


def told_record(repair: Repair, one: Item) -> RepairRecord:
    delivery = None
    if one.deliveries:
        delivery = RepairDelivery(id=one.deliveries[-1], state=one.delivery_state)
    return RepairRecord(
        record=one.record_id,
        kind=one.kind,
        action=one.action.value,
        outcome=one.outcome.value,
        why=one.why,
        system=repair.target,
        native_id=one.native_id,
        changes=one.changes,
        money=one.money,
        delivery=delivery,
        case=one.case_id,
    )


#: Where the repairs of a reconciliation are.
OF_RECONCILIATION = reconciliation_wire.BASE + "/{id}/repairs"
