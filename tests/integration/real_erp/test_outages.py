"""The real ERP dies in the middle of writes: everything that was accepted ends there once, and in the cloud once."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.real_erp.stand import (
    ENTITIES,
    Stand,
    customer,
    project,
    standing,
    time_entry,
)
from tests.integration.service import ROOT
from tests.systems.tryton60.server import Tryton

pytestmark = pytest.mark.server

CLIENTS = 4
#: How often the ERP is stopped until it is caught with a write in its hands.
ROUNDS = 6


def hasty(folder: Path) -> Path:
    """The profile with short times. On one machine a request lands within a second or never; the packaged profile
    waits two minutes before it takes a write of unknown outcome for not done, and a test cannot."""
    text = (ROOT / "adapters" / "profiles" / "tryton_6_0.toml").read_text(encoding="utf-8")
    made = folder / "hasty.toml"
    made.write_text(
        text.replace("max_processing_s = 120", "max_processing_s = 2").replace(
            "timeout_s = 30.0", "timeout_s = 4.0"
        ),
        encoding="utf-8",
    )
    return made


@pytest.fixture
def stand(tryton_alone: Tryton, tmp_path: Path, journal: str) -> Iterator[Stand]:
    """Once on each database, with an ERP that nobody else uses."""
    tryton_alone.start()
    with standing(tmp_path, tryton_alone, profile=str(hasty(tmp_path)), TWINRUN_DATABASE=journal) as one:
        one.staged("dual_write", *ENTITIES)
        yield one


class Writers:
    """Callers who write customers and time entries, one after the other, until they are told to stop."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        work = stand.made("project", project(stand.made("customer", customer())["id"]))
        self._refers_to = stand.consultant()["id"], work["id"]
        self._stop = threading.Event()
        self.answers: list[httpx.Response] = []

    def run(self, name: int) -> None:
        with self._stand.service.client() as api:
            turn = 0
            while not self._stop.is_set():
                turn += 1
                body = time_entry(*self._refers_to, note=f"{name}-{turn}") if turn % 2 else customer()
                path = "/v1/time-entries" if turn % 2 else "/v1/customers"
                headers = {"Idempotency-Key": uuid.uuid4().hex, "Prefer": "wait=1"}
                self.answers.append(api.post(path, json=body, headers=headers))

    def stop(self) -> None:
        self._stop.set()


def in_the_erp(stand: Stand, markers: set[str]) -> Counter[str]:
    """How often each marker stands in the ERP, by its own interface."""
    with stand.erp.look() as look:
        contacts = look.rows("party.contact_mechanism", [["name", "=", "twinrun"]], ["value"])
        lines = look.rows("timesheet.line", [], ["description"])
    found = [row["value"] for row in contacts]
    found += [(row["description"] or "").rpartition("[tw:")[2].removesuffix("]") for row in lines]
    return Counter(marker for marker in found if marker in markers)


def test_killed_and_started_again_nothing_is_lost_or_doubled(stand: Stand) -> None:
    """SIGKILL twice while four callers write, the second time with requests in its hands that were never answered:
    every caller gets 201 or 202, and in the end each write is in the ERP once and in the cloud once."""
    writers = Writers(stand)
    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(writers.run, name) for name in range(CLIENTS)]
        stand.until(lambda: len(writers.answers) >= 2 * CLIENTS, "the first answers")
        stand.erp.kill()
        down = len(writers.answers)
        stand.until(lambda: len(writers.answers) >= down + CLIENTS, "answers while it is down")
        stand.erp.start()
        back = len(writers.answers)
        stand.until(lambda: 201 in _codes(writers.answers[back:]), "it answers again")
        for _ in range(ROUNDS):
            held = len(writers.answers)
            with stand.erp.frozen():
                stand.until(
                    lambda held=held: len(writers.answers) >= held + CLIENTS, "answers while it hangs"
                )
                stand.erp.kill()
            stand.erp.start()
            back = len(writers.answers)
            stand.until(lambda back=back: 201 in _codes(writers.answers[back:]), "it answers again")
            if _in_its_hands(stand, writers.answers[held:]):
                break
        writers.stop()
        for one in running:
            one.result()
    codes = Counter(_codes(writers.answers))
    assert set(codes) == {201, 202}, codes
    operations = [stand.settled(answer) for answer in writers.answers]
    markers = {one["marker"] for one in operations}
    assert len(markers) == len(writers.answers)
    assert in_the_erp(stand, markers) == dict.fromkeys(markers, 1)
    effects = Counter(one["marker"] for one in all_in_cloud(stand) if one["marker"] in markers)
    assert effects == dict.fromkeys(markers, 1)
    assert _in_its_hands(stand, writers.answers), f"no write was in the ERP's hands in {ROUNDS} rounds"


def _in_its_hands(stand: Stand, answers: Sequence[httpx.Response]) -> bool:
    """Whether a write was of unknown outcome. Which call the ERP is at when it stops is chance: often a look-up."""
    return any(
        event["event"] == "authority_unknown" for one in answers for event in stand.operation(one)["events"]
    )


def _codes(answers: list[httpx.Response]) -> list[int]:
    return [one.status_code for one in answers]


def all_in_cloud(stand: Stand) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while page := stand.in_cloud(since=str(items[-1]["seq"] if items else 0)):
        items.extend(page)
    return items


def test_a_receipt_can_be_followed_to_its_end(stand: Stand) -> None:
    """A write while the ERP is down is kept: 202 with the operation's address. When the ERP is back it is done, and
    the same request again is answered 201 with the record."""
    stand.erp.kill()
    key, body = uuid.uuid4().hex, customer()
    answer = stand.create("customer", body, Idempotency_Key=key, Prefer="wait=1")
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/operations/{answer.headers['Twinrun-Operation']}"
    assert stand.operation(answer)["state"] == "accepted"
    read = stand.api.get("/v1/customers", params={"region": "DACH"})
    assert read.status_code == 503
    assert int(read.headers["Retry-After"]) > 0
    stand.erp.start()
    stand.settled(answer)
    again = stand.create("customer", body, Idempotency_Key=key)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    with stand.erp.look() as look:
        assert len(look.rows("party.party", [["code", "=", body["number"]]], ["name"])) == 1
