"""A payment: money received from a customer, and the invoices that it settles."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from gateway.canonical.checks import Errors, one_currency, unique, wrong
from gateway.canonical.entity import define
from gateway.canonical.lifecycle import Lifecycle
from gateway.canonical.money import Money
from gateway.canonical.policy import ComparePolicy, day, exact, keyed, money, reference, text
from gateway.canonical.values import Code, CustomerId, Day, InvoiceId, Short


class Allocation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The part of a payment that settles one invoice."""

    invoice_id: InvoiceId
    amount: Money


class PaymentFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The own fields of a payment."""

    customer_id: CustomerId
    received_on: Day
    amount: Money
    method: Short | None = None
    reference: Code | None = None
    allocations: (
        Annotated[list[Allocation], Meta(max_length=500, description="at most 500 allocations")] | None
    ) = None


def _invariants(payment: PaymentFields) -> Errors:
    rows = payment.allocations or []
    mixed = one_currency(
        payment.amount.currency, [(f"/allocations/{i}/amount", row.amount) for i, row in enumerate(rows)]
    )
    found = mixed + unique(rows, "/allocations", "invoice_id")
    allocated = sum((row.amount.amount for row in rows), Decimal(0))
    if not mixed and abs(allocated) > abs(payment.amount.amount):
        found += (
            wrong(
                "/allocations", "over_allocated", f"{allocated} is more than the {payment.amount.amount} paid"
            ),
        )
    return found


# fmt: off
MOVES = {
    # from       to
    "received": ("applied",),
    "applied":  ("reversed",),
    "reversed": (),
}
# fmt: on

PAYMENT = define(
    name="payment",
    collection="payments",
    prefix="pay_",
    label="Payment",
    fields=PaymentFields,
    match_key="reference",
    references={"customer_id": "customer", "allocations[].invoice_id": "invoice"},
    key_required=True,
    if_match_required=True,
    filters=("customer_id", "received_on", "reference"),
    lifecycle=Lifecycle(initial="received", moves=MOVES),
    invariants=_invariants,
    policy=ComparePolicy(
        rules={
            "customer_id": reference("customer"),
            "received_on": day(),
            "amount": money(),
            "method": text(fold_case=True),
            "reference": text(),
            "allocations": keyed("invoice_id"),
            "allocations[].invoice_id": reference("invoice"),
            "allocations[].amount": money(),
            "state": exact(),
            "legal_entity": exact(),
        }
    ),
)
