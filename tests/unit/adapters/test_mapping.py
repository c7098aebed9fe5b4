"""Records and canonical fields: what is lost by declaration, what is refused, what is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.mapping import EntityMap
from adapters.record import Unmappable
from tests.unit.adapters.systems import eur, profile


@pytest.fixture
def invoice() -> EntityMap:
    return EntityMap(profile("odata"), "invoice")


@pytest.fixture
def legacy() -> EntityMap:
    return EntityMap(profile("rest_xml"), "invoice")


@pytest.fixture
def customer() -> EntityMap:
    return EntityMap(profile("jsonrpc"), "customer")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"note": "short"}, {"note": "short"}),
        ({"note": "ten letters, cut"}, {"note": "ten letter"}),
        ({"note": "a blank at the cut"}, {"note": "a blank at"}),
        ({"note": "ninechars and"}, {"note": "ninechars"}),
        ({"note": ""}, {"note": None}),
        ({"note": None}, {"note": None}),
        ({"unheard_of": 1}, {}),
        ({"number": "I-1"}, {"number": "I-1"}),
        ({"total": eur("119.10")}, {"total": eur("119.10")}),
        ({"lines": []}, {"lines": []}),
        ({"lines": None}, {"lines": []}),
        ({"lines": [{"quantity": "1.505"}]}, {"lines": [{"quantity": "1.51"}]}),
        ({"lines": [{"quantity": "-1.505"}]}, {"lines": [{"quantity": "-1.51"}]}),
        ({"lines": [{"quantity": "1.5000"}]}, {"lines": [{"quantity": "1.5"}]}),
    ],
)
def test_expect_applies_the_declared_losses(
    invoice: EntityMap, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Shorter text, fewer decimals, unmapped fields left out; nothing is added to what was asked about."""
    found = invoice.expect(given)
    for row in found.get("lines", []):
        for name in ("number", "amount", "tax_code"):
            assert row.pop(name) is None
    assert found == expected


def test_expect_folds_coarser_codes() -> None:
    """Where the product has one code for two words, both read back as the first."""
    from adapters.profile import parse
    from tests.unit.adapters.systems import ODATA

    folded = parse(ODATA.replace('Ready = "ready"', 'Ready = ["ready", "released"]'), file="x.toml")
    entity_map = EntityMap(folded, "invoice")
    assert entity_map.expect({"state": "released"}) == {"state": "ready"}
    assert entity_map.encode({"state": "released"}, creating=True) == {"Status": "Ready"}


@pytest.mark.parametrize(
    ("currency", "native", "canonical"),
    [
        ("EUR", "100", "100.00"), ("EUR", "100,5", "100.50"), ("EUR", "100,500", "100.50"),
        ("EUR", "100,505", "100.505"), ("JPY", "100", "100"), ("JPY", "100,00", "100"),
        ("KWD", "1,5", "1.500"), ("EUR", "-0,5", "-0.50"), ("EUR", "1.234.567,80", "1234567.80"),
    ],
)  # fmt: skip
def test_an_amount_has_the_decimals_of_its_currency(
    legacy: EntityMap, currency: str, native: str, canonical: str
) -> None:
    """However a product spells it; a digit beyond them is kept, for it is a difference and not a spelling."""
    record = {"BelegNr": "1", "Waehrung": currency, "Brutto": native}
    assert legacy.decode(record)["total"] == {"amount": canonical, "currency": currency}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"state": "moonlit"}, "state"),
        ({"currency": "EUR", "total": {"amount": "1.00", "currency": "USD"}}, "total"),
        ({"total": "1.00"}, "total"),
        ({"total": {"amount": "1,00", "currency": "EUR"}}, "total"),
        ({"total": {"amount": "1e3", "currency": "EUR"}}, "total"),
        ({"issue_date": "20.11.2026"}, "issue_date"),
        ({"issue_date": "2026-02-30"}, "issue_date"),
        ({"lines": [{}, {"number": "two"}]}, "lines[1].number"),
        ({"currency": "EUR", "lines": [{"amount": {"amount": "1", "currency": "USD"}}]}, "lines[0].amount"),
        ({"note": 5.5}, "note"),
    ],
)
def test_what_the_product_cannot_hold_is_refused(
    invoice: EntityMap, fields: dict[str, Any], path: str
) -> None:
    """With the canonical path, and without the value, which may be personal."""
    with pytest.raises(Unmappable) as caught:
        invoice.encode(fields, creating=True)
    assert caught.value.path == path
    assert "moonlit" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"Status": "X"}, "state"),
        ({"Brutto": "12.5"}, "total"),
        ({"Waehrung": None}, "total"),
        ({"Datum": "2026-11-20"}, "issue_date"),
        ({"Positionen": {"Position": "text"}}, "lines"),
        ({"Positionen": {"Position": [{"PosNr": "1"}, {"PosNr": "I"}]}}, "lines[1].number"),
        ({"Positionen": {"Position": [None]}}, "lines[0].number"),
        ({"Text": {"a": "b"}}, "note"),
    ],
)
def test_a_native_value_that_does_not_fit_is_named(
    legacy: EntityMap, change: dict[str, Any], path: str
) -> None:
    """Nonsense from a system is never guessed at."""
    record = {"BelegNr": "1", "Waehrung": "EUR", "Brutto": "1,00", "Status": "E", **change}
    with pytest.raises(Unmappable) as caught:
        legacy.decode(record)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ("ten letter", "ten letter"),
        ("ninechars ", "ninechars"),
        ("8 chars ", "8 chars "),
        ("longer than ten ", "longer than ten "),
    ],
)
def test_a_text_that_fills_its_field_ends_where_it_was_cut(legacy: EntityMap, held: str, told: str) -> None:
    """A product that cuts by itself keeps the blank that it cut at; what we would have sent does not have it. Any other
    text is told as it is held."""
    assert legacy.decode({"BelegNr": "1", "Status": "E", "Text": held})["note"] == told


def test_create_and_update_send_what_is_theirs(invoice: EntityMap) -> None:
    """A field that was not given is not sent, None clears, and what the product numbers itself is never
    sent."""
    assert invoice.encode({"number": "1", "note": None}, creating=False) == {"Note": None}
    assert invoice.encode({}, creating=True) == {}


def test_a_single_row_is_a_list_of_one(legacy: EntityMap) -> None:
    """XML cannot tell one from many."""
    record = {
        "Waehrung": "EUR",
        "Positionen": {"Position": {"PosNr": "1", "Quellen": {"Quelle": ["a", "b"]}}},
    }
    assert legacy.decode(record)["lines"] == [{"number": 1, "amount": None, "source_ids": ["a", "b"]}]


@pytest.mark.parametrize(
    ("text", "marked"),
    [("call", "call [tw:op_1]"), (None, "[tw:op_1]"), ("", "[tw:op_1]"), ("[x]", "[x] [tw:op_1]")],
)
def test_a_marker_can_share_a_text(customer: EntityMap, text: str | None, marked: str) -> None:
    """It stands at the end, is read from there, and is no part of what people wrote."""
    native = customer.encode({"note": text}, creating=True)
    customer.mark(native, "op_1")
    assert native["comment"] == marked
    assert customer.marker_of(native) == "op_1"
    assert customer.decode(native)["note"] == (text or None)


def test_a_text_that_people_end_in_brackets_is_no_marker(customer: EntityMap) -> None:
    """Only our own sign is."""
    native = {"comment": "see [appendix]"}
    assert customer.marker_of(native) is None
    assert customer.decode(native)["note"] == "see [appendix]"


def test_a_long_marker_keeps_its_end(invoice: EntityMap) -> None:
    """The end of a marker is its random part; the beginning is a time that many share."""
    native: dict[str, Any] = {}
    invoice.mark(native, "op_" + "0" * 60 + "abc")
    assert len(native["LastOperation"]) == 40
    assert native["LastOperation"].endswith("abc")
    assert invoice.kept_marker("op_" + "0" * 60 + "abc") == native["LastOperation"]


@pytest.mark.parametrize(
    ("native", "canonical"),
    [
        ("Lines/1/TaxCode", "lines[].tax_code"), ("Lines[0].Amount", "lines[].amount"), ("Total", "total"),
        ("Currency", "currency"), ("Nothing", None), ("", None),
    ],
)  # fmt: skip
def test_an_error_of_the_product_is_about_a_canonical_field(
    invoice: EntityMap, native: str, canonical: str | None
) -> None:
    """However the product writes the path, and never by guessing."""
    assert invoice.canonical_path(native) == canonical


def test_a_fixed_currency_refuses_another(customer: EntityMap) -> None:
    """A field that is always in one currency must not take the number of another."""
    with pytest.raises(Unmappable, match="is in USD, but this product keeps it in EUR"):
        customer.encode({"credit_limit": {"amount": "1.00", "currency": "USD"}}, creating=True)


def test_what_is_read_is_ours_alone() -> None:
    """A default that is a list or an object is copied: changing one record must not change the next."""
    from adapters.profile import parse
    from tests.unit.adapters.systems import REST_JSON

    text = REST_JSON + 'custom_fields = { path = "extra", convert = "json_text", default = {} }\n'
    entity_map = EntityMap(parse(text, file="x.toml"), "customer")
    first = entity_map.decode({"id": 1})
    first["custom_fields"]["a"] = 1
    assert entity_map.decode({"id": 2})["custom_fields"] == {}
