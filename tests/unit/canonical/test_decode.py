"""Creates, patches and transitions from bytes: what is accepted, and how each refusal is told."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from gateway.canonical import BY_NAME, ENTITIES, Entity, decode_draft, decode_patch, decode_transition, encode
from gateway.errors import Invalid, Malformed
from tests.unit.canonical.bodies import EUR, fullest, smallest

each_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
CUSTOMER = BY_NAME["customer"]


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def _errors(entity: str, body: bytes) -> set[tuple[str, str]]:
    with pytest.raises(Malformed) as caught:
        decode_draft(BY_NAME[entity], body)
    assert all(error.message for error in caught.value.errors)
    return {(error.pointer, error.code) for error in caught.value.errors}


@each_entity
def test_fullest(entity: Entity) -> None:
    """A full create comes through unchanged, its envelope apart."""
    body = fullest(entity.name)
    draft = decode_draft(entity, _bytes(body))
    expected = {k: v for k, v in body.items() if k not in ("region", "external_refs")}
    assert draft.document == expected
    assert (draft.region, draft.legal_entity) == ("UK", "UK01")
    assert draft.external_refs == {"legacy": "10001", "cloud": "C-1"}
    assert json.loads(encode(draft.document)) == expected


@each_entity
def test_smallest(entity: Entity) -> None:
    """Only what is marked as required is needed."""
    draft = decode_draft(entity, _bytes(smallest(entity.name)))
    assert draft.legal_entity is None
    assert draft.external_refs == {}
    assert draft.document["custom_fields"] == {}
    assert "legal_entity" not in draft.document


@each_entity
def test_required(entity: Entity) -> None:
    """Each required member that is missing is named, all of them at once."""
    required = set(smallest(entity.name))
    assert _errors(entity.name, b"{}") == {(f"/{name}", "missing") for name in required}


@each_entity
def test_null_is_absent_on_create(entity: Entity) -> None:
    """Null for an optional member of a create is the same as leaving it out; else it is refused."""
    body = smallest(entity.name)
    optional = {name: None for name in fullest(entity.name) if name not in body}
    assert decode_draft(entity, _bytes({**body, **optional})) == decode_draft(entity, _bytes(body))
    for name in body:
        assert (f"/{name}", "null") in _errors(entity.name, _bytes({**body, name: None}))


@pytest.mark.parametrize(
    ("entity", "change", "expected"),
    [
        ("customer", {"nam": "x"}, {("/nam", "unknown")}),
        ("customer", {"a/b~c": 1}, {("/a~1b~0c", "unknown")}),
        ("customer", {"billing_address": {"zip": "1"}}, {("/billing_address/zip", "unknown")}),
        ("customer", {"id": "cus_1", "state": "active"}, {("/id", "unwritable"), ("/state", "unwritable")}),
        ("customer", {"name": 5}, {("/name", "type")}),
        ("customer", {"name": "   "}, {("/name", "format")}),
        ("customer", {"name": "a\x00b"}, {("/name", "format")}),
        ("customer", {"name": "a\n"}, {("/name", "format")}),
        ("customer", {"name": "a\ufffe"}, {("/name", "format")}),
        ("customer", {"phone": "\uffff"}, {("/phone", "format")}),
        ("time_entry", {"note": "\ufffe"}, {("/note", "format")}),
        ("customer", {"name": "a\x85"}, {("/name", "format")}),
        ("customer", {"name": "x" * 256}, {("/name", "format")}),
        ("customer", {"currency": "XXX"}, {("/currency", "choice")}),
        ("customer", {"currency": "eur"}, {("/currency", "choice")}),
        ("customer", {"billing_address": {"country": "UK"}}, {("/billing_address/country", "choice")}),
        ("customer", {"billing_address": []}, {("/billing_address", "type")}),
        ("customer", {"language": "english!"}, {("/language", "format")}),
        ("customer", {"email": "nobody"}, {("/email", "format")}),
        ("customer", {"payment_terms_days": "30"}, {("/payment_terms_days", "type")}),
        ("customer", {"payment_terms_days": -1}, {("/payment_terms_days", "format")}),
        ("customer", {"credit_limit": 5}, {("/credit_limit", "type")}),
        ("customer", {"credit_limit": {"amount": "1"}}, {("/credit_limit/currency", "missing")}),
        ("customer", {"parent_id": "prj_1"}, {("/parent_id", "format")}),
        ("customer", {"region": "uk"}, {("/region", "format")}),
        ("customer", {"external_refs": {"LEGACY": "1"}}, {("/external_refs", "format")}),
        ("customer", {"external_refs": {"legacy": 1}}, {("/external_refs", "type")}),
        ("customer", {"custom_fields": []}, {("/custom_fields", "type")}),
        ("resource", {"kind": "robot"}, {("/kind", "choice")}),
        ("time_entry", {"date": "2026-02-29"}, {("/date", "format")}),
        ("time_entry", {"date": "28.02.2026"}, {("/date", "format")}),
        ("time_entry", {"date": "2026-02-28T00:00:00Z"}, {("/date", "format")}),
        ("time_entry", {"hours": 7.5}, {("/hours", "number")}),
        ("time_entry", {"hours": "7.1234567"}, {("/hours", "format")}),
        ("time_entry", {"billable": "yes"}, {("/billable", "type")}),
        ("time_entry", {"note": "bell\x07"}, {("/note", "format")}),
        ("invoice", {"lines": []}, {("/lines", "format")}),
        ("invoice", {"lines": [{"amount": EUR}] * 501}, {("/lines", "format")}),
        (
            "invoice",
            {"lines": [{"amount": EUR}, {"amount": 1, "x": 1}]},
            {("/lines/1/amount", "type"), ("/lines/1/x", "unknown")},
        ),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else "-".join(value)[:30] if isinstance(value, dict) else ""
    ),
)
def test_refusals(entity: str, change: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    """Each wrong place is named by its pointer and the kind of its mistake, and nothing else is."""
    assert _errors(entity, _bytes({**smallest(entity), **change})) == expected


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (1250, "EUR", "number"),
        (1250.5, "EUR", "number"),
        ("1e3", "EUR", "format"),
        ("NaN", "EUR", "format"),
        ("Infinity", "EUR", "format"),
        ("-inf", "EUR", "format"),
        ("1,250.00", "EUR", "format"),
        (" 1", "EUR", "format"),
        ("1\n", "EUR", "format"),
        ("+1", "EUR", "format"),
        (".5", "EUR", "format"),
        ("01", "EUR", "format"),
        ("١", "EUR", "format"),
        ("", "EUR", "format"),
        (True, "EUR", "type"),
        ("1.005", "EUR", "decimals"),
        ("1.000", "EUR", "decimals"),
        ("1.0", "JPY", "decimals"),
        ("1.0000", "KWD", "decimals"),
        ("1.00000", "CLF", "format"),
        ("1234567890123456", "EUR", "format"),
    ],
)
def test_amounts_refused(amount: Any, currency: str, code: str) -> None:
    """Money arrives as a plain decimal string with no more decimals than its currency has, or not at all."""
    body = {**smallest("expense"), "amount": {"amount": amount, "currency": currency}}
    assert _errors("expense", _bytes(body)) == {("/amount/amount", code)}


@pytest.mark.parametrize(
    ("amount", "currency", "kept"),
    [
        ("1250", "EUR", "1250.00"),
        ("1250.5", "EUR", "1250.50"),
        ("9999999999.99", "EUR", "9999999999.99"),
        ("-0.00", "EUR", "0.00"),
        ("-12", "JPY", "-12"),
        ("1.5", "KWD", "1.500"),
        ("1.2345", "CLF", "1.2345"),
        ("999999999999999.99", "EUR", "999999999999999.99"),
    ],
)
def test_amounts_kept_at_full_scale(amount: str, currency: str, kept: str) -> None:
    """An amount keeps its value to the last digit and gets its currency's full scale."""
    body = {**smallest("expense"), "amount": {"amount": amount, "currency": currency}}
    document = decode_draft(BY_NAME["expense"], _bytes(body)).document
    assert document["amount"] == {"amount": kept, "currency": currency}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "json"),
        (b"{", "json"),
        (b'{"name": NaN}', "json"),
        (b"\xef\xbb\xbf{}", "json"),
        (b'{"name":"x"} {}', "json"),
        (b'{"region":"UK","name":"\\ud800"}', "json"),
        (b'{"region":"UK","name":"\xff"}', "encoding"),
        (b"[]", "type"),
        (b"null", "type"),
        (b'"x"', "type"),
        (b"[" * 40 + b"]" * 40, "depth"),
        (b"[" * 100_000, "depth"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_no_json_object(body: bytes, code: str) -> None:
    """What is no JSON object in UTF-8 of reasonable depth is refused as a whole."""
    assert _errors("customer", body) == {("", code)}


@pytest.mark.parametrize(
    "body",
    [
        b'{"region":"UK","name":"a","name":"b"}',
        b'{"region":"UK","name":"a","name" :"b"}',
        b'{"region":"UK","name":"a","name"\n:"a"}',
        b'{"region":"UK","n\\u0061me":"a","name":"b"}',
        b'{"region":"UK","name":"a","phone":null,"phone":"1"}',
        b'{"region":"UK","name":"a","billing_address":{"city":"x","city":"y"}}',
        b'{"region":"UK","name":"a","custom_fields":{"k":[{"z":1,"z":2}]}}',
        b'{"region":"UK","name":"a","custom_fields":{"k":1},"custom_fields":{"k":1}}',
    ],
)
def test_repeated_members(body: bytes) -> None:
    """A member that stands twice is refused, wherever it stands: two readers could read two records."""
    assert {code for _, code in _errors("customer", body)} == {"repeated"}


@pytest.mark.parametrize("name", ['say ":"', "a\\", '\\":\\"', "x: y", '","name":"'])
def test_quotes_in_text_are_no_members(name: str) -> None:
    """Text that looks like JSON is text."""
    assert decode_draft(CUSTOMER, _bytes({"region": "UK", "name": name})).document["name"] == name


def test_text_is_nfc() -> None:
    """Decomposed text is composed, escaped or not; what other systems call their own is left as it came."""
    decomposed, composed = "Zu\u0308rich", "Z\u00fcrich"
    for ascii_only in (True, False):
        body = json.dumps(
            {
                "region": "UK",
                "name": decomposed,
                "billing_address": {"city": decomposed},
                "custom_fields": {decomposed: decomposed},
                "external_refs": {"legacy": decomposed},
            },
            ensure_ascii=ascii_only,
        ).encode()
        draft = decode_draft(CUSTOMER, body)
        assert draft.document["name"] == composed
        assert draft.document["billing_address"] == {"city": composed}
        assert draft.document["custom_fields"] == {decomposed: decomposed}
        assert draft.external_refs == {"legacy": decomposed}
        assert decode_patch(CUSTOMER, _bytes({"name": decomposed})) == {"name": composed}


@pytest.mark.parametrize(
    "name", ["日本語株式会社", "O'Brien & Søns <GmbH>", "🏢 \u202eabc", "Ελλάδα", "  padded  ", "عربى"]
)
def test_text_survives(name: str) -> None:
    """Text in any script comes through unchanged."""
    document = decode_draft(CUSTOMER, _bytes({"region": "UK", "name": name})).document
    assert json.loads(encode(document))["name"] == name


def test_custom_fields_limits() -> None:
    """Custom fields hold any JSON object up to 16 kB and 32 levels, on a create and in a patch."""
    deep: Any = 1
    for _ in range(40):
        deep = {"d": deep}
    for custom, code in (({"x": "y" * 16_500}, "size"), ({"x": deep}, "depth")):
        assert _errors("customer", _bytes({**smallest("customer"), "custom_fields": custom})) == {
            ("/custom_fields", code)
        }
        with pytest.raises(Malformed):
            decode_patch(CUSTOMER, _bytes({"custom_fields": custom}))
    fits = {"x": "y" * 15_900, "n": [1, 1.5, True, None, "\x00", {"\u0000": {}}], "big": 2**70}
    draft = decode_draft(CUSTOMER, _bytes({**smallest("customer"), "custom_fields": fits}))
    assert json.loads(encode(draft.document))["custom_fields"] == fits


@pytest.mark.parametrize("levels", [30, 33, 300, 900, 5_000, 100_000])
def test_depth_is_refused_not_survived_by_luck(levels: int) -> None:
    """Nesting beyond 32 levels is refused, however deep it is and whatever stands in it."""
    for opening, closing in ((b'{"d":', b"}"), (b"[", b"]")):
        body = (
            b'{"region":"UK","name":"x","custom_fields":{"c":'
            + opening * levels
            + b"1"
            + closing * levels
            + b"}}"
        )
        if levels <= 30:
            assert decode_draft(CUSTOMER, body)
        else:
            assert {code for _, code in _errors("customer", body)} == {"depth"}


def test_many_errors_are_bounded() -> None:
    """A body with a thousand mistakes is answered with a bounded list."""
    body = {**smallest("customer"), **{f"f{i}": 1 for i in range(1000)}}
    assert len(_errors("customer", _bytes(body))) == 50


@pytest.mark.parametrize(
    ("entity", "change", "pointer", "code"),
    [
        (
            "project",
            {"budget_amount": {"amount": "1", "currency": "USD"}},
            "/budget_amount/currency",
            "currency_mixed",
        ),
        ("project", {"start_date": "2026-02-01", "end_date": "2026-01-01"}, "/end_date", "before"),
        ("project", {"tasks": [{"code": "A"}, {"code": "A"}]}, "/tasks/1/code", "duplicate"),
        ("resource", {"employed_from": "2026-02-01", "employed_to": "2026-01-01"}, "/employed_to", "before"),
        ("resource", {"skills": [{"name": "A"}, {"name": "A"}]}, "/skills/1/name", "duplicate"),
        ("contract", {"value": {"amount": "1", "currency": "USD"}}, "/value/currency", "currency_mixed"),
        ("contract", {"milestones": [{"code": "A"}, {"code": "A"}]}, "/milestones/1/code", "duplicate"),
        (
            "expense",
            {"tax_amount": {"amount": "1", "currency": "USD"}},
            "/tax_amount/currency",
            "currency_mixed",
        ),
        (
            "payment",
            {"allocations": [{"invoice_id": "inv_1", "amount": {"amount": "1250.01", "currency": "EUR"}}]},
            "/allocations",
            "over_allocated",
        ),
        (
            "payment",
            {"allocations": [{"invoice_id": "inv_1", "amount": {"amount": "1", "currency": "USD"}}]},
            "/allocations/0/amount/currency",
            "currency_mixed",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_do_not_fit(entity: str, change: dict[str, Any], pointer: str, code: str) -> None:
    """A well-formed body whose values contradict each other is Invalid, not Malformed."""
    with pytest.raises(Invalid) as caught:
        decode_draft(BY_NAME[entity], _bytes({**smallest(entity), **change}))
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"to": "approved"}, None),
        ({"to": "approved", "reason": "two\nlines"}, None),
        ({}, ("/to", "missing")),
        ({"to": 5}, ("/to", "type")),
        ({"to": "Not A State"}, ("/to", "format")),
        ({"to": "approved", "because": "x"}, ("/because", "unknown")),
    ],
    ids=str,
)
def test_transition(body: dict[str, Any], expected: tuple[str, str] | None) -> None:
    """A transition names a state and may give a reason, nothing else."""
    if expected is None:
        assert decode_transition(_bytes(body)).to == body["to"]
        return
    with pytest.raises(Malformed) as caught:
        decode_transition(_bytes(body))
    assert [(error.pointer, error.code) for error in caught.value.errors] == [expected]


@each_entity
def test_patch_keeps_absent_null_and_value_apart(entity: Entity) -> None:
    """In a patch each own field may be absent, null or a value, and the three stay apart."""
    own = {
        k: v for k, v in fullest(entity.name).items() if k not in ("region", "legal_entity", "external_refs")
    }
    assert decode_patch(entity, b"{}") == {}
    assert decode_patch(entity, _bytes(dict.fromkeys(own))) == dict.fromkeys(own)
    assert decode_patch(entity, _bytes(own)) == own


@each_entity
@pytest.mark.parametrize(
    "name",
    [
        "id",
        "entity",
        "region",
        "legal_entity",
        "version",
        "state",
        "created_at",
        "updated_at",
        "external_refs",
    ],
)
def test_unwritable_in_a_patch(entity: Entity, name: str) -> None:
    """The envelope cannot be patched, and the answer says who sets it."""
    with pytest.raises(Malformed) as caught:
        decode_patch(entity, _bytes({name: "x"}))
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(f"/{name}", "unwritable")]


def test_decoding_leaves_no_trace() -> None:
    """Two creates share nothing: changing one document leaves the next as it should be."""
    body = _bytes(fullest("invoice"))
    first = decode_draft(BY_NAME["invoice"], body)
    expected = copy.deepcopy(first.document)
    first.document["lines"].clear()
    first.document["custom_fields"]["x"] = 1
    assert decode_draft(BY_NAME["invoice"], body).document == expected


def test_money_in_a_patch_is_held_to_its_currency_at_once() -> None:
    """A whole amount with too many decimals is refused before the record is looked at."""
    with pytest.raises(Malformed) as caught:
        decode_patch(CUSTOMER, _bytes({"credit_limit": {"amount": "1.5", "currency": "JPY"}}))
    assert [(e.pointer, e.code) for e in caught.value.errors] == [("/credit_limit/amount", "decimals")]
    assert decode_patch(CUSTOMER, _bytes({"credit_limit": {"amount": "1.5"}}))
