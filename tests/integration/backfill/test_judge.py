"""The judge of the campaign finds what is planted, and nothing in what is lawful."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.backfill.judge import Judged, account, judge


def effect(
    key: str, action: str, number: str, value: Any, *, record: str | None = None, system: str = "cloud"
) -> Any:
    names = ("TimesheetRef", "Hours") if system == "cloud" else ("Stundenzettel", "Stunden")
    main = {names[0]: number, names[1]: value, "Status": "Draft"}
    return {"key": key, "action": action, "external_id": record, "main": main}


#: A shared timesheet, one entry that was there before, one that a live write has overtaken.
LEGACY = [
    effect("L1", "direct_edit", "TS-1", "0,10", system="legacy"),
    effect("L2", "direct_edit", "TS-1", "0,10", system="legacy"),
    effect("L3", "direct_edit", "TE-3", "0,10", system="legacy"),
    effect("L1", "update", "TS-1", "0,11", system="legacy"),
]
CLOUD = [
    effect("C3", "direct_edit", "TE-3", "0.10"),
    effect("C2", "create", "TS-1", "0.10", record="tim_2"),
    effect("C1", "create", "TS-1", "0.10", record="tim_1"),
    effect("C1", "update", "TS-1", "0.11", record="tim_1"),
]


def judged(cloud: list[Any], legacy: list[Any] = LEGACY) -> Judged:
    wanted = {"tim_1": 11}
    return judge("time_entry", account(legacy), account(cloud), by_hand={"C3"}, wanted=wanted)


def test_what_is_lawful_has_no_fault() -> None:
    """Each record once, nothing written to what was there, the last word in place."""
    assert judged(CLOUD) == Judged(overwritten=[], duplicates=[], missing=[])


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        pytest.param(
            [effect("C3", "update", "TE-3", "0.10")], "overwritten", "made by hand", id="written to"
        ),
        pytest.param(
            [
                effect("C1", "update", "TS-1", "0.10", record="tim_1"),
                effect("C1", "update", "TS-1", "0.11", record="tim_1"),
            ],
            "overwritten",
            "went back",
            id="back and forth",
        ),
        pytest.param(
            [effect("C1", "update", "TS-1", "0.10", record="tim_1")], "overwritten", "is there", id="old last"
        ),
        pytest.param(
            [effect("C2", "update", "TS-1", "0.30", record="tim_2")], "overwritten", "in legacy", id="parted"
        ),
        pytest.param(
            [effect("C9", "create", "TE-3", "0.10", record="tim_3")], "duplicates", "TE-3", id="by number"
        ),
        pytest.param(
            [effect("C9", "create", "TE-9", "0.10", record="tim_9")], "duplicates", "TE-9", id="of nothing"
        ),
        pytest.param(
            [effect("C9", "create", "TS-2", "0.11", record="tim_1")], "duplicates", "2 times", id="by id"
        ),
    ],
)
def test_a_planted_fault_is_found(more: list[Any], kind: str, words: str) -> None:
    """Each kind of fault is named as what it is."""
    assert any(words in told for told in getattr(judged([*CLOUD, *more]), kind))


def test_what_is_not_there_is_missing() -> None:
    """Also of a number that several share."""
    for left_out in ("C2", "C3"):
        found = judged([one for one in CLOUD if one["key"] != left_out])
        assert found.missing
