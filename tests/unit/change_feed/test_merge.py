"""What was edited, and what becomes of it: tables and properties."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical.merge import merge_patch
from gateway.change_feed.merge import (
    EDITED_IN_BOTH,
    NOT_OWNED,
    RACED,
    Contested,
    all_contested,
    edits_of,
    merged,
    patch_to,
    with_edits,
)
from gateway.routing.ownership import Ownership, Ownerships
from gateway.routing.stage import System

L, C = System.LEGACY, System.CLOUD
FIELDS = ("phone", "email", "name", "credit_limit", "tax_id")
MAPPED = frozenset(FIELDS)


def found(now: dict[str, Any], base: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    given_: dict[str, Any] = {
        "should": base or {},
        "mapped": MAPPED,
        "written": frozenset(),
        "ours": False,
        **more,
    }
    return edits_of(now=now, base=base, **given_)


@pytest.mark.parametrize(
    ("now", "base", "more", "expected"),
    [
        pytest.param({"phone": "1"}, {"phone": "1"}, {}, {}, id="unchanged"),
        pytest.param({"phone": "2"}, {"phone": "1"}, {}, {"phone": "2"}, id="changed"),
        pytest.param({}, {"phone": "1"}, {}, {"phone": None}, id="emptied"),
        pytest.param({"phone": ""}, {}, {}, {}, id="an empty text says nothing"),
        pytest.param({"phone": "2"}, {"phone": "1"}, {"should": {"phone": "2"}}, {}, id="as it ought to be by now"),
        pytest.param({"phone": "1 "}, {"phone": "0"},
                     {"written": {"phone"}, "ours": True, "should": {"phone": "1"}}, {},
                     id="what the system made of our value"),
        pytest.param({"phone": "2"}, {"phone": "0"}, {"written": {"phone"}, "should": {"phone": "1"}}, {"phone": "2"},
                     id="edited after our write"),
        pytest.param({"phone": "1", "email": "x"}, {"phone": "0", "email": "y"},
                     {"written": {"phone"}, "ours": True, "should": {"phone": "1", "email": "y"}}, {"email": "x"},
                     id="edited before our write of another field"),
        pytest.param({"phone": "2"}, None, {"ours": True, "should": {"phone": "1"}}, {}, id="never seen, and ours"),
        pytest.param({"phone": "2"}, None, {"should": {"phone": "1"}}, {"phone": "2"}, id="never seen, and not ours"),
        pytest.param({"website": "2"}, {"website": "1"}, {}, {}, id="a field that the product does not hold"),
    ],
)  # fmt: skip
def test_what_was_edited(
    now: dict[str, Any], base: dict[str, Any] | None, more: dict[str, Any], expected: dict[str, Any]
) -> None:
    """An edit is what differs from what the system showed last, our own writes left out."""
    assert found(now, base, **more) == expected


def owners(**fields: Ownership) -> Ownerships:
    return Ownerships(entity="customer", fields=fields)


BOTH, CASE = Ownership(owner="both"), Ownership()
REVERT, ACCEPT = Ownership(on_conflict="revert"), Ownership(on_conflict="accept")


@pytest.mark.parametrize(
    ("rule", "legacy", "cloud", "expected"),
    [
        pytest.param(CASE, "2", None, ("carry", L), id="the owner's"),
        pytest.param(CASE, None, "2", ("contested", C, NOT_OWNED), id="not the owner's"),
        pytest.param(REVERT, None, "2", ("revert", C), id="put back"),
        pytest.param(ACCEPT, None, "2", ("carry", C), id="accepted"),
        pytest.param(BOTH, None, "2", ("carry", C), id="owned by both"),
        pytest.param(Ownership(owner="cloud"), None, "2", ("carry", C), id="the mirror owns it"),
        pytest.param(
            Ownership(owner="cloud"), "2", None, ("contested", L, NOT_OWNED), id="the authority does not"
        ),
        pytest.param(BOTH, "2", "2", ("settled",), id="edited alike"),
        pytest.param(BOTH, "2", "3", ("contested", C, EDITED_IN_BOTH), id="edited in both"),
        pytest.param(REVERT, "2", "3", ("carry", L), id="edited in both, put back"),
        pytest.param(ACCEPT, "2", "3", ("carry", C), id="edited in both, accepted"),
    ],
)
def test_what_becomes_of_an_edit(
    rule: Ownership, legacy: str | None, cloud: str | None, expected: Any
) -> None:
    """The owner's edit is carried over; another one as its rule says, by default to a person."""
    edits = {
        system: {"phone": value} if value is not None else {} for system, value in ((L, legacy), (C, cloud))
    }
    done = merged(owners(phone=rule), L, edits)
    match expected:
        case ("carry", system):
            assert (done.carry, done.revert, done.contested) == ({system: edits[system]}, {}, ())
        case ("revert", system):
            assert (done.carry, done.revert, done.contested) == ({}, {system: {"phone"}}, ())
        case ("contested", system, why):
            assert (done.carry, done.contested) == ({}, (Contested(field="phone", system=system, why=why),))
        case _:
            assert (done.carry, done.contested, done.settled) == ({}, (), {"phone"})


@pytest.mark.parametrize("field", ["credit_limit", "tax_id"])
@pytest.mark.parametrize("rule", [ACCEPT, REVERT, Ownership(owner="both", on_conflict="accept")], ids=str)
def test_the_last_writer_never_wins_on_money_and_tax(field: str, rule: Ownership) -> None:
    """Edited in both systems, a person decides it, whatever the rule says."""
    done = merged(owners(**{field: rule}), L, {L: {field: "2"}, C: {field: "3"}})
    assert [one.field for one in done.contested] == [field]
    assert not done.carry


def test_an_edit_that_an_accepted_write_meets_is_held() -> None:
    """Whoever owns the field: neither the write nor the edit is dropped unseen."""
    done = merged(owners(phone=BOTH), L, {C: {"phone": "2", "email": "x"}}, {"phone"})
    assert [(one.field, one.why) for one in done.contested] == [("email", NOT_OWNED), ("phone", RACED)]


_values = st.one_of(st.none(), st.text(max_size=2))
_edits = st.dictionaries(st.sampled_from(FIELDS), _values)
_rules = st.dictionaries(
    st.sampled_from((*FIELDS, "*")),
    st.builds(
        Ownership,
        owner=st.sampled_from(("authority", "legacy", "cloud", "both")),
        on_conflict=st.sampled_from(("revert", "accept", "case")),
    ),
)


@given(rules=_rules, legacy=_edits, cloud=_edits, authority=st.sampled_from(System))
def test_every_edit_has_exactly_one_fate(
    rules: dict[str, Ownership], legacy: dict[str, Any], cloud: dict[str, Any], authority: System
) -> None:
    """No field is lost, none has two fates, none is carried to where it was made with another value, and what both
    edited of money or tax is never carried."""
    edits = {L: legacy, C: cloud}
    held = Ownerships(entity="customer", fields=rules)
    done = merged(held, authority, edits)
    fates = [
        *(name for each in done.carry.values() for name in each),
        *(name for each in done.revert.values() for name in each),
        *(one.field for one in done.contested),
        *done.settled,
    ]
    assert sorted(fates) == sorted({*legacy, *cloud})
    for system, each in done.carry.items():
        for name, value in each.items():
            assert edits[system][name] == value
            both = name in legacy and name in cloud
            assert not (both and held.protected(name))
    for system, names in done.revert.items():
        assert all(not held.of(name).owned_by(system, authority) for name in names)
    assert {one.field for one in all_contested(edits, authority, "x").contested} == {*legacy, *cloud}


_json = st.recursive(
    st.one_of(st.text(max_size=2), st.integers(), st.lists(st.integers(), max_size=2)),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(before=_json, after=_json)
def test_a_patch_leads_where_it_is_to_lead(before: Any, after: Any) -> None:
    """RFC 7396 applied to the one gives the other."""
    assert merge_patch(before, patch_to(before, after)) == after


@given(image=_edits, edits=_edits)
def test_a_document_after_its_edits(image: dict[str, Any], edits: dict[str, Any]) -> None:
    """Edited fields are as edited, the others as they were, and what is empty is not there."""
    after = with_edits(image, edits)
    for name in FIELDS:
        assert after.get(name) == (edits[name] if name in edits else image.get(name))
