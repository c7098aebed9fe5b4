"""An invoice: lines of work billed to a customer, and totals that follow from them.

On a create, and when a patch brings new lines, what is absent is filled in: line numbers, line amounts from
quantity and unit price, and the totals. What is given is never changed; it either adds up or is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.canonical.checks import Errors, in_order, one_currency, unique, wrong
from gateway.canonical.entity import define
from gateway.canonical.lifecycle import Lifecycle
from gateway.canonical.money import ARITHMETIC, Currency, Money, Quantity, money, rounded
from gateway.canonical.policy import (
    ComparePolicy,
    day,
    decimal,
    exact,
    keyed,
    number,
    reference,
    text,
    unordered,
)
from gateway.canonical.policy import money as same_money
from gateway.canonical.values import Code, ContractId, CustomerId, Day, Note, Ordinal, ProjectId, Short
from gateway.errors import FieldError

#: The first amount that the wire form cannot carry; a sum may reach it where no line does.
TOO_LARGE = Decimal(10) ** 15


class InvoiceLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of an invoice: an amount, or a quantity and a unit price, or all three in agreement."""

    number: Ordinal | None = None
    description: Note | None = None
    project_id: ProjectId | None = None
    kind: Literal["time", "expense", "milestone", "fee"] | None = None
    quantity: Quantity | None = None
    unit_price: Money | None = None
    amount: Money | None = None
    tax_code: Short | None = None
    tax_amount: Money | None = None
    source_ids: Annotated[list[Code], Meta(max_length=1000, description="at most 1000 source ids")] | None = (
        None
    )


Lines = Annotated[list[InvoiceLine], Meta(min_length=1, max_length=500, description="1 to 500 invoice lines")]


class InvoiceFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The own fields of an invoice."""

    customer_id: CustomerId
    currency: Currency
    issue_date: Day
    lines: Lines
    number: Code | None = None
    project_id: ProjectId | None = None
    contract_id: ContractId | None = None
    due_date: Day | None = None
    posting_date: Day | None = None
    net_total: Money | None = None
    tax_total: Money | None = None
    total: Money | None = None
    balance: Money | None = None


def _amounts(invoice: InvoiceFields) -> list[tuple[str, Money | None]]:
    found: list[tuple[str, Money | None]] = []
    for i, line in enumerate(invoice.lines):
        found.append((f"/lines/{i}/unit_price", line.unit_price))
        found.append((f"/lines/{i}/amount", line.amount))
        found.append((f"/lines/{i}/tax_amount", line.tax_amount))
    found.append(("/net_total", invoice.net_total))
    found.append(("/tax_total", invoice.tax_total))
    found.append(("/total", invoice.total))
    found.append(("/balance", invoice.balance))
    return found


def _extended(line: InvoiceLine, currency: str) -> Decimal | None:
    """Quantity times unit price at the scale of the currency, where both are given."""
    if line.quantity is None or line.unit_price is None:
        return None
    return rounded(ARITHMETIC.multiply(line.quantity, line.unit_price.amount), currency)


def _filled(lines: list[InvoiceLine], currency: str) -> list[InvoiceLine]:
    taken = {line.number for line in lines if line.number is not None}
    following = 1
    filled: list[InvoiceLine] = []
    for line in lines:
        line_number, amount = line.number, line.amount
        if line_number is None:
            while following in taken:
                following += 1
            line_number, following = following, following + 1
        if amount is None:
            extended = _extended(line, currency)
            amount = None if extended is None else Money(amount=extended, currency=currency)
        if line_number is not line.number or amount is not line.amount:
            line = msgspec.structs.replace(line, number=line_number, amount=amount)
        filled.append(line)
    return filled


def _complete(invoice: InvoiceFields, before: InvoiceFields | None, given: Collection[str]) -> InvoiceFields:
    currency = invoice.currency
    if _mixed(invoice):
        return invoice
    paid = Decimal(0)
    net, tax, total, balance = invoice.net_total, invoice.tax_total, invoice.total, invoice.balance
    if before is not None and before.total is not None and before.balance is not None:
        paid = before.total.amount - before.balance.amount
        if "lines" in given:
            net = net if "net_total" in given else None
            total = total if "total" in given else None
            balance = balance if "balance" in given else None
            # A tax that was only ever given for the whole invoice does not follow from lines without tax.
            if "tax_total" not in given and (_taxed(before) or _taxed(invoice)):
                tax = None
    lines = _filled(invoice.lines, currency)
    if any(line.amount is None for line in lines):
        return invoice
    if net is None:
        net = money(_net(lines), currency)
    if tax is None:
        tax = money(_tax(lines), currency)
    if total is None:
        total = money(net.amount + tax.amount, currency)
    if balance is None:
        balance = money(total.amount - paid, currency)
    return msgspec.structs.replace(
        invoice, lines=lines, net_total=net, tax_total=tax, total=total, balance=balance
    )


def _mixed(invoice: InvoiceFields) -> Errors:
    return one_currency(invoice.currency, _amounts(invoice))


def _taxed(invoice: InvoiceFields) -> bool:
    return any(line.tax_amount is not None for line in invoice.lines)


def _net(lines: list[InvoiceLine]) -> Decimal:
    return sum((line.amount.amount for line in lines if line.amount is not None), Decimal(0))


def _tax(lines: list[InvoiceLine]) -> Decimal:
    return sum((line.tax_amount.amount for line in lines if line.tax_amount is not None), Decimal(0))


def _invariants(invoice: InvoiceFields) -> Errors:
    found = unique(invoice.lines, "/lines", "number") + in_order(
        invoice.issue_date, invoice.due_date, pointer="/due_date", after="issue_date"
    )
    mixed = _mixed(invoice)
    if mixed:
        return found + mixed  # sums over several currencies would say nothing
    found += tuple(
        wrong(f"{pointer}/amount", "too_large", f"{amount.amount} has more than 15 digits before the point")
        for pointer, amount in _amounts(invoice)
        if amount is not None and abs(amount.amount) >= TOO_LARGE
    )
    missing: list[int] = []
    for i, line in enumerate(invoice.lines):
        if line.amount is None:
            missing.append(i)
            continue
        extended = _extended(line, invoice.currency)
        if extended is not None and extended != line.amount.amount:
            found += (_sum_wrong(f"/lines/{i}/amount", line.amount, extended, "quantity times unit price"),)
    found += tuple(
        wrong(f"/lines/{i}", "amount_missing", "give amount, or quantity and unit_price") for i in missing
    )
    return found if missing else found + _totals(invoice)


def _totals(invoice: InvoiceFields) -> Errors:
    found: Errors = ()
    net, tax, total, balance = invoice.net_total, invoice.tax_total, invoice.total, invoice.balance
    if net is not None and net.amount != (expected := _net(invoice.lines)):
        found += (_sum_wrong("/net_total", net, expected, "the sum of the line amounts"),)
    # Tax may be stated for the invoice alone; once a line states it, the lines must make up the whole.
    if tax is not None and _taxed(invoice) and tax.amount != (expected := _tax(invoice.lines)):
        found += (_sum_wrong("/tax_total", tax, expected, "the sum of the line taxes"),)
    if total is not None and net is not None and tax is not None and total.amount != net.amount + tax.amount:
        found += (_sum_wrong("/total", total, net.amount + tax.amount, "net_total plus tax_total"),)
    if balance is not None and total is not None:
        low, high = sorted((Decimal(0), total.amount))
        if not low <= balance.amount <= high:
            found += (
                wrong("/balance/amount", "out_of_range", f"{balance.amount} is not between {low} and {high}"),
            )
    return found


def _sum_wrong(pointer: str, given: Money, expected: Decimal, what: str) -> FieldError:
    return wrong(f"{pointer}/amount", "does_not_add_up", f"is {given.amount}, but {what} is {expected}")


# fmt: off
MOVES = {
    # from             to
    "draft":          ("ready", "void"),
    "ready":          ("released", "void"),
    "released":       ("posted", "void"),
    "posted":         ("partially_paid",),
    "partially_paid": ("paid",),
    "paid":           (),
    "void":           (),
}
# fmt: on

INVOICE = define(
    name="invoice",
    collection="invoices",
    prefix="inv_",
    label="Invoice",
    fields=InvoiceFields,
    natural_key="number",
    match_key="number",
    references={
        "customer_id": "customer",
        "project_id": "project",
        "contract_id": "contract",
        "lines[].project_id": "project",
    },
    key_required=True,
    if_match_required=True,
    filters=("number", "customer_id", "project_id", "contract_id", "issue_date", "due_date"),
    lifecycle=Lifecycle(initial="draft", moves=MOVES),
    complete=_complete,
    invariants=_invariants,
    policy=ComparePolicy(
        rules={
            "customer_id": reference("customer"),
            "currency": exact(),
            "issue_date": day(),
            "lines": keyed("number"),
            "lines[].number": exact(),
            "lines[].description": text(),
            "lines[].project_id": reference("project"),
            "lines[].kind": exact(),
            "lines[].quantity": decimal(),
            "lines[].unit_price": same_money(),
            "lines[].amount": same_money(),
            "lines[].tax_code": text(),
            "lines[].tax_amount": same_money(),
            "lines[].source_ids": unordered(),
            "number": number(),
            "project_id": reference("project"),
            "contract_id": reference("contract"),
            "due_date": day(),
            "posting_date": day(),
            "net_total": same_money(),
            "tax_total": same_money(),
            "total": same_money(),
            "balance": same_money(),
            "state": exact(),
            "legal_entity": exact(),
        }
    ),
)
