"""The rules that a profile is judged by."""

from __future__ import annotations

import pytest

from adapters.check import RULES, Finding, check
from adapters.profile import load, names, parse
from tests.unit.adapters.systems import JSONRPC, ODATA


def of(text: str, rule: str) -> Finding:
    (found,) = [finding for finding in check(parse(text, file="x.toml")) if finding.rule == rule]
    return found


@pytest.mark.parametrize("name", names())
def test_every_rule_is_judged(name: str) -> None:
    """Nothing is left out, and what is to do says what is missing."""
    findings = check(load(name))
    assert [finding.rule for finding in findings] == [rule.name for rule in RULES]
    assert all(bool(finding.missing) == (finding.standing == "todo") for finding in findings)


@pytest.mark.parametrize(
    ("text", "old", "new", "rule", "standing"),
    [
        (ODATA, "", "", "marked", "done"),
        (ODATA, "", "", "found again", "done"),
        (ODATA, "max_length = 40", "max_length = 12", "marker room", "todo"),
        (ODATA, ', "find"]', "]", "found again", "todo"),
        (ODATA, 'idempotency = "B"', "", "not doubled", "todo"),
        (ODATA, "conditional = true", "", "conditional", "todo"),
        (ODATA, "", "", "late landing", "todo"),
        (ODATA, "conditional = true", "max_processing_s = 5", "late landing", "done"),
        (ODATA, 'modified = "ModifiedAt"', "", "change stamps", "todo"),
        (ODATA, "", "", "sourced", "todo"),
        (ODATA, "test, 2026-11", "test, read 2026-11", "sourced", "done"),
        (ODATA, "", "", "references", "todo"),
        (ODATA, "", "", "health", "todo"),
        (ODATA, "[options]", '[options]\nprobe = ""', "health", "done"),
        (JSONRPC, "", "", "health", "done"),
        (ODATA, "", "", "pace", "exempt"),
        (ODATA, 'grade = "simulated"', 'grade = "live"', "pace", "todo"),
        (ODATA, '"transition", ', "", "lifecycle", "todo"),
        (ODATA, '"search", ', "", "searchable", "todo"),
    ],
)
def test_a_rule_sees_what_is_missing(text: str, old: str, new: str, rule: str, standing: str) -> None:
    """Each rule can be met, and each can fail."""
    assert old in text
    assert of(text.replace(old, new, 1), rule).standing == standing
