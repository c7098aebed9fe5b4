"""A project: the work that time and expenses are booked on."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.canonical.checks import Errors, in_order, one_currency, unique
from gateway.canonical.entity import define
from gateway.canonical.lifecycle import Lifecycle
from gateway.canonical.money import Currency, Money, Quantity
from gateway.canonical.policy import ComparePolicy, day, decimal, exact, keyed, money, number, reference, text
from gateway.canonical.values import Code, ContractId, CustomerId, Day, Flag, Line, Name, ResourceId, Short


class Task(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a project that time is booked on."""

    code: Code
    name: Line | None = None
    billable: Flag | None = None


class ProjectFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The own fields of a project."""

    name: Name
    customer_id: CustomerId
    billing_method: Literal["time_and_materials", "fixed_price", "milestone", "retainer", "non_billable"]
    currency: Currency
    number: Code | None = None
    contract_id: ContractId | None = None
    manager_id: ResourceId | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    budget_hours: Quantity | None = None
    budget_amount: Money | None = None
    practice: Line | None = None
    cost_center: Short | None = None
    tasks: Annotated[list[Task], Meta(max_length=500, description="at most 500 tasks")] | None = None


def _invariants(project: ProjectFields) -> Errors:
    return (
        one_currency(project.currency, [("/budget_amount", project.budget_amount)])
        + in_order(project.start_date, project.end_date, pointer="/end_date", after="start_date")
        + unique(project.tasks, "/tasks", "code")
    )


# fmt: off
MOVES = {
    # from        to
    "draft":     ("approved", "cancelled"),
    "approved":  ("active", "cancelled"),
    "active":    ("on_hold", "closed"),
    "on_hold":   ("active", "closed"),
    "closed":    (),
    "cancelled": (),
}
# fmt: on

PROJECT = define(
    name="project",
    collection="projects",
    prefix="prj_",
    label="Project",
    fields=ProjectFields,
    natural_key="number",
    match_key="number",
    references={"customer_id": "customer", "contract_id": "contract", "manager_id": "resource"},
    lane_mode="latest",
    filters=("number", "customer_id", "contract_id", "manager_id", "billing_method"),
    lifecycle=Lifecycle(initial="draft", moves=MOVES),
    invariants=_invariants,
    policy=ComparePolicy(
        rules={
            "name": text(),
            "customer_id": reference("customer"),
            "billing_method": exact(),
            "currency": exact(),
            "number": number(),
            "contract_id": reference("contract"),
            "manager_id": reference("resource"),
            "start_date": day(),
            "end_date": day(),
            "budget_hours": decimal(),
            "budget_amount": money(),
            "practice": text(),
            "cost_center": text(),
            "tasks": keyed("code"),
            "tasks[].code": text(),
            "tasks[].name": text(),
            "tasks[].billable": exact(),
            "state": exact(),
            "legal_entity": exact(),
        }
    ),
)
