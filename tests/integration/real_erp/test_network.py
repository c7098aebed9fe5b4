"""The real ERP behind a network that misbehaves, and killed at the moment at which it has a write in its hands.

Between the gateway and the ERP stands a TCP proxy. Judged is by the ERP's own records, over a session that does not go
through the proxy: each write is there exactly once, and each record says what was last written to it.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.real_erp.stand import ENTITIES, Stand, customer, project, standing, time_entry
from tests.integration.real_erp.test_outages import all_in_cloud, hasty, in_the_erp
from tests.systems.fault_proxy import Fault, FaultProxy
from tests.systems.tryton60.server import Tryton

pytestmark = [pytest.mark.server, pytest.mark.slow]

CALLERS = 4
#: How many writes each fault happens to.
EACH = 3
KILLS = 3  #: of the ERP's server, each with a write in its hands
WRITES = 50  #: at least so many, so that the faults come in the middle of a day's work
#: What can happen to a write between us and the ERP.
FAULTS = {
    "reset before the request": Fault(request_bytes=0),
    "closed before the request": Fault(request_bytes=0, then="close"),
    "lost on its way": Fault(request_bytes=0, then="silence"),
    "reset inside the request": Fault(request_bytes=200),
    "half the request, then silence": Fault(request_bytes=200, then="silence"),
    "reset behind the request": Fault(hurried=True),
    "the answer dropped, reset": Fault(answer_bytes=0),
    "the answer dropped, closed": Fault(answer_bytes=0, then="close"),
    "half-open": Fault(answer_bytes=0, then="silence"),
    "reset in the answer": Fault(answer_bytes=60),
    "the answer limited": Fault(answer_bytes=60, then="close"),
    "half the answer, then silence": Fault(answer_bytes=60, then="silence"),
    "in slices": Fault(slice_bytes=11),
    "late and unsteady": Fault(latency_s=0.05, jitter_s=0.2),
    "through a narrow line": Fault(bytes_per_s=2_000),
}


def is_write(request: bytes) -> bool:
    """Whether a call changes something in the ERP. Names of methods stand at the beginning of a body."""
    body = request.partition(b"\r\n\r\n")[2][:200]
    return any(word in body for word in (b'.create"', b'.write"'))


@dataclass(frozen=True, kw_only=True)
class Place:
    stand: Stand
    proxy: FaultProxy


@pytest.fixture
def place(tryton_alone: Tryton, tmp_path: Path, journal: str) -> Iterator[Place]:
    """With an ERP that nobody else uses."""
    tryton_alone.start()
    with (
        FaultProxy("127.0.0.1", tryton_alone.port) as proxy,
        behind(proxy, tryton_alone, tmp_path, journal) as stand,
    ):
        yield Place(stand=stand, proxy=proxy)


@contextmanager
def behind(proxy: FaultProxy, erp: Tryton, folder: Path, journal: str) -> Iterator[Stand]:
    with standing(
        folder,
        erp,
        profile=str(hasty(folder)),
        TWINRUN_DATABASE=journal,
        TWINRUN_SYSTEMS__LEGACY__BASE_URL=proxy.base_url,
        TWINRUN_BREAKER_PAUSE_S="0.5",
    ) as stand:
        stand.staged("dual_write", *ENTITIES)
        yield stand


class Callers:
    """Each makes a customer, books time, and changes the customer, over and over. A request that got no final answer
    is not repeated: what was accepted is to be done without its caller.

    ``patient``: none goes on before what he has written is done. Through a proxy a server that is down cannot be told
    from one that has taken the write, and repeats beyond their budget come at one in ten seconds."""

    def __init__(self, stand: Stand, *, patient: bool = False) -> None:
        self._stand = stand
        self._patient = patient
        work = stand.made("project", project(stand.made("customer", customer())["id"]))
        self._refers_to = stand.consultant()["id"], work["id"]
        self._stop = threading.Event()
        self.answers: list[httpx.Response] = []
        #: business number of a customer -> the telephone number that was accepted last
        self.phones: dict[str, str] = {}

    def run(self, name: int) -> None:
        with self._stand.service.client(Prefer="wait=1") as api:
            turn = 0
            while not self._stop.is_set():
                turn += 1
                body = customer(phone=f"+49 431 {name}{turn:03}0")
                made = self._send(api, "POST", "/v1/customers", body)
                self.phones[body["number"]] = body["phone"]
                booked = time_entry(*self._refers_to, note=f"{name}-{turn}")
                mine = [made, self._send(api, "POST", "/v1/time-entries", booked)]
                record = made.json()["record" if made.status_code == 202 else "id"]
                phone = f"+49 431 {name}{turn:03}1"
                mine.append(self._send(api, "PATCH", f"/v1/customers/{record}", {"phone": phone}))
                self.phones[body["number"]] = phone
                if self._patient:
                    for answer in mine:
                        self._stand.settled(answer)

    def _send(self, api: httpx.Client, method: str, path: str, body: dict[str, Any]) -> httpx.Response:
        answer = api.request(method, path, json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
        assert answer.status_code in (200, 201, 202), answer.text
        self.answers.append(answer)
        return answer

    def stop(self) -> None:
        self._stop.set()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with ThreadPoolExecutor(CALLERS) as pool:
            working = [pool.submit(self.run, name) for name in range(CALLERS)]
            try:
                yield
            finally:
                self.stop()
            for one in working:
                one.result()


def judged(place: Place, callers: Callers) -> None:
    """Every accepted write is in the ERP exactly once, by its own records, and in the cloud exactly once."""
    stand = place.stand
    operations = [stand.settled(answer) for answer in callers.answers]
    assert len({one["marker"] for one in operations}) == len(callers.answers)
    booked = {one["marker"] for one in operations if one["entity"] == "time_entry"}
    assert in_the_erp(stand, booked) == dict.fromkeys(booked, 1)
    with stand.erp.look() as look:
        parties = look.rows(
            "party.party",
            [["code", "in", sorted(callers.phones)], ["active", "in", [True, False]]],
            ["code", "contact_mechanisms.type", "contact_mechanisms.value"],
        )
        lines = look.rows("timesheet.line", [], ["description"])
    assert Counter(one["code"] for one in parties) == dict.fromkeys(callers.phones, 1)
    phones = {
        one["code"]: [row["value"] for row in one["contact_mechanisms."] if row["type"] == "phone"]
        for one in parties
    }
    assert phones == {number: [phone] for number, phone in callers.phones.items()}
    # Nothing is there that nobody asked for.
    assert len(lines) == len(booked)
    markers = {one["marker"] for one in operations}
    effects = Counter(one["marker"] for one in all_in_cloud(stand) if one["marker"] in markers)
    overtaken = {one["marker"] for one in operations if one["entity"] == "customer"} - set(effects)
    assert {marker: effects[marker] for marker in markers - overtaken} == dict.fromkeys(
        markers - overtaken, 1
    )
    in_cloud = {
        one["key"] for one in all_in_cloud(stand) if one["action"] == "create" and one["marker"] in markers
    }
    assert len(in_cloud) == len(booked) + len(callers.phones)


@pytest.mark.parametrize("journal", [pytest.param("postgresql", marks=pytest.mark.server)], indirect=True)
def test_whatever_the_network_does_each_write_is_there_once(place: Place) -> None:
    """Every kind of fault, each to several writes of callers who go on: in the end each write is in the ERP once,
    none is missing, and each record reads as it was last written."""
    callers = Callers(place.stand)
    with callers.at_work():
        for fault in FAULTS.values():
            number = place.proxy.put(fault, when=is_write, count=EACH)
            place.proxy.await_met(number, EACH)
        place.stand.until(lambda: len(callers.answers) >= WRITES, f"{WRITES} writes")
    judged(place, callers)


@pytest.mark.parametrize("journal", ["sqlite"], indirect=True)
def test_killed_with_a_write_in_its_hands_each_write_is_there_once(place: Place) -> None:
    """The server dies (SIGKILL) at the moment at which it was given the last byte of a write whose answer nobody will
    hear, and starts again, several times: in the end each write is in the ERP once."""
    callers = Callers(place.stand, patient=True)
    with callers.at_work():
        for _ in range(KILLS):
            number = place.proxy.put(Fault(answer_bytes=0, then="silence"), when=is_write, count=1)
            place.proxy.await_landed(number)
            place.stand.erp.kill()
            down = len(callers.answers)
            place.stand.until(lambda down=down: len(callers.answers) > down, "an answer while it is down")
            place.stand.erp.start()
            back = len(callers.answers)
            place.stand.until(
                lambda back=back: any(one.status_code != 202 for one in callers.answers[back:]),
                "it answers again",
            )
        place.stand.until(lambda: len(callers.answers) >= WRITES, f"{WRITES} writes")
    judged(place, callers)
