"""An expense: what a resource spent for a project."""

from __future__ import annotations

from msgspec import Struct

from gateway.canonical.checks import Errors, one_currency
from gateway.canonical.entity import define
from gateway.canonical.lifecycle import Lifecycle
from gateway.canonical.money import Money
from gateway.canonical.policy import ComparePolicy, day, exact, money, reference, text
from gateway.canonical.values import Code, Day, Flag, Line, Note, ProjectId, ResourceId


class ExpenseFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The own fields of an expense."""

    resource_id: ResourceId
    project_id: ProjectId
    date: Day
    category: Code
    amount: Money
    billable: Flag
    tax_amount: Money | None = None
    reimbursable: Flag | None = None
    receipt_ref: Code | None = None
    note: Note | None = None
    merchant: Line | None = None


def _invariants(expense: ExpenseFields) -> Errors:
    return one_currency(expense.amount.currency, [("/tax_amount", expense.tax_amount)])


# fmt: off
MOVES = {
    # from         to
    "draft":      ("submitted",),
    "submitted":  ("approved", "rejected"),
    "rejected":   ("draft",),
    "approved":   ("posted",),
    "posted":     ("invoiced", "reimbursed"),
    "invoiced":   (),
    "reimbursed": (),
}
# fmt: on

EXPENSE = define(
    name="expense",
    collection="expenses",
    prefix="exp_",
    label="Expense",
    fields=ExpenseFields,
    match_key="receipt_ref",
    told_apart_by=("resource_id", "project_id", "date", "category"),
    references={"resource_id": "resource", "project_id": "project"},
    key_required=True,
    filters=("resource_id", "project_id", "date", "receipt_ref", "category", "billable"),
    lifecycle=Lifecycle(initial="draft", moves=MOVES),
    invariants=_invariants,
    policy=ComparePolicy(
        rules={
            "resource_id": reference("resource"),
            "project_id": reference("project"),
            "date": day(),
            "category": text(fold_case=True),
            "amount": money(),
            "billable": exact(),
            "tax_amount": money(),
            "reimbursable": exact(),
            "receipt_ref": text(),
            "note": text(),
            "merchant": text(),
            "state": exact(),
            "legal_entity": exact(),
        }
    ),
)
