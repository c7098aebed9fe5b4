"""A resource: a person who does the work, employed or contracted."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.canonical.checks import Errors, in_order, unique
from gateway.canonical.entity import define
from gateway.canonical.lifecycle import Lifecycle
from gateway.canonical.money import Money, Quantity
from gateway.canonical.policy import ComparePolicy, day, decimal, exact, keyed, money, number, reference, text
from gateway.canonical.values import Code, Day, Email, Name, ResourceId, Short


class Skill(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a resource can do, and how well."""

    name: Name
    level: Short | None = None


class ResourceFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The own fields of a resource."""

    name: Name
    kind: Literal["employee", "contractor"]
    number: Code | None = None
    email: Email | None = None
    role: Short | None = None
    grade: Short | None = None
    skills: Annotated[list[Skill], Meta(max_length=200, description="at most 200 skills")] | None = None
    cost_rate: Money | None = None
    bill_rate: Money | None = None
    capacity_hours_per_week: Quantity | None = None
    manager_id: ResourceId | None = None
    employed_from: Day | None = None
    employed_to: Day | None = None


def _invariants(resource: ResourceFields) -> Errors:
    return in_order(
        resource.employed_from, resource.employed_to, pointer="/employed_to", after="employed_from"
    ) + unique(resource.skills, "/skills", "name")


# fmt: off
MOVES = {
    # from         to
    "onboarding": ("active",),
    "active":     ("on_leave", "inactive"),
    "on_leave":   ("active", "inactive"),
    "inactive":   (),
}
# fmt: on

RESOURCE = define(
    name="resource",
    collection="resources",
    prefix="res_",
    label="Resource",
    fields=ResourceFields,
    natural_key="number",
    match_key="number",
    references={"manager_id": "resource"},
    lane_mode="latest",
    filters=("number", "manager_id", "kind"),
    lifecycle=Lifecycle(initial="onboarding", moves=MOVES),
    invariants=_invariants,
    policy=ComparePolicy(
        rules={
            "name": text(personal=True),
            "kind": exact(),
            "number": number(),
            "email": text(fold_case=True, personal=True),
            "role": text(),
            "grade": text(),
            "skills": keyed("name"),
            "skills[].name": text(),
            "skills[].level": text(),
            "cost_rate": money(),
            "bill_rate": money(),
            "capacity_hours_per_week": decimal(),
            "manager_id": reference("resource"),
            "employed_from": day(),
            "employed_to": day(),
            "state": exact(),
            "legal_entity": exact(),
        }
    ),
)
