"""Who may edit which field, as a rule file says it."""

from __future__ import annotations

from importlib.resources import files

import pytest

from gateway.errors import RuleFileWrong
from gateway.routing import export, read
from gateway.routing.ownership import Ownership, lines
from gateway.routing.stage import System

FILES = {
    entry.name: entry.read_text(encoding="utf-8")
    for entry in files("routing_rules").iterdir()
    if entry.name.endswith(".toml")
}


def with_table(table: str, entity: str = "customer") -> dict[str, str]:
    name = f"{entity}.toml"
    return {**FILES, name: f"{FILES[name]}\n[ownership]\n{table}\n"}


def test_without_a_table_the_authority_owns_all() -> None:
    """And an edit elsewhere goes to a person."""
    owners = read(FILES).owners("customer")
    assert owners.of("name") == Ownership(owner="authority", on_conflict="case")
    assert owners.of("name").owned_by(System.CLOUD, System.CLOUD)
    assert not owners.of("name").owned_by(System.CLOUD, System.LEGACY)


def test_a_field_has_its_own_line_or_that_of_the_others() -> None:
    """The star stands for what is not named."""
    ruleset = read(with_table('"*" = { on_conflict = "revert" }\nphone = { owner = "both" }'))
    owners = ruleset.owners("customer")
    assert owners.of("phone") == Ownership(owner="both")
    assert owners.of("name") == Ownership(on_conflict="revert")
    assert [(one.field, one.owner, one.on_conflict) for one in lines(owners)] == [
        ("phone", "both", "case"),
        ("*", "authority", "revert"),
    ]
    assert read({**FILES, **export(ruleset.rules.values(), ruleset.ownership)}).ownership == ruleset.ownership


@pytest.mark.parametrize(
    ("table", "path"),
    [
        pytest.param('fax = { owner = "both" }', r"ownership\.fax: is no field of customer; known", id="no such field"),
        pytest.param('phone = { owner = "oracle" }', r"\$\.ownership\[\.\.\.\]\.owner", id="no such owner"),
        pytest.param('phone = { on_conflict = "newest" }', r"\$\.ownership\[\.\.\.\]\.on_conflict", id="no such word"),
        pytest.param('phone = { owns = "both" }', r"unknown field `owns`", id="no such key"),
        pytest.param('phone = "both"', r"\$\.ownership\[\.\.\.\]", id="no table"),
    ],
)  # fmt: skip
def test_what_nobody_reads_stops_the_start(table: str, path: str) -> None:
    """With the file and the place in it."""
    with pytest.raises(RuleFileWrong, match=r"customer\.toml: .*" + path):
        read(with_table(table))


@pytest.mark.parametrize(
    ("entity", "field", "expected"),
    [
        ("customer", "credit_limit", True),
        ("customer", "tax_id", True),
        ("customer", "phone", False),
        ("invoice", "lines", True),
        ("invoice", "total", True),
        ("contract", "rate_card", True),
        ("project", "tasks", False),
    ],
)
def test_money_and_tax_are_protected(entity: str, field: str, expected: bool) -> None:
    """Also inside lines."""
    assert read(FILES).owners(entity).protected(field) is expected
