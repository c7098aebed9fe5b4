"""Which delivery of a lane is next: the rule that keeps lanes in order."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway.ledger.journal import head_of

LATEST = frozenset({"customer"})


def _lane(entity: str, role: str, states: str) -> list[SimpleNamespace]:
    """One letter a delivery, lowest write first: r ready, R ready and sent before, s sending, u unknown, b blocked,
    p parked."""
    names = {"r": "ready", "R": "ready", "s": "sending", "u": "unknown", "b": "blocked", "p": "parked"}
    return [
        SimpleNamespace(seq=seq, entity=entity, role=role, state=names[letter], maybe_sent=int(letter == "R"))
        for seq, letter in enumerate(states, start=1)
    ]


@pytest.mark.parametrize(
    ("entity", "role", "states", "expected"),
    [
        pytest.param("customer", "authority", "", None, id="an empty lane"),
        pytest.param("customer", "authority", "rrr", 1, id="an authority: the lowest"),
        pytest.param("customer", "authority", "srr", None, id="an authority: one at a time"),
        pytest.param("customer", "authority", "urr", None, id="an unknown outcome holds the lane"),
        pytest.param("customer", "authority", "brr", None, id="held behind a move of authority"),
        pytest.param("customer", "authority", "prr", None, id="an authority's parked one blocks its lane"),
        pytest.param("invoice", "mirror", "rrr", 1, id="a strict mirror: the lowest"),
        pytest.param("invoice", "mirror", "prr", None, id="a strict mirror: parked blocks"),
        pytest.param("invoice", "mirror", "rbb", 1, id="a strict mirror: what the authority has"),
        pytest.param("customer", "mirror", "rrr", 3, id="master data: the newest"),
        pytest.param("customer", "mirror", "rrb", 2, id="master data: the newest that the authority has"),
        pytest.param("customer", "mirror", "prr", 3, id="master data: a newer state overtakes a parked one"),
        pytest.param("customer", "mirror", "pb", None, id="master data: nothing newer yet"),
        pytest.param("customer", "mirror", "urr", None, id="master data: an unknown outcome holds the lane"),
        pytest.param("customer", "mirror", "rsr", None, id="master data: one at a time"),
        pytest.param("customer", "mirror", "Rrr", 1, id="master data: what may still land is not overtaken"),
        pytest.param("customer", "mirror", "rRr", 2, id="master data: and overtakes what was never sent"),
    ],
)
def test_the_head_of_a_lane(entity: str, role: str, states: str, expected: int | None) -> None:
    """Authorities and billing documents go strictly in order; a mirror of master data takes the newest state, unless
    an older one may still land on top of it."""
    head = head_of(_lane(entity, role, states), LATEST)
    assert (None if head is None else head.seq) == expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param("rA", 1, id="the state goes before the patch"),
        pytest.param("rrA", 2, id="the newest state before it"),
        pytest.param("prA", 2, id="a newer state overtakes a parked one"),
        pytest.param("pA", None, id="a patch does not"),
        pytest.param("bA", None, id="nor one that has not come yet"),
        pytest.param("A", 1, id="nothing before it"),
        pytest.param("Ar", 1, id="the patch goes before a newer state"),
        pytest.param("pAr", None, id="which would skip the patch as well"),
        pytest.param("RA", 1, id="what may still land goes first"),
    ],
)
def test_only_a_state_overtakes_a_state(states: str, expected: int | None) -> None:
    """In a lane of master data with both roles, as a move of authority leaves it, what a mirror was to be sent is
    overtaken by a newer delivery of a mirror alone: the authority's (A) is a patch, which does not contain it."""
    lane = [
        _lane("customer", "authority", "r")[0] if letter == "A" else _lane("customer", "mirror", letter)[0]
        for letter in states
    ]
    for seq, one in enumerate(lane, start=1):
        one.seq = seq
    head = head_of(lane, LATEST)
    assert (None if head is None else head.seq) == expected
