"""A contract: what was agreed with a customer, and how it is billed."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.canonical.checks import Errors, in_order, one_currency, unique
from gateway.canonical.entity import define
from gateway.canonical.lifecycle import Lifecycle
from gateway.canonical.money import Currency, Money
from gateway.canonical.policy import ComparePolicy, day, exact, keyed, money, number, reference, text
from gateway.canonical.values import Code, CustomerId, Day, Days, Line, Name, Short


class RateCardLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an hour or a day of a role costs the customer."""

    role: Name
    rate: Money
    unit: Short | None = None


class Milestone(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A result that is paid for when it is reached."""

    code: Code
    name: Line | None = None
    amount: Money | None = None
    due_date: Day | None = None
    state: Short | None = None


class BillingInstalment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An amount that is billed on a day."""

    due_date: Day
    amount: Money
    description: Line | None = None


class ContractFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The own fields of a contract."""

    customer_id: CustomerId
    title: Name
    kind: Literal["msa", "sow", "change_order"]
    currency: Currency
    number: Code | None = None
    signed_on: Day | None = None
    start_date: Day | None = None
    end_date: Day | None = None
    value: Money | None = None
    payment_terms_days: Days | None = None
    rate_card: Annotated[list[RateCardLine], Meta(max_length=500, description="at most 500 rates")] | None = (
        None
    )
    milestones: (
        Annotated[list[Milestone], Meta(max_length=500, description="at most 500 milestones")] | None
    ) = None
    billing_schedule: (
        Annotated[list[BillingInstalment], Meta(max_length=500, description="at most 500 instalments")] | None
    ) = None
    revenue_method: Short | None = None
    document_ref: Line | None = None


def _invariants(contract: ContractFields) -> Errors:
    # A rate card may quote other currencies: work abroad is often priced in the currency of its place.
    amounts = [("/value", contract.value)]
    amounts += [(f"/milestones/{i}/amount", row.amount) for i, row in enumerate(contract.milestones or ())]
    amounts += [
        (f"/billing_schedule/{i}/amount", row.amount) for i, row in enumerate(contract.billing_schedule or ())
    ]
    return (
        one_currency(contract.currency, amounts)
        + in_order(contract.start_date, contract.end_date, pointer="/end_date", after="start_date")
        + unique(contract.milestones, "/milestones", "code")
    )


# fmt: off
MOVES = {
    # from         to
    "draft":      ("sent", "terminated"),
    "sent":       ("signed", "terminated"),
    "signed":     ("active", "terminated"),
    "active":     ("completed", "terminated"),
    "completed":  (),
    "terminated": (),
}
# fmt: on

CONTRACT = define(
    name="contract",
    collection="contracts",
    prefix="con_",
    label="Contract",
    fields=ContractFields,
    natural_key="number",
    match_key="number",
    references={"customer_id": "customer"},
    key_required=True,
    if_match_required=True,
    filters=("number", "customer_id", "kind"),
    lifecycle=Lifecycle(initial="draft", moves=MOVES),
    invariants=_invariants,
    policy=ComparePolicy(
        rules={
            "customer_id": reference("customer"),
            "title": text(),
            "kind": exact(),
            "currency": exact(),
            "number": number(),
            "signed_on": day(),
            "start_date": day(),
            "end_date": day(),
            "value": money(),
            "payment_terms_days": exact(),
            "rate_card": keyed("role", "unit"),
            "rate_card[].role": text(),
            "rate_card[].rate": money(),
            "rate_card[].unit": text(fold_case=True),
            "milestones": keyed("code"),
            "milestones[].code": text(),
            "milestones[].name": text(),
            "milestones[].amount": money(),
            "milestones[].due_date": day(),
            "milestones[].state": text(fold_case=True),
            "billing_schedule": keyed("due_date"),
            "billing_schedule[].due_date": day(),
            "billing_schedule[].amount": money(),
            "billing_schedule[].description": text(),
            "revenue_method": text(fold_case=True),
            "document_ref": text(),
            "state": exact(),
            "legal_entity": exact(),
        }
    ),
)
