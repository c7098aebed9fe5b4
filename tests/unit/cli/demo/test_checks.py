"""The demo's accountant: what it calls lost, doubled, and in order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gateway.cli.demo.checks import SYSTEMS, Books, _operation, first
from gateway.cli.demo.report import verdict


def _told(
    *deliveries: tuple[str, str, str], state: str = "settled", stage: str = "dual_write", seq: int = 1
) -> Any:
    return {
        "id": "op_1", "marker": "T1", "state": state, "stage": stage, "seq": seq, "authority": "legacy",
        "deliveries": [{"system": system, "role": role, "state": at} for system, role, at in deliveries],
    }  # fmt: skip


BOTH = ("legacy", "authority", "applied"), ("cloud", "mirror", "applied")
CASES = [
    pytest.param(_told(*BOTH), (1, 1), 1, "", id="both have it once"),
    pytest.param(_told(*BOTH), (1, 0), 1, "lost", id="the mirror never got it"),
    pytest.param(_told(*BOTH), (0, 1), 1, "lost", id="the authority never got it"),
    pytest.param(_told(*BOTH), (2, 1), 1, "doubled", id="the authority got it twice"),
    pytest.param(_told(BOTH[0]), (1, 1), 1, "doubled", id="an ERP that should not have it has it"),
    pytest.param(
        _told(BOTH[0], ("cloud", "mirror", "superseded")), (1, 0), 2, "", id="overtaken by a newer one"
    ),
    pytest.param(
        _told(BOTH[0], ("cloud", "mirror", "superseded")), (1, 0), 1, "lost", id="overtaken by nothing"
    ),
    pytest.param(_told(BOTH[0], ("cloud", "mirror", "parked")), (1, 0), 1, "unsettled", id="parked"),
    pytest.param(_told(*BOTH, state="unresolved"), (1, 1), 1, "unsettled", id="nobody knows"),
    pytest.param(
        _told(BOTH[0], ("cloud", "mirror", "skipped"), stage="legacy_only"),
        (1, 0),
        1,
        "",
        id="released without mirror",
    ),
    pytest.param(
        _told(BOTH[0], ("cloud", "mirror", "skipped")), (1, 0), 1, "unsettled", id="skipped for no reason"
    ),
]


@pytest.mark.parametrize(("operation", "effects", "newest", "complaint"), CASES)
def test_applied_means_once_and_anything_else_never(
    operation: Any, effects: tuple[int, int], newest: int, complaint: str
) -> None:
    """The journal's word is held against the ERPs' own; the demo can fail."""
    books = Books(applied=dict.fromkeys(SYSTEMS, 0))
    seen = {system: Counter({"T1": times}) for system, times in zip(SYSTEMS, effects, strict=True)}
    _operation(books, operation, newest, seen)
    found = {name for name in ("lost", "doubled", "unsettled") if getattr(books, name)}
    assert found == ({complaint} if complaint else set())


def test_a_line_shows_the_first_and_counts_the_rest() -> None:
    """A thousand findings are still one line."""
    assert first(["a", "b"]) == "a; b"
    assert first(list("abcdef")) == "a; b; c; and 3 more"


def test_a_slice_is_told_with_what_stands_against_it() -> None:
    """The word is that of the readiness report; what fails is named, what lacks evidence is counted."""
    gates = [
        {"title": "Open cases", "verdict": "fail"},
        {"title": "Comparisons made", "verdict": "inconclusive"},
        {"title": "Lag of the mirror", "verdict": "pass"},
    ]
    report = {"entity": "customer", "region": "DACH", "stage": "live", "verdict": "fail", "gates": gates}
    told = verdict(report, {"compares": 20, "open_mismatches": 1, "consistency": 0.95})
    assert (told.verdict, told.why) == ("fail", "open cases; too little evidence for 1 of 3 gates")
    assert (told.compares, told.consistent, told.differ_now) == (20, "95.0%", 1)
    whole = verdict({**report, "verdict": "pass", "gates": gates[2:]}, None)
    assert (whole.verdict, whole.why, whole.compares) == ("pass", "every gate holds", 0)
