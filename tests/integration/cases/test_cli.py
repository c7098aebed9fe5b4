"""``twinrun cases`` on a journal in which something waits: the list, one case, and a decision."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.cases import Kind
from gateway.cli.commands import run
from gateway.clock import SystemClock
from gateway.database import Database
from tests.integration.cases.planted import Planted

Twinrun = Callable[..., tuple[int, str]]


@pytest.fixture
def case_id(journal: str) -> str:
    """A case about an invoice that the mirror refused."""

    async def plant() -> str:
        database = Database(journal, clock=SystemClock())
        database.start()
        try:
            planted = Planted(database)
            write = await planted.write(
                "invoice", operation_state="attention", authority="applied", mirror="parked"
            )
            return await planted.case(write, Kind.PARKED_DELIVERY, role="mirror")
        finally:
            await database.close()

    return asyncio.run(plant())


@pytest.fixture
def twinrun(
    journal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Twinrun:
    monkeypatch.setenv("TWINRUN_DATABASE", journal)
    monkeypatch.chdir(tmp_path)

    def called(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(arguments)
        printed = capsys.readouterr()
        return code, printed.out or printed.err

    return called


def _json(told: tuple[int, str]) -> Any:
    assert told[0] == 0, told[1]
    return json.loads(told[1])


def test_the_list_says_how_old_how_much_whose_and_by_when(twinrun: Twinrun, case_id: str) -> None:
    """As a table for people; as JSON it is what the API says."""
    code, told = twinrun("cases")
    assert code == 0
    for word in (case_id, "1,080.00 GBP", "finance", "parked_delivery", "deadline", "it did not say"):
        assert word in told
    (item,) = _json(twinrun("cases", "--json"))["items"]
    assert item["at_stake"] == {"amount": "1080.00", "currency": "GBP"}
    for narrowed in (["--state", "closed"], ["--owner", "Kim"], ["--older-than", "1"], ["--kind", "poison"]):
        assert _json(twinrun("cases", *narrowed, "--json"))["items"] == []
    assert "Nothing waits" in twinrun("cases", "list", "--owner", "Kim")[1]


def test_a_case_is_shown_taken_and_decided(twinrun: Twinrun, case_id: str) -> None:
    """What happened in words, what may be decided, who did what; and then it is closed."""
    code, told = twinrun("cases", "show", case_id)
    assert code == 0
    for word in ("Refused by the mirror", "cloud says: it did not say", "accept_divergence", "opened"):
        assert word in told
    assert _json(twinrun("cases", "assign", case_id, "Kim Lee", "--json"))["owner"] == "Kim Lee"
    assert twinrun("cases", "comment", case_id, "Asked the vendor")[0] == 0
    done = _json(twinrun("cases", "resolve", case_id, "--as", "replay", "--reason", "It works now", "--json"))
    assert (done["state"], done["delivery_state"], done["reason"]) == ("closed", "ready", "It works now")
    assert [one["event"] for one in done["history"]] == ["opened", "assigned", "commented", "closed"]
    assert "Closed by" in twinrun("cases", "show", case_id)[1]


def test_a_difference_in_money_is_accepted_by_two_persons(twinrun: Twinrun, case_id: str) -> None:
    """The first decision is a proposal, and the same person is not a second one."""
    decision = (
        "resolve",
        case_id,
        "--as",
        "accept_divergence",
        "--reason",
        "agreed",
        "--until",
        "2999-01-01",
    )
    assert "has proposed accept_divergence" in twinrun("cases", *decision)[1]
    code, told = twinrun("cases", *decision)
    assert code == 2
    assert "another person has to decide the same" in told


@pytest.mark.parametrize("verb", [["show"], ["assign", "Kim"], ["comment", "x"]])
def test_what_is_not_there_is_bad_input(twinrun: Twinrun, case_id: str, verb: list[str]) -> None:
    """Exit code 2 and one line."""
    code, told = twinrun("cases", verb[0], "cas_none", *verb[1:])
    assert code == 2
    assert told.count("\n") == 1
    assert "no such case" in told
