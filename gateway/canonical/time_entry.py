"""A time entry: hours of a resource on a project on a day."""

from __future__ import annotations

from msgspec import Struct

from gateway.canonical.entity import define
from gateway.canonical.lifecycle import Lifecycle
from gateway.canonical.money import Money, Quantity
from gateway.canonical.policy import ComparePolicy, day, decimal, exact, money, reference, text
from gateway.canonical.values import Code, Day, Flag, Note, ProjectId, ResourceId


class TimeEntryFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The own fields of a time entry."""

    resource_id: ResourceId
    project_id: ProjectId
    date: Day
    hours: Quantity
    billable: Flag
    task_code: Code | None = None
    note: Note | None = None
    rate: Money | None = None
    timesheet_ref: Code | None = None


# fmt: off
MOVES = {
    # from        to
    "draft":     ("submitted",),
    "submitted": ("approved", "rejected"),
    "rejected":  ("draft",),
    "approved":  ("posted",),
    "posted":    ("invoiced",),
    "invoiced":  (),
}
# fmt: on

TIME_ENTRY = define(
    name="time_entry",
    collection="time-entries",
    prefix="tim_",
    label="Time entry",
    fields=TimeEntryFields,
    match_key="timesheet_ref",
    told_apart_by=("resource_id", "project_id", "date", "task_code"),
    references={"resource_id": "resource", "project_id": "project"},
    key_required=True,
    filters=("resource_id", "project_id", "date", "timesheet_ref", "billable"),
    lifecycle=Lifecycle(initial="draft", moves=MOVES),
    policy=ComparePolicy(
        rules={
            "resource_id": reference("resource"),
            "project_id": reference("project"),
            "date": day(),
            "hours": decimal(),
            "billable": exact(),
            "task_code": text(),
            "note": text(),
            "rate": money(),
            "timesheet_ref": text(),
            "state": exact(),
            "legal_entity": exact(),
        }
    ),
)
