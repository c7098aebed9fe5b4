"""The schemas of the document: bodies and records from the canonical types, the operations side from its
Structs."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from gateway.audit import Act
from gateway.canonical import BY_NAME, ENTITIES, schemas
from gateway.change_feed.hints import WebhookTaken
from gateway.compare.observation import Diff, SliceSummary
from gateway.dispatch.command import Kind
from gateway.http.admin.backfill_wire import BackfillActing, BackfilledRecord, BackfillTold, BackfillWish
from gateway.http.admin.case_wire import Assignment, CaseInFull, CaseLine, Comment, Resolving
from gateway.http.admin.feeds import FeedTold
from gateway.http.admin.guards import GuardTold
from gateway.http.admin.merges import MergeInto, MergeTold, SplitWish
from gateway.http.admin.readiness import ReadinessTold, Signing
from gateway.http.admin.reconciliation_wire import (
    ReconciliationLine,
    ReconciliationTold,
    ReconciliationWish,
    TermRecordTold,
)
from gateway.http.admin.repair_wire import (
    RepairApproval,
    RepairEnding,
    RepairRecord,
    RepairRequest,
    RepairTold,
    RepairWish,
)
from gateway.http.admin.replays import ReplayForecast, ReplayTold, ReplayWish
from gateway.http.admin.rules import Draft, RuleChange
from gateway.http.admin.scheduled_wire import Cancellation, PlanApproval, ScheduledTold
from gateway.http.admin.switches import Abortion, Approval, SwitchTold, SwitchWish
from gateway.http.admin.waivers import WaiverTold, WaiverWish
from gateway.http.problems import PROBLEMS, TYPE
from gateway.ledger.slices import Slice, SliceChange
from gateway.ledger.states import DeliveryState, OperationState
from gateway.routing.cohort import plain_regions
from gateway.routing.stage import Stage, System
from gateway.switchover.simulation import Simulated

Json = dict[str, Any]

_MOMENT: Json = {"type": "string", "format": "date-time"}
_TEXT: Json = {"type": "string"}
_MAYBE: Json = {"type": ["string", "null"]}

PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457. Some kinds carry more members, such as `legal`, `version` or `limit`.",
    "required": ["type", "title", "status", "detail", "instance", "retryable"],
    "properties": {
        "type": {"type": "string", "enum": sorted(TYPE + row.slug for row in PROBLEMS.values())},
        "title": {"type": "string", "description": "Constant for its type."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What is wrong with this request, and the remedy."},
        "instance": {"type": "string", "description": "The path that was asked for."},
        "retryable": {"type": "boolean", "description": "Whether the same request may succeed later."},
        "operation": {"type": "string", "description": "The operation that it is about."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "message"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON Pointer into the body, or the name of a parameter or header.",
                    },
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}

_DELIVERY: Json = {
    "type": "object",
    "description": "One write on its way to one system.",
    "required": ["id", "system", "role", "state", "attempt"],
    "properties": {
        "id": _TEXT,
        "system": _TEXT,
        "role": {"type": "string", "enum": ["authority", "mirror"]},
        "state": {"type": "string", "enum": [state.value for state in DeliveryState]},
        "attempt": {"type": "integer", "minimum": 0},
        "code": _MAYBE,
        "message": _MAYBE,
        "wake_at": {"anyOf": [_MOMENT, {"type": "null"}]},
        "source": {**_MAYBE, "description": "What proved that it was applied: answer, probe or late."},
    },
}

#: Where a write stands that its authority does not have yet.
_STANDING: Json = {
    "queue_position": {
        "type": ["integer", "null"],
        "minimum": 1,
        "description": "Its place among the writes of its slice that wait for their authority; null: it does not wait.",
    },
    "expected_at": {
        "anyOf": [_MOMENT, {"type": "null"}],
        "description": "When its authority may have it at the earliest; later while the authority is away.",
    },
}

_OPERATION: Json = {
    "type": "object",
    "description": "One accepted write and what became of it.",
    "required": ["id", "entity", "region", "record", "kind", "state", "created_at", "deliveries"],
    "properties": {
        "id": _TEXT,
        "entity": {"type": "string", "enum": list(BY_NAME)},
        "region": _TEXT,
        "record": {"type": "string", "description": "The id of the record."},
        "kind": {"type": "string", "enum": list(Kind.__args__)},  # pyright: ignore
        "state": {"type": "string", "enum": [state.value for state in OperationState]},
        "created_at": _MOMENT,
        "updated_at": _MOMENT,
        "version": {"type": ["integer", "null"], "description": "The record's version that this write made."},
        "stage": {"type": ["string", "null"], "enum": [*(stage.value for stage in Stage), None]},
        "authority": {"type": ["string", "null"], "enum": [*(system.value for system in System), None]},
        "problem": {"type": ["object", "null"], "description": "Why it was refused."},
        "deliveries": {"type": "array", "items": {"$ref": "#/components/schemas/Delivery"}},
        "events": {"type": "array", "items": {"type": "object"}},
        "case": {"type": ["string", "object", "null"]},
        **_STANDING,
    },
}

_ACCEPTED: Json = {
    "type": "object",
    "description": "A write that is durable and not yet confirmed.",
    "required": ["operation", "record", "state", "href"],
    "properties": {
        "operation": {"type": "string", "description": "The id of the operation to follow."},
        "record": {"type": "string", "description": "The id of the record."},
        "state": {"type": "string", "enum": [state.value for state in OperationState]},
        "confirming": {
            "type": "boolean",
            "description": "Whether it was sent, and what came of it is being found out.",
        },
        "href": {"type": "string", "description": "Where the operation stands."},
        **_STANDING,
    },
}

_JOURNEY: Json = {
    "type": "object",
    "description": "Every step of one record.",
    "required": ["record", "refs", "events", "operations", "diffs"],
    "properties": {
        "record": {"type": "object"},
        "refs": {"type": "object", "description": "System to its own id.", "additionalProperties": _TEXT},
        "events": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["at", "event"],
                "properties": {"at": _MOMENT, "event": _TEXT},
            },
        },
        "operations": {"type": "array", "items": {"type": "object"}},
        "diffs": {"type": "array", "items": {"type": "object"}},
        "merges": {
            "type": "array",
            "description": "Merges and splits in which it is one of the two.",
            "items": {"type": "object"},
        },
    },
}


@cache
def components(places: tuple[str, ...]) -> Json:
    """Every schema by name. Where rules are known, ``region`` says which: a region for callers; on the operations side
    a cohort as well, by its place."""
    regions = plain_regions(places)
    found: Json = schemas(ENTITIES)
    structs = (
        *(Slice, SliceChange, RuleChange, Act, Diff, SliceSummary),
        *(CaseLine, CaseInFull, Assignment, Comment, Resolving),
        *(ReplayWish, ReplayForecast, ReplayTold),
        *(WaiverWish, WaiverTold),
        *(ReconciliationWish, ReconciliationLine, ReconciliationTold, TermRecordTold),
        *(RepairWish, RepairRequest, RepairApproval, RepairEnding, RepairTold, RepairRecord),
        *(BackfillWish, BackfillActing, BackfillTold, BackfilledRecord),
        *(FeedTold, WebhookTaken),
        *(SwitchWish, SwitchTold, Approval, Abortion),
        *(MergeInto, SplitWish, MergeTold),
        *(ScheduledTold, PlanApproval, Cancellation),
        *(ReadinessTold, Signing, GuardTold, Draft, Simulated),
    )
    _, own = msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")
    found.update(dialect(own))
    for name in ("at", "last_at"):
        found["Diff"]["properties"][name] = _MOMENT
    found["Diff"]["properties"]["resolved_at"] = {"anyOf": [_MOMENT, {"type": "null"}]}
    found["Problem"] = PROBLEM
    found["Delivery"] = _DELIVERY
    found["Operation"] = _OPERATION
    found["Accepted"] = _ACCEPTED
    found["Journey"] = _JOURNEY
    if regions:
        for entity in ENTITIES:
            properties: Json = found[entity.draft.__name__]["properties"]
            properties["region"] = {
                "type": "string",
                "enum": list(regions),
                "description": "a region that a routing rule knows",
            }
    for named in ("WaiverWish", "SwitchWish", "ReconciliationWish", "BackfillWish", "DraftRule"):
        wish: Json = found[named]["properties"]
        for name, known in (("entity", BY_NAME), ("region", places)):
            if known:
                described = wish[name]["description"]
                wish[name] = {"description": described, "type": "string", "enum": list(known)}
    for name in ("expires_at", "created_at"):
        found["WaiverTold"]["properties"][name] = _MOMENT
    for named in ("ReconciliationLine", "ReconciliationTold", "BackfillTold", "RepairTold"):
        properties = found[named]["properties"]
        properties.update(created_at=_MOMENT, updated_at=_MOMENT)
        properties["ended_at"] = {"anyOf": [_MOMENT, {"type": "null"}]}
    for name in ("requested_at", "expires_at", "approved_at"):
        found["RepairTold"]["properties"][name] = {"anyOf": [_MOMENT, {"type": "null"}]}
    for name in ("requested_at", "expires_at"):
        found["SwitchTold"]["properties"][name] = _MOMENT
    for name in ("approved_at", "fenced_at", "drain_until", "ended_at"):
        found["SwitchTold"]["properties"][name] = {"anyOf": [_MOMENT, {"type": "null"}]}
    for name in ("requested_at", "expires_at"):
        found["MergeTold"]["properties"][name] = _MOMENT
    for name in ("approved_at", "ended_at"):
        found["MergeTold"]["properties"][name] = {"anyOf": [_MOMENT, {"type": "null"}]}
    for name in ("requested_at", "effective_at"):
        found["ScheduledTold"]["properties"][name] = _MOMENT
    for name in ("approved_at", "ended_at"):
        found["ScheduledTold"]["properties"][name] = {"anyOf": [_MOMENT, {"type": "null"}]}
    for name in ("looked_at", "next_at", "acted_at", "held_until"):
        found["GuardTold"]["properties"][name] = {"anyOf": [_MOMENT, {"type": "null"}]}
    narrowing: Json = found["ReplayWish"]["properties"]
    for name, known in (("system", [one.value for one in System]), ("entity", BY_NAME), ("region", places)):
        if known:
            text = narrowing[name]["anyOf"][0]
            narrowing[name]["anyOf"][0] = {
                "description": text["description"],
                "type": "string",
                "enum": list(known),
            }
    return found


def dialect(schema: Any) -> Any:
    r"""The schema in the dialect of JSON Schema: ``$`` for ``\Z``, and no defaults of null, which promise
    nothing."""
    if isinstance(schema, dict):
        members: Json = schema  # pyright: ignore[reportUnknownVariableType]
        return {
            name: value.removesuffix(r"\Z") + "$"
            if name == "pattern" and isinstance(value, str) and value.endswith(r"\Z")
            else dialect(value)
            for name, value in members.items()
            if not (name == "default" and value is None)
        }
    if isinstance(schema, list):
        return [dialect(part) for part in schema]  # pyright: ignore[reportUnknownVariableType]
    return schema
