"""The checker of histories has to find what is wrong, or its silence says nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.integration.ledger.history import Line, epoch_faults, faults


def _line(marker: str, system: str = "legacy", **changed: Any) -> Line:
    row: dict[str, Any] = {
        "operation_id": f"op_{marker}",
        "record_id": "cus_1",
        "system": system,
        "role": "authority" if system == "legacy" else "mirror",
        "seq": 1,
        "state": "applied",
        "epoch": 1,
        "marker": marker,
        "authority": "legacy",
    }
    return Line(SimpleNamespace(**{**row, **changed}))


def _effects(legacy: str = "", cloud: str = "") -> dict[str, list[dict[str, Any]]]:
    """One letter an effect, its marker; ``-`` passes time, ``.`` is an effect of somebody else."""
    out: dict[str, list[dict[str, Any]]] = {}
    for system, text in (("legacy", legacy), ("cloud", cloud)):
        out[system] = [
            {"seq": at, "time": at, "marker": None if letter == "." else letter}
            for at, letter in enumerate(text, start=1)
            if letter != "-"
        ]
    return out


def test_a_good_history() -> None:
    """What keeps the laws is not complained about."""
    lines = [_line("a"), _line("a", "cloud"), _line("b", seq=2), _line("b", "cloud", seq=2)]
    assert faults(lines, _effects("ab.", "--ab")) == []
    assert epoch_faults(lines, _effects("ab.", "--ab")) == []


@pytest.mark.parametrize(
    ("lines", "effects", "word"),
    [
        pytest.param([_line("a")], _effects(""), "lost", id="lost"),
        pytest.param([_line("a")], _effects("aa"), "doubled", id="doubled"),
        pytest.param([_line("a", state="unknown")], _effects("aa"), "doubled", id="doubled, and not known"),
        pytest.param([_line("a", state="rejected")], _effects("a"), "phantom", id="refused, and done"),
        pytest.param([_line("a", state="superseded")], _effects("a"), "phantom", id="overtaken, and done"),
        pytest.param([], _effects("a"), "phantom", id="nobody's"),
        pytest.param([_line("a"), _line("b", seq=2)], _effects("ba"), "reordered", id="out of order"),
        pytest.param([_line("a", state="sending")], _effects("a"), "limbo", id="without an end"),
        pytest.param(
            [_line("a"), _line("a", "cloud")], _effects("-a", "a"), "mirror first", id="mirror first"
        ),
        pytest.param(
            [_line("a", state="rejected"), _line("a", "cloud")],
            _effects("", "a"),
            "mirror first",
            id="only the mirror",
        ),
        pytest.param([_line("a", authority="cloud")], _effects("a"), "two authorities", id="two authorities"),
    ],
)
def test_bad_histories(lines: list[Line], effects: dict[str, list[dict[str, Any]]], word: str) -> None:
    """Each kind of fault is found and named."""
    assert any(word in fault for fault in faults(lines, effects))


@pytest.mark.parametrize(
    ("lines", "effects"),
    [
        pytest.param(
            [_line("a", epoch=1), _line("b", "cloud", role="authority", authority="cloud", epoch=1)],
            _effects("a", "-b"),
            id="two authorities in one epoch",
        ),
        pytest.param(
            [_line("a", epoch=1), _line("b", "cloud", role="authority", authority="cloud", epoch=2)],
            _effects("-a", "b"),
            id="the old authority after the new one",
        ),
    ],
)
def test_bad_moves_of_authority(lines: list[Line], effects: dict[str, list[dict[str, Any]]]) -> None:
    """An epoch has one authority, and nothing of it comes after the next one has begun."""
    assert epoch_faults(lines, effects) != []
