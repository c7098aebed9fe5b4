"""A field of which a product keeps one value alone, and a value that it wants in several places."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.mapping import EntityMap
from adapters.profile import parse
from adapters.record import Unmappable

PROFILE = """
protocol = "jsonrpc"
product = "example"
version = "1"
source = "made up for a test, read 2026-11"
grade = "simulated"
[entities.invoice]
resource = "invoice"
key = "id"
capabilities = ["create"]
[entities.invoice.fields]
legal_entity = { path = "company.code", on_update = false, also = ["lines[].company.code"] }
customer_id = { path = "party", also = ["address.party"] }
project_id = { path = "origin", prefix = "work," }
kind = { path = "kind", only = "out" }
tax_total = { amount = "tax", currency = "/currency", writable = false, only = "0" }
currency = "currency"
[entities.invoice.fields.lines]
path = "lines"
each = { description = "text", amount = { path = "amount", writable = false } }
"""


@pytest.fixture
def invoice() -> EntityMap:
    return EntityMap(parse(PROFILE, file="test"), "invoice")


def eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


@pytest.mark.parametrize(
    "fields", [{}, {"tax_total": None}, {"tax_total": eur("0.00")}, {"kind": "out"}], ids=str
)
def test_the_one_value_passes(invoice: EntityMap, fields: dict[str, Any]) -> None:
    """Nothing, and the value that the product keeps anyway, are no loss."""
    invoice.encode(fields, creating=True)
    invoice.encode(fields, creating=False)


@pytest.mark.parametrize(
    ("fields", "path"),
    [({"tax_total": eur("0.01")}, "tax_total"), ({"kind": "in"}, "kind")],
    ids=["money", "text"],
)
def test_another_value_is_refused(invoice: EntityMap, fields: dict[str, Any], path: str) -> None:
    """What the product would lose without a word is refused with its field, on a create and on an update."""
    for creating in (True, False):
        with pytest.raises(Unmappable, match="can only be") as caught:
            invoice.encode(fields, creating=creating)
        assert caught.value.path == path


def test_a_value_goes_to_each_place_that_wants_it(invoice: EntityMap) -> None:
    """Beside its own path, in another relation and in each row; what is computed in a row is not sent."""
    fields = {
        "legal_entity": "DE01",
        "customer_id": "9",
        "project_id": "7",
        "lines": [{"description": "a", "amount": "1"}, {"description": "b"}],
    }
    rows = [{"text": "a", "company": {"code": "DE01"}}, {"text": "b", "company": {"code": "DE01"}}]
    same = {"party": "9", "address": {"party": "9"}, "origin": "work,7", "lines": rows}
    assert invoice.encode(fields, creating=True) == {"company": {"code": "DE01"}, **same}
    assert invoice.encode(fields, creating=False) == same


def test_rows_alone_know_their_record(invoice: EntityMap) -> None:
    """An update that brings only rows gives them what they share with their record, and is refused where the record
    then has what the product would lose; the record's own fields are not written."""
    fields = {"lines": [{"description": "a"}]}
    beside = {"legal_entity": "DE01", "customer_id": "9", "tax_total": eur("0.00")}
    rows = [{"text": "a", "company": {"code": "DE01"}}]
    assert invoice.encode(fields, creating=False, beside=beside) == {"lines": rows}
    taxed = {**beside, "tax_total": eur("19.00")}
    with pytest.raises(Unmappable, match="can only be"):
        invoice.encode(fields, creating=False, beside=taxed)
    assert invoice.encode({"project_id": "7"}, creating=False, beside=taxed) == {"origin": "work,7"}


def test_a_prefix_is_no_part_of_the_value(invoice: EntityMap) -> None:
    """It is put before the value, taken off again, and missed where it is not."""
    assert invoice.decode({"origin": "work,7"})["project_id"] == "7"
    with pytest.raises(Unmappable, match="does not begin with 'work,'"):
        invoice.decode({"origin": "sale,7"})
