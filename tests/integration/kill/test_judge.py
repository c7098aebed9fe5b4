"""The judge of a campaign is judged where a campaign cannot be relied on to bring the case about."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.build import open_adapter
from adapters.contract import Fields, Found
from adapters.profile import load
from gateway.canonical import BY_NAME
from gateway.dispatch.translate import expected
from tests.integration.kill import judge
from tests.integration.kill.callers import bill
from tests.simulation.history import History, Kept
from tests.simulation.test_check import CUS, Book


def _behind_a_parked_one(*, maybe_sent: int) -> History:
    """A customer's create has gone to a person; the change after it has been acknowledged and waits for the cloud."""
    book = Book()
    first = book.write(CUS, "create", {"name": "a"})
    second = book.write(CUS, "update", {"name": "b"})
    history = book.history
    first.state, second.state = "attention", "committed"
    history.effects = [one for one in history.effects if one.system == "legacy"]
    for line in history.lines:
        if line.role == "mirror":
            parked = line.operation == first.id
            line.state, line.maybe_sent = ("parked", maybe_sent) if parked else ("ready", 0)
    return history


def test_what_waits_behind_a_case_is_with_its_person() -> None:
    """A write that may not overtake one of unknown outcome is acknowledged, not done, and not lost."""
    assert list(judge.acknowledged(_behind_a_parked_one(maybe_sent=1))) == []


def test_what_waits_for_nothing_is_lost() -> None:
    """A write that could overtake the parked one, and that nobody sends, is lost."""
    (verdict,) = judge.acknowledged(_behind_a_parked_one(maybe_sent=0))
    assert verdict.law == "acknowledged"


class Told:
    """A system that holds one record as it is told, behind its real profile."""

    def __init__(self, name: str, entity: str, image: Fields, **wrong: Any) -> None:
        profile = open_adapter(name, load(f"sandbox_{name}"), "http://erp.test")
        self.name, self.expect, self.facts = name, profile.expect, profile.facts
        whole = expected(
            profile, BY_NAME[entity], {field: image.get(field) for field in judge.WATCHED[entity]}
        )
        self._holds = {**whole, **wrong}
        if "lines" in wrong:
            self._holds["lines"] = whole["lines"][: wrong["lines"]]

    async def fetch(self, entity: str, native_id: str) -> Found:
        return Found(native_id=native_id, fields=self._holds)


@pytest.mark.parametrize("system", ["legacy", "cloud"])
@pytest.mark.parametrize(
    ("wrong", "verdicts"),
    [
        pytest.param({}, 0, id="whole"),
        pytest.param({"lines": 2}, 1, id="a line is missing"),
        pytest.param({"lines": 0}, 1, id="only the header"),
        pytest.param({"total": {"amount": "1.00", "currency": "GBP"}}, 1, id="another sum"),
        pytest.param({"state": "ready"}, 1, id="not posted"),
    ],
)
async def test_a_document_is_whole(system: str, wrong: dict[str, Any], verdicts: int) -> None:
    """An invoice that was acknowledged reads in each system with its state, every line and every sum."""
    made = bill("cus_1", "x", 3)
    image = {
        **made,
        "lines": [{**line, "number": n} for n, line in enumerate(made["lines"], 1)],
        "state": "posted",
    }
    adapters = {
        name: Told(name, "invoice", image, **(wrong if name == system else {}))
        for name in ("legacy", "cloud")
    }
    history = History(products={})
    history.records = {
        "inv_1": Kept(id="inv_1", entity="invoice", version=1, seq=1, open_writes=0, image=image)
    }
    history.links = {("inv_1", name): "1" for name in adapters}
    found = await judge.diverged(history, adapters)
    assert [(one.law, one.what.split()[0]) for one in found] == [("diverged", system)] * verdicts
