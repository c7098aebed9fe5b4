"""The tables of the exception queue: what can go wrong, and how it may be decided."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest

from gateway.canonical import BY_NAME
from gateway.cases.kinds import (
    ABOUT_PLANS,
    EDITS,
    KINDS,
    RESOLUTIONS,
    STAKES,
    Kind,
    Resolution,
    kind_of,
    needs_second,
    offered,
    stake,
)
from gateway.ledger.states import DELIVERY_OPEN, DeliveryState

ROLES = ("authority", "mirror")


def test_every_kind_and_every_resolution_has_a_row() -> None:
    """The tables are total."""
    assert set(KINDS) == set(Kind)
    assert set(RESOLUTIONS) == set(Resolution)


#: Kinds that no parked delivery is of, and kinds that only a mirror's delivery is of.
_BY_HAND = {
    *(Kind.REFUSED_AFTER_ACCEPTANCE, Kind.GUARD, Kind.EDIT_REFUSED, Kind.REPAIR_BY_PERSON),
    *EDITS,
    *ABOUT_PLANS,
}
_MIRRORS_ONLY = {Kind.PARKED_DELIVERY, Kind.REFERENCE_MISSING, Kind.AMBIGUOUS_MATCH}


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        (kind, role)
        for kind, role in product(Kind, ROLES)
        if kind not in _BY_HAND and not (kind in _MIRRORS_ONLY and role == "authority")
    ],
)
def test_a_delivery_that_waits_can_be_decided(kind: Kind, role: str) -> None:
    """Whatever a parked delivery is a case of, somebody can do something about it, and it cannot be dismissed."""
    found = offered(kind, role=role, delivery_state="parked")
    assert found
    assert Resolution.DISMISS not in found
    assert set(found) <= set(KINDS[kind].offers)


@pytest.mark.parametrize("state", sorted(DELIVERY_OPEN - {DeliveryState.PARKED}))
@pytest.mark.parametrize("kind", Kind)
def test_what_is_under_way_is_decided_by_nobody(kind: Kind, state: DeliveryState) -> None:
    """While the ledger works on a delivery, a person would only get in its way."""
    assert [offered(kind, role=role, delivery_state=state.value) for role in ROLES] == [(), ()]


def test_what_the_caller_was_told_is_not_refused_afterwards() -> None:
    """A mirror's delivery is of a write that its caller holds as done: it is never resolved as refused."""
    for kind in Kind:
        assert Resolution.NOT_APPLIED_REFUSE not in offered(kind, role="mirror", delivery_state="parked")


@pytest.mark.parametrize(
    ("code", "role", "expected"),
    [
        ("collision", "authority", Kind.COLLISION),
        ("duplicate_effect", "mirror", Kind.DUPLICATE_EFFECT),
        ("poison", "mirror", Kind.POISON),
        ("reference_missing", "mirror", Kind.REFERENCE_MISSING),
        ("unresolved", "mirror", Kind.UNKNOWN_OUTCOME),
        ("VAT_MISSING", "mirror", Kind.PARKED_DELIVERY),
        (None, "authority", Kind.UNKNOWN_OUTCOME),
    ],
)
def test_the_code_says_the_kind(code: str | None, role: str, expected: Kind) -> None:
    """Our own codes name a kind; a system's own refusal parks a mirror's delivery."""
    assert kind_of(code, role) is expected


def test_the_stake_is_a_field_of_the_entity() -> None:
    """The table names fields that hold money."""
    for entity, name in STAKES.items():
        assert name in BY_NAME[entity].fields.__struct_fields__
    assert stake("payment", {"amount": {"amount": "-12.50", "currency": "EUR"}}) == (Decimal("-12.50"), "EUR")


@pytest.mark.parametrize(
    ("entity", "document"),
    [
        ("customer", {"total": {"amount": "1", "currency": "EUR"}}),
        ("invoice", {"number": "R-1"}),
        ("invoice", None),
    ],
)
def test_without_an_amount_nothing_is_at_stake(entity: str, document: dict[str, object] | None) -> None:
    """No amount is none, and never zero."""
    assert stake(entity, document) is None


def test_two_persons_only_where_it_is_about_money() -> None:
    """A customer is sent again by one person, an invoice by two; what only looks needs no second."""
    assert needs_second(Resolution.NOT_APPLIED_RESEND, "invoice")
    assert not needs_second(Resolution.NOT_APPLIED_RESEND, "customer")
    assert not needs_second(Resolution.APPLIED, "invoice")


@pytest.mark.parametrize("kind", sorted(EDITS))
def test_a_held_edit_can_be_carried_over_or_put_back(kind: Kind) -> None:
    """It waits in no delivery, so whatever the ledger does, its decisions fit."""
    assert offered(kind, role=None, delivery_state=None) == (
        Resolution.CARRY_OVER,
        Resolution.REVERT,
        Resolution.DISMISS,
    )
    assert needs_second(Resolution.CARRY_OVER, "payment")
    assert not needs_second(Resolution.CARRY_OVER, "customer")


@pytest.mark.parametrize("kind", sorted(ABOUT_PLANS))
def test_a_case_about_a_plan_holds_nothing_up(kind: Kind) -> None:
    """No delivery waits in it, so a person may only close it, alone, whatever the entity."""
    assert offered(kind, role=None, delivery_state=None) == (Resolution.DISMISS,)
    assert not any(needs_second(Resolution.DISMISS, entity) for entity in STAKES)
