"""Laws of converters and mappings, for any value: what is written reads back, and losses come to rest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import Fields
from adapters.converters import CONVERTERS, plain
from adapters.dates import rfc3339
from adapters.mapping import EntityMap
from adapters.outcome import retry_after_s
from adapters.profile import load
from adapters.protocols import json_body, xml_body
from adapters.record import Unmappable
from adapters.wire import Broken

#: Text as the canonical model lets it through: no control characters but line breaks, and no half characters.
text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"], include_characters="\n\t"), max_size=40)
words = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20)
decimals = st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False, places=6).map(plain)
cents = st.integers(-(10**12), 10**12).map(lambda n: plain(Decimal(n).scaleb(-2)))
days = st.dates(date(1000, 1, 1)).map(str)
instants = st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1), timezones=st.just(UTC))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


def whole(unit: str) -> st.SearchStrategy[str]:
    floor: dict[str, Callable[[datetime], datetime]] = {
        "microsecond": lambda d: d,
        "millisecond": lambda d: d.replace(microsecond=d.microsecond // 1000 * 1000),
        "second": lambda d: d.replace(microsecond=0),
    }
    return instants.map(floor[unit]).map(rfc3339)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": text,
    "any": json_values,
    "upper": st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1),
    "integer": st.integers(),
    "integer_text": st.integers(-(10**18), 10**18),
    "int_text": st.integers(-(10**18), 10**18).map(str),
    **dict.fromkeys(
        ("boolean", "bool_text", "yes_no", "y_n", "j_n", "flag_x", "bool_int", "bool_digit"), st.booleans()
    ),
    **dict.fromkeys(("bool_word", "flag_word"), st.sampled_from(["true", "false"])),
    **dict.fromkeys(
        ("decimal_dot", "decimal_comma", "decimal_number", "decimal_any", "tagged_decimal"), decimals
    ),
    # A float keeps fifteen digits; a product that uses it for quantities cannot promise more.
    "float_quantity": st.decimals(-(10**8), 10**8, allow_nan=False, allow_infinity=False, places=6).map(
        plain
    ),
    "cents": cents,
    **dict.fromkeys(("date_iso", "date_dmy_dots", "date_compact", "tagged_date", "odata_v2_date"), days),
    **dict.fromkeys(("instant_iso", "naive_utc", "tagged_instant"), whole("microsecond")),
    "odata_v2_instant": whole("millisecond"),
    "instant_dmy_dots": whole("second"),
    "tagged_timedelta_hours": st.integers(0, 10**6).map(lambda s: plain(Decimal(s * 36) / 3600)),
    "json_text": json_values,
    "texts": st.lists(words, min_size=1),
    "list_commas": st.lists(st.text("abc xyz", min_size=1).map(str.strip).filter(bool)),
    "list_semicolons": st.lists(st.text("abc,xyz", min_size=1)),
}


def test_every_converter_has_its_values() -> None:
    """A converter that nobody tries is a guess."""
    assert VALUES.keys() == CONVERTERS.keys()


@pytest.mark.parametrize("name", CONVERTERS)
@given(data=st.data())
def test_what_is_written_reads_back(name: str, data: st.DataObject) -> None:
    """read(write(x)) == x, also after the native value has been through JSON, as exactly as we carry it."""
    value = data.draw(VALUES[name])
    read, write = CONVERTERS[name]
    native = write(value)
    assert read(native) == value
    carried = json_body.decode(json_body.encode(native))
    assert read(carried) == value


@pytest.mark.parametrize("name", [name for name in CONVERTERS if name not in {"any", "text", "texts"}])
@given(nonsense=st.none() | st.integers() | st.floats() | st.text() | st.lists(st.integers()) | st.just({}))
def test_nonsense_is_refused_and_never_anything_else(name: str, nonsense: Any) -> None:
    """What a converter does not understand is an error that the mapping names, not a crash and not NaN."""
    for direction in CONVERTERS[name]:
        try:
            made = direction(nonsense)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
            # Refused, as it should be.
            continue
        assert made is not None or nonsense is None


def money(currency: str) -> st.SearchStrategy[Any]:
    amounts = st.integers(-(10**11), 10**11).map(lambda n: format(Decimal(n).scaleb(-2), "f"))
    return st.none() | amounts.map(lambda amount: {"amount": amount, "currency": currency})


maybe_text = st.none() | text
refs = st.integers(1, 10**9).map(str)
quantities = st.decimals(0, 10**6, allow_nan=False, allow_infinity=False, places=6).map(plain)


@st.composite
def invoices(draw: st.DrawFn) -> Fields:
    currency = draw(st.sampled_from(["EUR", "USD", "CHF", "GBP"]))
    line = st.fixed_dictionaries(
        {
            "number": st.integers(1, 500),
            "description": maybe_text,
            "project_id": st.none() | refs,
            "kind": st.sampled_from(["time", "expense", "milestone", "fee", None]),
            "quantity": st.none() | quantities,
            "unit_price": money(currency),
            "amount": money(currency),
            "tax_code": st.sampled_from(["standard", "reduced", "zero", "exempt", "reverse_charge", None]),
            "tax_amount": money(currency),
            "source_ids": st.lists(words.map(lambda w: f"tim_{w}"), max_size=3),
        }
    )
    return draw(
        st.fixed_dictionaries(
            {
                "customer_id": refs,
                "legal_entity": st.sampled_from(["DE01", "UK01"]),
                "currency": st.just(currency),
                "issue_date": days,
                "lines": st.lists(line, max_size=4),
                "state": st.sampled_from(
                    ["draft", "ready", "released", "posted", "partially_paid", "paid", "void"]
                ),
                "number": maybe_text,
                "due_date": st.none() | days,
                "net_total": money(currency),
                "total": money(currency),
            }
        )
    )


PROFILES = ("sandbox_legacy", "sandbox_cloud")
INVOICES = {name: EntityMap(load(name), "invoice") for name in PROFILES}


def through_the_wire(name: str, entity_map: EntityMap, fields: Fields) -> Fields:
    """Encoded, as bytes, and back."""
    native = entity_map.encode(fields, creating=True)
    if name == "sandbox_legacy":
        return entity_map.decode(xml_body.decode(xml_body.encode("Rechnung", native))[1])
    return entity_map.decode(json_body.decode(json_body.encode(native)))


@pytest.mark.parametrize("name", PROFILES)
@given(fields=invoices())
def test_a_record_reads_back_as_expect_foretold(name: str, fields: Fields) -> None:
    """Bytes and all: what comes back is exactly the declared losses applied to what was sent."""
    entity_map = INVOICES[name]
    expected = entity_map.expect(fields)
    found = through_the_wire(name, entity_map, fields)
    assert {field: found[field] for field in expected} == expected
    assert entity_map.expect(expected) == expected
    assert set(expected) == set(fields) & entity_map.mapped


@given(fields=invoices())
def test_nothing_is_lost_that_was_not_declared(fields: Fields) -> None:
    """The cloud's fields are long enough for all of these: nothing changes but empty text, which is None."""
    entity_map = INVOICES["sandbox_cloud"]
    expected = entity_map.expect(fields)

    def plainer(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plainer(item) for name, item in value.items()}
        if isinstance(value, list):
            return [plainer(item) for item in value]
        return None if value == "" else value

    wanted = plainer(fields)
    for line in wanted["lines"]:
        if line["quantity"] is not None:
            line["quantity"] = plain(round(Decimal(line["quantity"]) + Decimal("1e-9"), 4))
    assert expected == {name: value for name, value in wanted.items() if name in expected}


@pytest.mark.parametrize("name", PROFILES)
@given(
    native=st.dictionaries(words, json_values, max_size=5),
    key=st.sampled_from(["Positionen", "Lines", "Status"]),
)
def test_any_answer_is_read_or_refused(name: str, native: dict[str, Any], key: str) -> None:
    """Nonsense from a system ends in Unmappable, never in another error."""
    entity_map = INVOICES[name]
    for record in (native, {**native, key: native}, {**native, key: [native]}):
        with suppress(Unmappable):
            entity_map.decode(record)


@given(content=st.binary(max_size=200) | text.map(str.encode) | json_values.map(msgspec.json.encode))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """A body is what the protocol speaks, or Broken."""
    for decode in (json_body.decode, xml_body.decode):
        with suppress(Broken):
            decode(content)


@given(header=st.none() | st.text() | st.integers().map(str))
def test_any_retry_after_is_a_sane_wait(header: str | None) -> None:
    """Between nothing and an hour, whatever a system sends."""
    assert 0 <= retry_after_s(header, datetime(2026, 11, 23, tzinfo=UTC)) <= 3600


@given(value=text | text.map(lambda found: found.replace("\n", "\r\n").replace("\t", "\r")))
def test_text_survives_xml(value: str) -> None:
    """Angle brackets, quotes, line breaks and every script there is."""
    assert xml_body.decode(xml_body.encode("R", {"T": value}))[1]["T"] == (value or None)
