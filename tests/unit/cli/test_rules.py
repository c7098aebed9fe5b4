"""The order in which rule files are applied."""

from __future__ import annotations

from gateway.cli.rules import _in_order
from gateway.routing.ruleset import Change, Rule
from gateway.routing.stage import Stage


def _change(entity: str, before: Stage, after: Stage) -> Change:
    def rule(stage: Stage) -> Rule:
        return Rule(entity=entity, region="DACH", stage=stage)

    return Change(entity=entity, region="DACH", before=rule(before), after=rule(after))


def test_forwards_what_is_referred_to_goes_first() -> None:
    """A time entry cannot run ahead of its project, so the project is moved first, whatever the files' order."""
    changes = [
        _change(entity, Stage.SHADOW, Stage.LIVE)
        for entity in ("payment", "time_entry", "project", "customer")
    ]
    assert [one.entity for one in _in_order(changes)] == ["customer", "project", "time_entry", "payment"]


def test_back_what_refers_goes_first() -> None:
    """On the way back it is the other way round, and it comes before anything that goes forwards."""
    changes = [
        _change("resource", Stage.DUAL_WRITE, Stage.SHADOW),
        *(_change(entity, Stage.LIVE, Stage.SHADOW) for entity in ("customer", "project", "time_entry")),
    ]
    assert [one.entity for one in _in_order(changes)] == ["time_entry", "project", "customer", "resource"]
