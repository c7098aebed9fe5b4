"""The differ finds what parts, in the right class, and nothing else."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from gateway.canonical import BY_NAME
from gateway.compare.differ import DECLARED_LOSS, OWN_NUMBERING, compared_values, diff
from gateway.compare.difference import DifferenceClass as C
from gateway.compare.difference import Stake, unresolved

INVOICE = BY_NAME["invoice"]
CUSTOMER = BY_NAME["customer"]
TIME = BY_NAME["time_entry"]
CONTRACT = BY_NAME["contract"]


def money(amount: str, currency: str = "EUR") -> dict[str, str]:
    return {"amount": amount, "currency": currency}


def invoice(**changes: Any) -> dict[str, Any]:
    lines = [
        {
            "number": n,
            "description": f"Work {n}",
            "kind": "time",
            "quantity": "8",
            "amount": money(f"{n}00.00"),
        }
        for n in (1, 2, 3)
    ]
    document = {
        "customer_id": "cus_1",
        "currency": "EUR",
        "issue_date": "2026-05-31",
        "number": "R-1",
        "state": "ready",
        "total": money("600.00"),
        "lines": lines,
    }
    return document | changes


def customer(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Nordlicht Beratung GmbH",
        "email": "office@example.com",
        "currency": "EUR",
        "payment_terms_days": 30,
        "billing_address": {"line1": "Hafenweg 1", "country": "DE"},
        "state": "active",
    } | changes


@pytest.mark.parametrize(
    ("entity", "control", "change", "path", "kind"),
    [
        pytest.param("customer", customer(), {"name": None}, "name", C.MISSING, id="missing"),
        pytest.param(
            "customer", customer(), {"website": "https://a.example"}, "website", C.EXTRA, id="extra"
        ),
        pytest.param(
            "customer", customer(), {"payment_terms_days": "30"}, "payment_terms_days", C.TYPE, id="type"
        ),
        pytest.param(
            "customer",
            customer(),
            {"payment_terms_days": True},
            "payment_terms_days",
            C.TYPE,
            id="true is not 1",
        ),
        pytest.param(
            "customer", customer(), {"payment_terms_days": 14}, "payment_terms_days", C.VALUE, id="value"
        ),
        pytest.param(
            "customer", customer(), {"name": "NORDLICHT Beratung GmbH"}, "name", C.CASE_OR_SPACE, id="case"
        ),
        pytest.param(
            "customer",
            customer(),
            {"name": "Nordlicht Beratung  GmbH "},
            "name",
            C.CASE_OR_SPACE,
            id="blanks",
        ),
        pytest.param("customer", customer(), {"state": "A"}, "state", C.CODE_MAPPING, id="unknown code"),
        pytest.param("customer", customer(), {"state": "blocked"}, "state", C.VALUE, id="another known code"),
        pytest.param(
            "customer",
            customer(),
            {"billing_address": {"line1": "Hafenweg 2", "country": "DE"}},
            "billing_address.line1",
            C.VALUE,
            id="nested",
        ),
        pytest.param(
            "customer",
            customer(),
            {"billing_address": None},
            "billing_address",
            C.MISSING,
            id="nested missing",
        ),
        pytest.param(
            "customer",
            customer(),
            {"billing_address": "Hafenweg"},
            "billing_address",
            C.TYPE,
            id="nested type",
        ),
        pytest.param(
            "invoice",
            invoice(total=money("600.10")),
            {"total": money("600.11")},
            "total",
            C.AMOUNT,
            id="a cent",
        ),
        pytest.param("invoice", invoice(), {"total": money("601.00")}, "total", C.AMOUNT, id="a unit"),
        pytest.param(
            "invoice", invoice(), {"total": money("600.00", "USD")}, "total", C.CURRENCY, id="currency"
        ),
        pytest.param("invoice", invoice(), {"total": "600.00"}, "total", C.TYPE, id="money as text"),
        pytest.param(
            "invoice",
            invoice(total=money("600.49")),
            {"total": money("600")},
            "total",
            C.ROUNDING,
            id="rounded",
        ),
        pytest.param(
            "invoice",
            invoice(total=money("600.51")),
            {"total": money("600.00")},
            "total",
            C.AMOUNT,
            id="cut off",
        ),
        pytest.param(
            "invoice", invoice(), {"total": money("600.004")}, "total", C.ROUNDING, id="below a minor unit"
        ),
        pytest.param(
            "invoice",
            invoice(total=money("0.40")),
            {"total": money("0")},
            "total",
            C.AMOUNT,
            id="nothing is no rounding",
        ),
        pytest.param("invoice", invoice(), {"issue_date": "2026-06-01"}, "issue_date", C.VALUE, id="day"),
        pytest.param("invoice", invoice(), {"issue_date": "31.05.2026"}, "issue_date", C.TYPE, id="no day"),
        pytest.param(
            "invoice",
            invoice(),
            {"customer_id": unresolved("K0815")},
            "customer_id",
            C.REFERENCE_UNRESOLVED,
            id="unresolved",
        ),
        pytest.param(
            "invoice", invoice(), {"customer_id": "cus_2"}, "customer_id", C.VALUE, id="another reference"
        ),
        pytest.param("invoice", invoice(), {"lines": "three"}, "lines", C.TYPE, id="rows type"),
    ],
)
def test_each_class(entity: str, control: dict[str, Any], change: dict[str, Any], path: str, kind: C) -> None:
    """One change is one difference, at its path and in its class, whichever side shows it."""
    candidate = control | change
    (found,) = diff(BY_NAME[entity], control, candidate).differences
    assert (found.path, found.kind) == (path, kind)
    if path in change:
        assert (found.control, found.candidate) == (control.get(path), change[path])
    (mirrored,) = diff(BY_NAME[entity], candidate, control).differences
    turned = {C.MISSING: C.EXTRA, C.EXTRA: C.MISSING}
    assert (mirrored.path, mirrored.kind) == (path, turned.get(kind, kind))


def test_a_cent_in_ten_billion_is_found() -> None:
    """Money is exact at any size: 0.01 in 9,999,999,999.99 is a difference of exactly 0.01."""
    left, right = invoice(total=money("9999999999.99")), invoice(total=money("9999999999.98"))
    (found,) = diff(INVOICE, left, right).differences
    assert found.stake == Stake(amount=Decimal("0.01"), currency="EUR")


@pytest.mark.parametrize(
    ("entity", "left", "right"),
    [
        pytest.param("invoice", invoice(), invoice(total=money("600")), id="scale of an amount"),
        pytest.param("invoice", invoice(), invoice(total=money("600.0000")), id="longer scale"),
        pytest.param("time_entry", {"hours": "8.5"}, {"hours": "8.50"}, id="scale of hours"),
        pytest.param(
            "customer", customer(), customer(email="Office@Example.com"), id="case that the rule allows"
        ),
        pytest.param("customer", customer(), customer(website=None), id="null is absent"),
        pytest.param("customer", customer(), customer(website=""), id="blank text is absent"),
        pytest.param(
            "customer",
            customer(),
            customer(billing_address={"line1": "Hafenweg 1", "country": "DE", "city": None}),
            id="null member",
        ),
        pytest.param("contract", {"milestones": []}, {}, id="no rows"),
        pytest.param(
            "customer", customer(name="Café"), customer(name="Cafe\u0301"), id="composed and decomposed"
        ),
        pytest.param(
            "invoice", invoice(), invoice(id="inv_1", version=3, external_refs={"legacy": "1"}), id="envelope"
        ),
    ],
)
def test_what_is_the_same(entity: str, left: dict[str, Any], right: dict[str, Any]) -> None:
    """Two spellings of one value are equal, and nothing of it is left uncompared."""
    found = diff(BY_NAME[entity], left, right)
    assert found.differences == ()
    assert found.not_compared == ()


def test_rows_pair_by_their_key() -> None:
    """A row is found by its key wherever it stands; what differs is told with the key, once."""
    other = invoice()
    other["lines"] = [copy.deepcopy(line) for line in reversed(other["lines"])]
    other["lines"][1]["amount"] = money("250.00")
    (found,) = diff(INVOICE, invoice(), other).differences
    assert found.path == "lines[number=2].amount"
    assert found.field == "lines[].amount"
    assert found.stake == Stake(amount=Decimal("50.00"), currency="EUR")


def test_a_missing_row_puts_its_amount_at_stake() -> None:
    """A row without partner is one difference with the row's money, missing on one side and extra from the
    other."""
    other = invoice()
    other["lines"] = other["lines"][:2]
    (found,) = diff(INVOICE, invoice(), other).differences
    assert (found.path, found.field, found.kind) == ("lines[number=3]", "lines[]", C.MISSING)
    assert found.stake == Stake(amount=Decimal("300.00"), currency="EUR")
    (turned,) = diff(INVOICE, other, invoice()).differences
    assert (turned.kind, turned.stake) == (C.EXTRA, found.stake)


def test_rows_of_one_key_pair_equal_ones_first() -> None:
    """Two rows of the same key in another order are no difference; a third one is exactly one."""
    rows = [
        {"due_date": "2026-01-31", "amount": money("1.00")},
        {"due_date": "2026-01-31", "amount": money("2.00")},
    ]
    left, right = {"billing_schedule": rows}, {"billing_schedule": rows[::-1]}
    assert diff(CONTRACT, left, right).differences == ()
    right = {"billing_schedule": [*rows[::-1], {"due_date": "2026-01-31", "amount": money("3.00")}]}
    (found,) = diff(CONTRACT, left, right).differences
    assert (found.path, found.kind) == ("billing_schedule[due_date=2026-01-31#2]", C.EXTRA)


def test_a_retyped_key_is_one_difference() -> None:
    """A row whose key differs in case only is the same row with a difference in its key."""
    left = {"milestones": [{"code": "M1", "amount": money("5.00")}]}
    right = {"milestones": [{"code": "m1", "amount": money("5.00")}]}
    (found,) = diff(CONTRACT, left, right).differences
    assert (found.path, found.kind) == ("milestones[code=M1].code", C.CASE_OR_SPACE)


def test_silence_is_not_agreement() -> None:
    """What no rule names, or one side does not map, is not compared, and is said, equal or not."""
    left = customer(custom_fields={"tier": "gold"}, shoe_size=42, fax=None)
    left["billing_address"]["floor"] = "3"
    found = diff(CUSTOMER, left, copy.deepcopy(left), not_mapped=frozenset({"email", "website"}))
    assert found.differences == ()
    assert found.not_compared == ("billing_address.floor", "custom_fields", "email", "shoe_size")
    assert found.compared == 5


def test_a_field_that_one_side_does_not_map_is_never_a_difference() -> None:
    """A product without the field cannot be wrong about it; the field is not compared instead."""
    found = diff(CUSTOMER, customer(), customer(email=None), not_mapped=frozenset({"email"}))
    assert found.differences == ()
    assert found.not_compared == ("email",)


def shorter(fields: dict[str, Any]) -> dict[str, Any]:
    """A product that keeps ten characters of a name, and no kind and no more than eight characters in a
    line."""
    out = dict(fields)
    if out.get("name"):
        out["name"] = out["name"][:10]
    if "lines" in out:
        out["lines"] = [
            {key: value for key, value in line.items() if key != "kind"}
            | {"description": line["description"][:8]}
            for line in out["lines"]
        ]
    return out


@pytest.mark.parametrize("lossy", ["control", "candidate"])
def test_a_declared_loss_explains(lossy: str) -> None:
    """A value that is exactly what its product makes of the other side's is explained, whichever side it
    is."""
    whole, cut = customer(), customer(name="Nordlicht ")
    sides = (cut, whole) if lossy == "control" else (whole, cut)
    (found,) = diff(CUSTOMER, *sides, **{f"expect_{lossy}": shorter}).differences
    assert (found.path, found.explained) == ("name", DECLARED_LOSS)


def test_a_declared_loss_explains_nothing_else() -> None:
    """Another short name is a difference, and one explained place does not excuse its neighbour in the same
    list."""
    (found,) = diff(CUSTOMER, customer(), customer(name="Nordlucht "), expect_candidate=shorter).open
    assert found.path == "name"
    left = invoice()
    left["lines"][0]["description"] = "A longer description"
    right = copy.deepcopy(left)
    right["lines"] = shorter({"lines": right["lines"]})["lines"]
    right["lines"][1]["amount"] = money("200.01")
    found = diff(INVOICE, left, right, expect_candidate=shorter)
    assert [difference.path for difference in found.open] == ["lines[number=2].amount"]
    assert {difference.path for difference in found.differences if difference.explained} == {
        "lines[number=1].description",
        "lines[number=1].kind",
        "lines[number=2].kind",
        "lines[number=3].kind",
    }


def test_two_unresolved_references_are_never_equal() -> None:
    """Two systems may use one native id for two things: the same unknown id on both sides is no agreement."""
    one = invoice(customer_id=unresolved("4711"))
    one["lines"][1]["project_id"] = unresolved("4711")
    found = diff(INVOICE, one, copy.deepcopy(one)).differences
    assert [(each.path, each.kind) for each in found] == [
        ("customer_id", C.REFERENCE_UNRESOLVED),
        ("lines[number=2].project_id", C.REFERENCE_UNRESOLVED),
    ]


def test_an_unresolved_reference_is_no_declared_loss() -> None:
    """A product that would not keep the reference does not explain it: what leads nowhere was never given to it."""

    def forgets(_: dict[str, Any]) -> dict[str, Any]:
        return {}

    found = diff(
        CUSTOMER, customer(), customer(parent_id=unresolved("4711")), expect_control=forgets, expect_candidate=forgets
    )
    assert [(each.path, each.kind) for each in found.open] == [("parent_id", C.REFERENCE_UNRESOLVED)]


def test_true_is_not_one_inside_a_row() -> None:
    """A type cannot hide behind an equal sign, wherever it stands."""
    project = BY_NAME["project"]
    left, right = {"tasks": [{"code": "A", "billable": True}]}, {"tasks": [{"code": "A", "billable": 1}]}
    (found,) = diff(project, left, right).differences
    assert (found.path, found.kind) == ("tasks[code=A].billable", C.TYPE)


def test_own_numbers_are_explained() -> None:
    """Where a product gives out numbers itself, another number is explained; where none does, it is a
    difference."""
    left, right = invoice(), invoice(number="90000017")
    (found,) = diff(INVOICE, left, right, own_numbers=frozenset({"number"})).differences
    assert found.explained == OWN_NUMBERING
    (found,) = diff(INVOICE, left, right).open
    assert found.kind is C.VALUE


def test_a_personal_member_makes_its_container_personal() -> None:
    """A whole value that holds something personal is personal itself."""
    resource = BY_NAME["resource"]
    found = diff(resource, {"name": "A", "email": "a@example.com"}, {"name": "B", "email": "b@example.com"})
    assert {difference.path: difference.personal for difference in found.differences}["email"] is True


def test_two_readings_of_an_unchanged_record_are_the_same_bytes() -> None:
    """Order of keys, order of keyed rows, nulls and fields out of scope do not make a record look changed."""
    one = invoice(custom_fields={"a": 1})
    two = dict(reversed(list(invoice(due_date=None).items())))
    two["lines"] = two["lines"][::-1]
    assert compared_values(INVOICE, one) == compared_values(INVOICE, two)
    assert compared_values(INVOICE, one) != compared_values(INVOICE, invoice(total=money("600.01")))
