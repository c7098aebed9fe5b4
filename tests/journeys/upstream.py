"""Upstream systems of a migration, as its callers see it: they write and read all eight entities without a pause, know
of no stage and no switch, and note down what they were told."""

from __future__ import annotations

import itertools
import random
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from gateway.canonical import BY_NAME
from tests.integration.ledger import world

CALLERS = 3
#: People and batch jobs are no load test.
PAUSE_S = 0.12
#: A write that is told to come later is sent again within this time.
PATIENCE_S = 90.0
#: Entity -> a field that says nothing new of the record, and what it is set to.
NOTED: dict[str, tuple[str, Callable[[int], Any]]] = {
    "customer": ("phone", lambda number: f"+44 20 {number:06}"),
    "resource": ("role", lambda number: f"Consultant {number}"),
    "contract": ("document_ref", lambda number: f"DOC-{number}"),
    "project": ("practice", lambda number: f"Practice {number}"),
    "time_entry": ("note", lambda number: f"noted {number}"),
    "expense": ("note", lambda number: f"noted {number}"),
    "invoice": ("due_date", lambda number: f"2026-06-{1 + number % 28:02}"),
    "payment": ("method", lambda number: ("bank_transfer", "card", "direct_debit")[number % 3]),
}


class Upstream:
    """``start`` and ``stop`` its callers; what they were told is in its fields. ``pause_s`` is between two stories of
    one caller, in seconds."""

    def __init__(self, address: str, key: str) -> None:
        self._address = address
        self._headers = {"Authorization": f"Bearer {key}"}
        self._looking = self._client()
        self.pause_s = PAUSE_S
        self._numbers = itertools.count(1)
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.writes: dict[str, str] = {}  #: operations that were answered with 2xx, and their record
        self.owned: dict[str, str] = {}  #: records that were made here, and their entity
        self.noted: dict[str, Any] = {}  #: the last value of the field of NOTED that was accepted, by record
        self.made: dict[str, list[str]] = {entity: [] for entity in BY_NAME}
        self.faults: list[str] = []

    def begin(self) -> None:
        """One record of each that others refer to."""
        with self._client() as client:
            for entity in BY_NAME:
                assert self._story(client, entity, random.Random(entity)), self.faults

    def start(self) -> None:
        for number in range(CALLERS):
            thread = threading.Thread(target=self._call, args=(number,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a caller still waits for its answer"
        self._looking.close()

    def look(self, entity: str, region: str) -> None:
        """Reads every record of a slice, as its users do in the course of a day: each read is compared."""
        for record in self.every(entity, region):
            answer = self.read(entity, record["id"])
            assert answer.status_code == 200, answer.text

    def every(self, entity: str, region: str) -> list[dict[str, Any]]:
        """All records of a slice, page by page."""
        items: list[dict[str, Any]] = []
        more: dict[str, str] = {}
        while True:
            query = {"region": region, "limit": "200", **more}
            page = self._looking.get(f"/v1/{BY_NAME[entity].collection}", params=query).json()
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            more = {"cursor": page["next_cursor"]}

    def read(self, entity: str, record: str) -> httpx.Response:
        """One record as whoever asks for it now gets it."""
        return self._looking.get(f"/v1/{BY_NAME[entity].collection}/{record}")

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._address, headers=self._headers, timeout=60, trust_env=False)

    def _call(self, number: int) -> None:
        dice = random.Random(number)
        with self._client() as client:
            for entity in itertools.cycle(BY_NAME):
                if self._over.wait(self.pause_s):
                    return
                try:
                    self._story(client, entity, dice)
                except (httpx.HTTPError, KeyError, IndexError) as broken:
                    self._fault(f"{entity}: {type(broken).__name__}: {broken}")

    def _story(self, client: httpx.Client, entity: str, dice: random.Random) -> bool:
        """A record is made, noted and read again. Whether it was there at once."""
        path = f"/v1/{BY_NAME[entity].collection}"
        answer = self._write(client, entity, "POST", path, self._body(entity, dice))
        if answer is None or answer.status_code != 201:
            return False
        record = answer.json()
        with self._lock:
            self.made[entity].append(record["id"])
        name, value_of = NOTED[entity]
        value = value_of(next(self._numbers))
        match = {"If-Match": f'"{record["version"]}"'} if BY_NAME[entity].if_match_required else {}
        noted = self._write(client, entity, "PATCH", f"{path}/{record['id']}", {name: value}, **match)
        if noted is None:
            return False
        self.noted[record["id"]] = value
        if noted.status_code == 200:
            read = client.get(f"{path}/{record['id']}")
            if read.status_code != 200 or read.json().get(name) != value:
                self._fault(f"{name} of {record['id']} was set to {value}, and read as {read.text}")
        return True

    def _body(self, entity: str, dice: random.Random) -> dict[str, Any]:
        number = world.fresh("RH")

        def one(of: str) -> str:
            return dice.choice(self.made[of])

        match entity:
            case "customer":
                return world.customer(name=f"Harbour Engineering {number}", number=number)
            case "resource":
                return world.resource(name=f"Robin Example {number}", number=number)
            case "contract":
                return world.contract(one("customer"), number=number)
            case "project":
                return world.project(one("customer"), number=number)
            case "time_entry":
                return world.time_entry(one("resource"), one("project"), timesheet_ref=number)
            case "expense":
                return world.expense(one("resource"), one("project"), receipt_ref=number)
            case "invoice":
                return world.invoice(one("customer"), number=number)
            case _:
                return world.payment(one("customer"), reference=number)

    def _write(
        self, client: httpx.Client, entity: str, method: str, path: str, body: dict[str, Any], **headers: str
    ) -> httpx.Response | None:
        """The answer to one write, sent again under its key as long as it is told to come later; None: refused."""
        key = {"Idempotency-Key": secrets.token_hex(8), **headers}
        until = time.monotonic() + PATIENCE_S
        while True:
            answer = client.request(method, path, json=body, headers=key)
            if answer.status_code in (200, 201, 202):
                told = answer.json()
                record = told["record" if answer.status_code == 202 else "id"]
                with self._lock:
                    self.writes[answer.headers["Twinrun-Operation"]] = record
                    self.owned[record] = entity
                return answer
            if answer.status_code not in (409, 429, 503) or time.monotonic() > until:
                self._fault(f"{method} {path} answered {answer.status_code}: {answer.text}")
                return None
            time.sleep(float(answer.headers.get("Retry-After", "1")))  # as the answer asks

    def _fault(self, what: str) -> None:
        with self._lock:
            self.faults.append(what)
