"""The demo's accountant: what it calls lost, doubled, and in order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gateway.cli.demo.checks import SYSTEMS, Books, _operation, first
from gateway.cli.demo.report import MINIMUM, verdict


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


@pytest.mark.parametrize(
    ("compares", "differ", "open_deliveries", "word"),
    [
        pytest.param(MINIMUM, 0, 0, "pass", id="enough, and nothing differs"),
        pytest.param(MINIMUM - 1, 0, 0, "inconclusive", id="too little evidence"),
        pytest.param(MINIMUM, 1, 0, "fail", id="one differs"),
        pytest.param(MINIMUM - 1, 1, 0, "fail", id="one differs, whatever the evidence"),
        pytest.param(MINIMUM, 0, 2, "fail", id="something is open"),
    ],
)
def test_too_little_evidence_is_never_a_pass(
    compares: int, differ: int, open_deliveries: int, word: str
) -> None:
    """Three words, and silence is none of them."""
    rule = {"entity": "customer", "region": "DACH", "stage": "live"}
    summary = {"compares": compares, "open_mismatches": differ, "consistency": 1.0}
    assert verdict(rule, summary, open_deliveries).verdict == word
    assert verdict(rule, None, 0).verdict == "inconclusive"
