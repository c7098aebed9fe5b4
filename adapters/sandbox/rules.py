"""The business rules of both simulated ERPs, in canonical words over native values. Pure.

A table says where a canonical field is held; so one rule serves both dialects, and a refusal names the
native field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from adapters.sandbox.fields import Field, Ref, Rows, Table, Values
from adapters.sandbox.firm import LEGAL_ENTITIES
from adapters.sandbox.refusals import Refused
from adapters.sandbox.store import Row, Shelf

#: States in which the content of a record is fixed; only moves among them and what is FREE are let through.
FIXED: Mapping[str, frozenset[str]] = {
    "time_entry": frozenset({"posted", "invoiced"}),
    "expense": frozenset({"posted", "invoiced", "reimbursed"}),
    "invoice": frozenset({"posted", "partially_paid", "paid"}),
    "payment": frozenset({"reversed"}),
}
#: What may change on a fixed record.
FREE = frozenset({"state", "balance", "custom_fields"})
NO_INVOICE = frozenset({"blocked", "archived"})
NO_POSTING = frozenset({"closed", "cancelled"})


class Rulebook:
    """The rules over one system's shelves. ``first_row`` is how its error paths count list rows from."""

    def __init__(self, shelves: Mapping[str, Shelf], first_row: int) -> None:
        self._shelves = shelves
        self._first_row = first_row
        self._required = {name: tuple(f for f in s.table.fields if f.required) for name, s in shelves.items()}
        self._references = {name: _references(s.table) for name, s in shelves.items()}
        self._special: Mapping[str, Callable[[Table, Values, Row | None], None]] = {
            "invoice": self._invoice,
            "payment": self._payment,
            "time_entry": self._booking,
            "expense": self._booking,
        }

    def check(self, table: Table, values: Values, old: Row | None) -> None:
        """Raises Refused, or lets the whole post-image pass (totals that were left out are filled in)."""
        for field in self._required[table.entity]:
            value = values[field.name]
            if value is None or value == []:
                raise Refused("required", field.name, field.name)
        company = values[table.by_canon["legal_entity"].name]
        if company is not None and company not in LEGAL_ENTITIES:
            raise Refused("unknown_legal_entity", company, table.by_canon["legal_entity"].name)
        for field, inner in self._references[table.entity]:
            if inner is None:
                self._exists(field, values[field.name], field.name)
            else:
                for place, row in enumerate(values[field.name], self._first_row):
                    self._exists(inner, row[inner.name], f"{field.name}/{place}/{inner.name}")
        if old is not None:
            self._unlocked(table, values, old)
        special = self._special.get(table.entity)
        if special is not None:
            special(table, values, old)

    def fixed(self, table: Table, row: Row) -> bool:
        return _word(table, row.values) in FIXED.get(table.entity, ())

    def _exists(self, field: Field, key: str | None, path: str) -> None:
        assert isinstance(field.kind, Ref)
        if key is not None and key not in self._shelves[field.kind.entity].rows:
            raise Refused("unknown_reference", f"{field.kind.entity} {key}", path)

    def _unlocked(self, table: Table, values: Values, old: Row) -> None:
        if not self.fixed(table, old):
            return
        what = f"{table.item} {old.key}"
        if _word(table, values) not in FIXED[table.entity]:
            raise Refused("posted", what, table.status.name)
        for field in table.fields:
            if field.canon not in FREE and values[field.name] != old.values[field.name]:
                raise Refused("posted", what, field.name)

    def _booking(self, table: Table, values: Values, old: Row | None) -> None:
        name = table.by_canon["project_id"].name
        if old is None or old.values[name] != values[name]:
            shelf = self._shelves["project"]
            if _word(shelf.table, shelf.rows[values[name]].values) in NO_POSTING:
                raise Refused("project_closed", values[name], name)

    def _invoice(self, table: Table, values: Values, old: Row | None) -> None:
        at = table.by_canon
        if old is None:
            shelf = self._shelves["customer"]
            customer = values[at["customer_id"].name]
            if _word(shelf.table, shelf.rows[customer].values) in NO_INVOICE:
                raise Refused("customer_blocked", customer, at["customer_id"].name)
        lines = at["lines"]
        assert isinstance(lines.kind, Rows)
        inner = {f.canon: f.name for f in lines.kind.fields}
        net = _sum(values[lines.name], inner["amount"])
        tax = _sum(values[lines.name], inner["tax_amount"])
        for canon, right in (("net_total", net), ("tax_total", tax), ("total", net + tax)):
            name = at[canon].name
            if values[name] is None:
                values[name] = right
            elif values[name] != right:
                raise Refused("totals", f"{name} is {values[name]}, the lines make {right}", name)

    def _payment(self, table: Table, values: Values, old: Row | None) -> None:
        at = table.by_canon
        rows = at["allocations"]
        assert isinstance(rows.kind, Rows)
        inner = {f.canon: f.name for f in rows.kind.fields}
        total = _sum(values[rows.name], inner["amount"])
        if total > values[at["amount.amount"].name]:
            raise Refused("over_allocated", str(total), rows.name)


def _word(table: Table, values: Values) -> str:
    return table.word_of[values[table.status.name]]


def _sum(rows: list[Values], name: str) -> Decimal:
    return sum((row[name] for row in rows if row[name] is not None), Decimal("0.00"))


def _references(table: Table) -> tuple[tuple[Field, Field | None], ...]:
    """References of a record, and those inside its lists."""
    found: list[tuple[Field, Field | None]] = []
    for field in table.fields:
        kind: Any = field.kind
        if isinstance(kind, Ref):
            found.append((field, None))
        elif isinstance(kind, Rows):
            found.extend((field, inner) for inner in kind.fields if isinstance(inner.kind, Ref))
    return tuple(found)
