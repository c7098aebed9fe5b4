"""Laws of the canonical model over generated values: merging, money, text, round trips."""

from __future__ import annotations

import json
import unicodedata
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canonical import (
    BY_NAME,
    ENTITIES,
    Entity,
    Money,
    decode_draft,
    decode_patch,
    encode,
    merge,
    merge_patch,
    typed,
)
from gateway.canonical.codes import MINOR_UNITS
from gateway.canonical.decode import decode_transition
from gateway.canonical.money import rounded
from gateway.errors import GatewayError, Malformed
from tests.unit.canonical.bodies import fullest, smallest

each_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
EXPENSE, CUSTOMER, INVOICE = BY_NAME["expense"], BY_NAME["customer"], BY_NAME["invoice"]

currencies = st.sampled_from(sorted(MINOR_UNITS))
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


def _stripped(value: Any) -> Any:
    """The value as a merge into nothing leaves it: no null members, inside lists as they are."""
    if isinstance(value, dict):
        return {k: _stripped(v) for k, v in value.items() if v is not None}
    return value


@given(objects, objects)
def test_a_patch_applied_twice_is_a_patch_applied_once(
    document: dict[str, Any], patch: dict[str, Any]
) -> None:
    """Merging is idempotent, which is what makes a repeated delivery harmless."""
    once = merge_patch(document, patch)
    assert merge_patch(once, patch) == once


@given(objects, objects)
def test_what_a_patch_names_is_what_stands(document: dict[str, Any], patch: dict[str, Any]) -> None:
    """After a merge each named member has its value or is gone, and each other member is as it was."""
    merged = merge_patch(document, patch)
    for name in "abcd":
        if name not in patch:
            assert (name in merged) is (name in document)
            assert merged.get(name) == document.get(name)
        elif patch[name] is None:
            assert name not in merged
        elif not isinstance(patch[name], dict):
            assert merged[name] == patch[name]


@given(objects)
def test_merging_into_nothing(patch: dict[str, Any]) -> None:
    """A patch merged into nothing is the patch without its nulls."""
    assert merge_patch({}, patch) == _stripped(patch)


@given(objects, objects)
def test_custom_fields_merge_as_the_standard_says(custom: dict[str, Any], patch: dict[str, Any]) -> None:
    """Custom fields survive a create unchanged, and a patch merges into them."""
    body = {**smallest("customer"), "custom_fields": custom}
    document = decode_draft(CUSTOMER, json.dumps(body).encode()).document
    assert document["custom_fields"] == custom
    merged = merge(CUSTOMER, document, decode_patch(CUSTOMER, json.dumps({"custom_fields": patch}).encode()))
    assert merged["custom_fields"] == merge_patch(custom, patch)


@each_entity
@given(data=st.data())
def test_a_patched_document_is_one_that_a_create_would_accept(entity: Entity, data: st.DataObject) -> None:
    """Whatever part of a full body is patched into a small record, the result is accepted as a create."""
    body, whole = smallest(entity.name), fullest(entity.name)
    names = sorted(set(whole) - {"region", "legal_entity", "external_refs"})
    chosen = data.draw(st.sets(st.sampled_from(names)))
    document = decode_draft(entity, json.dumps(body).encode()).document
    patch = decode_patch(entity, json.dumps({name: whole[name] for name in chosen}).encode())
    try:
        merged = merge(entity, document, patch)
    except GatewayError:
        return
    again = decode_draft(entity, json.dumps({**merged, "region": "UK"}).encode())
    assert again.document == merged
    assert merge(entity, merged, patch) == merged


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12), currencies)
def test_money_is_exact_or_refused(amount: Decimal, currency: str) -> None:
    """An amount comes back equal and at its currency's scale, or is refused for more decimals than that."""
    text = format(amount, "f")
    digits = len(text.partition(".")[2])
    body = {**smallest("expense"), "amount": {"amount": text, "currency": currency}}
    try:
        kept = decode_draft(EXPENSE, json.dumps(body).encode()).document["amount"]["amount"]
    except Malformed:
        assert digits > MINOR_UNITS[currency]
        return
    assert digits <= MINOR_UNITS[currency]
    assert Decimal(kept) == amount
    assert len(kept.partition(".")[2]) == MINOR_UNITS[currency]


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False), currencies)
def test_a_json_number_is_never_money(number: float, currency: str) -> None:
    """No JSON number is taken for an amount or a quantity, not even a whole one."""
    for entity, field, value in (
        ("expense", "amount", {"amount": number, "currency": currency}),
        ("time_entry", "hours", number),
    ):
        with pytest.raises(Malformed) as caught:
            decode_draft(BY_NAME[entity], json.dumps({**smallest(entity), field: value}).encode())
        assert caught.value.errors[0].pointer.startswith(f"/{field}")


@given(st.text(alphabet="0123456789.-+eE_ NaInfity\n٣", max_size=8))
def test_only_plain_decimals(text: str) -> None:
    """What is accepted as a quantity is digits with at most one point and one leading minus."""
    body = {**smallest("time_entry"), "hours": text}
    try:
        kept = decode_draft(BY_NAME["time_entry"], json.dumps(body).encode()).document["hours"]
    except Malformed:
        return
    assert not set(text) - set("0123456789.-")
    assert Decimal(kept) == Decimal(text)


@given(
    st.lists(
        st.tuples(
            st.decimals(min_value=-999, max_value=9999, places=6),
            st.decimals(min_value=-999, max_value=9999, places=2),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_computed_invoices_add_up(rows: list[tuple[Decimal, Decimal]]) -> None:
    """What is filled in is what an independent calculation gives, and is accepted when it is given."""
    body = smallest("invoice")
    body["lines"] = [
        {"quantity": format(q, "f"), "unit_price": {"amount": format(p, "f"), "currency": "EUR"}}
        for q, p in rows
    ]
    document = decode_draft(INVOICE, json.dumps(body).encode()).document
    with localcontext() as context:
        context.prec = 50
        expected = sum((q * p).quantize(Decimal("0.01"), ROUND_HALF_UP) for q, p in rows)
    assert Decimal(document["total"]["amount"]) == expected
    assert decode_draft(INVOICE, json.dumps({**document, "region": "UK"}).encode()).document == document


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9), currencies)
def test_rounding_is_never_off_by_more_than_half_a_unit(amount: Decimal, currency: str) -> None:
    """Rounding moves an amount by at most half a minor unit, and an amount of that currency not at all."""
    result = rounded(amount, currency)
    unit = Decimal(1).scaleb(-MINOR_UNITS[currency])
    with localcontext() as context:
        context.prec = 200
        assert abs(result - amount) * 2 <= unit
    held = Money(amount=result, currency=currency).amount
    assert held == result
    assert not str(held).startswith("-0") or held


@given(st.text(max_size=40))
def test_text_survives_or_is_refused(text: str) -> None:
    """Text comes back in normal form C and else unchanged, or is refused for a control character."""
    raw = json.dumps({**smallest("expense"), "note": text}).encode()
    try:
        document = decode_draft(EXPENSE, raw).document
    except Malformed:
        assert any(unicodedata.category(c) in ("Cc", "Cs") or c in "\ufffe\uffff" for c in text)
        return
    assert json.loads(encode(document))["note"] == unicodedata.normalize("NFC", text)


@each_entity
@given(data=st.data())
def test_round_trip(entity: Entity, data: st.DataObject) -> None:
    """Document to bytes and back, and document to typed and back, changes nothing."""
    whole, body = fullest(entity.name), smallest(entity.name)
    chosen = data.draw(st.sets(st.sampled_from(sorted(whole))))
    body.update({name: whole[name] for name in chosen})
    try:
        draft = decode_draft(entity, json.dumps(body).encode())
    except GatewayError:
        return
    again = decode_draft(entity, encode({**draft.document, "region": draft.region}))
    assert again.document == draft.document
    assert merge(entity, draft.document, {}) == draft.document
    assert typed(entity, draft.document) == typed(entity, json.loads(encode(draft.document)))


@settings(max_examples=300)
@given(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_answered(body: bytes) -> None:
    """Whatever arrives is accepted or refused with a pointer and a message; nothing else is raised."""
    for entity in ENTITIES:
        for decode in (decode_draft, decode_patch):
            _malformed_or_fine(lambda decode=decode, entity=entity: decode(entity, body))
    _malformed_or_fine(lambda: decode_transition(body))


@settings(max_examples=300)
@given(data=st.data())
def test_any_member_may_be_anything(data: st.DataObject) -> None:
    """A good body with any one member replaced by anything is accepted or refused, never a crash."""
    entity = data.draw(st.sampled_from(ENTITIES))
    body = fullest(entity.name)
    place: Any = body
    while True:
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place))))
        )
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(values)
    raw = json.dumps(body).encode()
    _malformed_or_fine(lambda: decode_draft(entity, raw))
    patch = {k: v for k, v in body.items() if k not in ("region", "legal_entity", "external_refs")}
    document = decode_draft(entity, json.dumps(fullest(entity.name)).encode()).document
    _malformed_or_fine(lambda: merge(entity, document, decode_patch(entity, json.dumps(patch).encode())))


def _malformed_or_fine(act: Any) -> None:
    try:
        act()
    except GatewayError as problem:
        refused = problem
    else:
        return
    assert refused.errors
    assert all(error.code and error.message for error in refused.errors)
    assert all(error.pointer == "" or error.pointer.startswith("/") for error in refused.errors)
