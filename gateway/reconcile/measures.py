"""What a record weighs: its control totals, and the figures by which a professional services firm ties out. Pure.

A *measure* is a figure that is summed over a slice: each money field and each quantity of the entity, and those of the
pack below. A *line* is one record's part of one measure: a group within it (a due date, a project), a currency, an
amount. The currency of a quantity is ''. Sums of rates mean nothing by themselves and are kept all the same: as hash
totals they show that every record is there and unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple, cast

import msgspec

from gateway.canonical import Entity
from gateway.canonical.money import QUANTUM, rounded
from gateway.canonical.policy import Compare
from gateway.compare.difference import Document
from gateway.compare.tolerance import EXACT, money_of, number_of

#: The business day that places a record of an entity in a period.
DAYS: Mapping[str, str] = {
    "invoice": "issue_date",
    "payment": "received_on",
    "time_entry": "date",
    "expense": "date",
    "contract": "signed_on",
}
#: States in which an invoice is owed, and in which it counts as billed.
OWED = frozenset({"posted", "partially_paid"})
BILLED = OWED | {"paid"}
#: States of time and expense that are approved and not yet on an invoice.
UNBILLED = frozenset({"approved", "posted"})


class Line(NamedTuple):
    """One record's part of one measure."""

    measure: str
    group: str
    currency: str
    amount: Decimal


class PackMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the pack. It is there where both systems hold every field that it ``needs``. ``adds``: the field of
    which it is a sum over records that are the same in ``by``; None: it has to be made record by record."""

    name: str
    entity: str
    label: str
    needs: tuple[str, ...]
    lines: Callable[[str, Document], Iterable[Line]]
    adds: str | None = None
    by: tuple[str, ...] = ()


class NotAvailable(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that a run cannot give, and why."""

    measure: str
    reason: str


def lines(entity: Entity, document: Document, mapped: frozenset[str]) -> list[Line]:
    """Every line of a record. ``mapped`` are the fields that both systems hold: a field that one of them does not
    hold is no difference, so it is no total either."""
    found: list[Line] = []
    for name, rule in entity.policy.members("").items():
        if name not in mapped:
            continue
        value = document.get(name)
        if value is None:
            continue
        if rule.compare is Compare.MONEY:
            money = money_of(value)
            if money is not None:
                found.append(Line(name, "", money.currency, money.amount))
        elif rule.compare is Compare.DECIMAL:
            number = number_of(value)
            if number is not None:
                found.append(Line(name, "", "", number))
    for measure in PACK:
        if measure.entity == entity.name and mapped.issuperset(measure.needs):
            found.extend(measure.lines(measure.name, document))
    return found


def period(entity: Entity, document: Document) -> str:
    """The month that a record counts in, such as ``2026-03``; '' where it has no day."""
    day = document.get(DAYS.get(entity.name, ""))
    return day[:7] if isinstance(day, str) else ""


def placed(entity: Entity, document: Document) -> bytes:
    """Everything by which a record is counted beside what is compared of it: a system may hold a state that the other
    does not."""
    return msgspec.json.encode(
        [document.get("state"), document.get("legal_entity"), period(entity, document)]
    )


def summed(found: Iterable[Line]) -> dict[tuple[str, str], Decimal]:
    """What a record weighs by measure and currency."""
    out: dict[tuple[str, str], Decimal] = {}
    for line in found:
        key = line.measure, line.currency
        out[key] = EXACT.add(out.get(key, Decimal(0)), line.amount)
    return out


def not_available(entity: Entity, held: Mapping[str, frozenset[str]]) -> tuple[NotAvailable, ...]:
    """The figures of the pack that this slice cannot give. ``held`` are the fields of each system."""
    found: list[NotAvailable] = []
    for measure in PACK:
        if measure.entity != entity.name:
            continue
        lacking = [
            f"{system} does not hold {name}"
            for system, fields in held.items()
            for name in measure.needs
            if name not in fields
        ]
        if lacking:
            found.append(NotAvailable(measure=measure.name, reason="; ".join(lacking)))
    return (*found, *NOWHERE)


def bucket(due: str, as_of: date) -> str:
    """How far an open item is overdue on a day."""
    try:
        overdue = (as_of - date.fromisoformat(due)).days
    except ValueError:
        return "no due date"
    return next(name for most, name in _BUCKETS if overdue <= most)


def shown(amount: Decimal, currency: str) -> Decimal:
    """An amount at the scale of its currency; one that has more decimals keeps them."""
    quantum = QUANTUM.get(currency)
    if quantum is None:
        return amount
    scaled = amount.quantize(quantum, context=EXACT)
    return scaled if scaled == amount else amount


_BUCKETS: tuple[tuple[int, str], ...] = (
    (0, "not due"),
    (30, "1-30 days"),
    (60, "31-60 days"),
    (90, "61-90 days"),
    (1_000_000_000, "over 90 days"),
)
#: The order in which buckets are shown.
BUCKETS = (*(name for _, name in _BUCKETS), "no due date")


def _open_items(measure: str, invoice: Document) -> Iterator[Line]:
    balance = money_of(invoice.get("balance"))
    if invoice.get("state") in OWED and balance is not None and balance.amount:
        yield Line(measure, str(invoice.get("due_date") or ""), balance.currency, balance.amount)


def _billed(measure: str, invoice: Document) -> Iterator[Line]:
    if invoice.get("state") not in BILLED:
        return
    for row in _rows(invoice.get("lines")):
        amount = money_of(row.get("amount"))
        if amount is not None:
            project = row.get("project_id") or invoice.get("project_id") or ""
            yield Line(measure, str(project), amount.currency, amount.amount)


def _unapplied(measure: str, payment: Document) -> Iterator[Line]:
    paid = money_of(payment.get("amount"))
    if paid is None or payment.get("state") == "reversed":
        return
    left = paid.amount
    for row in _rows(payment.get("allocations")):
        applied = money_of(row.get("amount"))
        if applied is not None and applied.currency == paid.currency:
            left = EXACT.subtract(left, applied.amount)
    if left:
        yield Line(measure, "", paid.currency, left)


def _unbilled_time(measure: str, entry: Document) -> Iterator[Line]:
    hours, rate = number_of(entry.get("hours")), money_of(entry.get("rate"))
    if hours is None or not _is_unbilled(entry):
        return
    project = str(entry.get("project_id") or "")
    if rate is not None and rate.currency in QUANTUM:
        value = rounded(EXACT.multiply(hours, rate.amount), rate.currency)
        yield Line(measure, project, rate.currency, value)


def _unbilled_hours(measure: str, entry: Document) -> Iterator[Line]:
    hours = number_of(entry.get("hours"))
    if hours is not None and _is_unbilled(entry):
        yield Line(measure, str(entry.get("project_id") or ""), "", hours)


def _unbilled_expense(measure: str, expense: Document) -> Iterator[Line]:
    amount = money_of(expense.get("amount"))
    if amount is not None and _is_unbilled(expense):
        yield Line(measure, str(expense.get("project_id") or ""), amount.currency, amount.amount)


def _is_unbilled(record: Document) -> bool:
    return record.get("billable") is True and record.get("state") in UNBILLED


def _rows(value: Any) -> list[Mapping[str, Any]]:
    rows = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", row) for row in rows if isinstance(row, dict)]


_UNBILLED_BY = "state billable project_id"
# fmt: off
PACK: tuple[PackMeasure, ...] = tuple(
    PackMeasure(
        name=name, entity=entity, label=label, needs=tuple(needs.split()), lines=made, adds=adds or None,
        by=tuple(by.split()),
    )
    for name, entity, label, made, needs, adds, by in (
        # name             entity        label                needs                        adds, by
        ("ar_open",        "invoice",    "AR open items",     _open_items,
                                                              "state balance due_date",    "balance", "state due_date"),
        ("billed_to_date", "invoice",    "Project-to-date billings", _billed,
                                                              "state lines",               "", ""),
        ("unapplied_cash", "payment",    "Unapplied cash",    _unapplied,
                                                              "state amount allocations",  "", ""),
        ("unbilled_time",  "time_entry", "Unbilled time",     _unbilled_time,
                                                              "state hours billable rate", "", ""),
        ("unbilled_hours", "time_entry", "Unbilled hours",    _unbilled_hours,
                                                              "state hours billable",      "hours", _UNBILLED_BY),
        ("unbilled_expense", "expense",  "Unbilled expense",  _unbilled_expense,
                                                              "state amount billable",     "amount", _UNBILLED_BY),
    )
)
# fmt: on

#: What no slice can give, because the canonical model has nothing to make it of.
NOWHERE: tuple[NotAvailable, ...] = (
    NotAvailable(measure="trial_balance", reason="no profile maps the accounts of a general ledger"),
    NotAvailable(measure="wip_cost", reason="no canonical entity carries the cost that an ERP has posted"),
    NotAvailable(
        measure="project_to_date_cost", reason="no canonical entity carries the cost that an ERP has posted"
    ),
    NotAvailable(measure="deferred_revenue", reason="no canonical entity carries a revenue schedule"),
)
LABELS: Mapping[str, str] = {one.name: one.label for one in PACK}
