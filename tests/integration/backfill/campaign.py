"""A mirror that begins empty is filled while callers write and the worker is killed, judged by what the two ERPs say
was done to them.

Real processes on PostgreSQL: both simulated ERPs, a serving process, and a worker that gets SIGKILL twice in the middle
of the time entries and is started anew. The legacy ERP holds everything. The cloud holds customers, resources and
projects, which are backfilled first, and some time entries and invoices that somebody has made there by hand. Callers
change hours of time entries, raise invoices through their states, and make new records, all the while.

*Overwritten* is: a record made by hand that anything was written to; a value that went back to an older one in the
cloud; a record whose end there is not what the last accepted write, or the legacy ERP, says. A *duplicate* is a second
record in the cloud with the same business number or the same id of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import httpx
import msgspec

from gateway.database.migrate import upgrade
from tests.integration.backfill.judge import STATES, Account, account, judge
from tests.integration.service import PYTHON, environment_of, make_key, process
from tests.systems.databases import address, on_server

REGION, COMPANY = "UK", "UK01"
#: Master data that time entries and invoices refer to.
CUSTOMERS, RESOURCES, PROJECTS = 12, 20, 20
#: One in so many of the legacy records is in the cloud already, made by hand.
BY_HAND = 50
CALLERS = 4
#: Seconds between two writes of one caller: a quarter of a second's work of the firm at its busiest.
PAUSE_S = 0.1
#: Of ten writes: changes of hours and raises of an invoice; the others are new records.
HOURS, RAISES = 5, 3
#: Passed by the time entries when the worker is killed.
KILLED_AT = (0.3, 0.65)
LOOK_S = 0.3
QUIET_S = 240.0
T = TypeVar("T")


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """A SIGKILL of the worker, and when the run was next seen to go on."""

    read: int
    total: int
    resumed_after_s: float


class Found(msgspec.Struct, kw_only=True):
    """What the campaign saw."""

    time_entries: int
    invoices: int
    by_hand: int  #: of these, in the cloud before
    live_writes: Counter[str]
    kills: list[Kill]
    runs: dict[str, dict[str, Any]]  #: as ``GET /admin/v1/backfills/{id}`` tells them at the end, by entity
    duplicates: list[str]
    overwritten: list[str]
    missing: list[str]  #: in the legacy ERP and not in the cloud
    seconds: float  #: from the start of the backfills to the end of the last one
    per_s: float

    @property
    def holds(self) -> bool:
        complete = all(run["complete"] for run in self.runs.values())
        return complete and not (self.duplicates or self.overwritten or self.missing)

    def numbers(self) -> dict[str, float]:
        """Its figures, for the record."""
        return {
            "live": self.live_writes.total(),
            "killed": len(self.kills),
            "overwrites": len(self.overwritten),
            "doubles": len(self.duplicates),
            "left_out": len(self.missing),
            "incomplete": sum(not run["complete"] for run in self.runs.values()),
        }


class Worker:
    """``twinrun worker`` as a process that can be killed."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment_of(environment)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*PYTHON, "worker"], cwd=self._folder, env=self._environment, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        assert self._process is not None
        assert self._process.poll() is None, "the worker had ended by itself"
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            finally:
                self._process.kill()


class Campaign:
    def __init__(
        self,
        api: httpx.AsyncClient,
        control: httpx.AsyncClient,
        worker: Worker,
        *,
        sizes: dict[str, int],
        seed: int,
    ) -> None:
        self._api = api
        self._control = control
        self._worker = worker
        self._sizes = sizes
        self._dice = Random(seed)
        self._numbers = itertools.count(1)
        self._people: list[dict[str, Any]] = []
        self._projects: list[dict[str, Any]] = []
        self._customers: list[dict[str, Any]] = []
        #: Native ids in the legacy ERP of what callers may change, by entity; taken by one caller at a time.
        self._free: dict[str, list[str]] = {"time_entry": [], "invoice": []}
        self._by_hand: dict[str, list[str]] = {"time_entry": [], "invoice": []}
        self._hours: dict[str, int] = {}  #: hundredths, by canonical id
        self._raised: dict[str, int] = {}  #: place in STATES, by canonical id
        self._writes: Counter[str] = Counter()
        self._in_cloud: dict[str, str] = {}  #: native ids there, by canonical id
        self._over = asyncio.Event()

    async def run(self) -> Found:
        await self._masters()
        await self._legacy()
        for entity, made in (
            ("customer", self._customers), ("resource", self._people), ("project", self._projects)
        ):  # fmt: skip
            await self._stage(entity)
            await self._begin(entity)
            await self._until(f"every {entity} to be in the cloud", lambda made=made: self._mirrored(made))
        await self._made_by_hand()
        for entity in ("time_entry", "invoice"):
            await self._stage(entity)
        began = time.monotonic()
        runs = {entity: await self._begin(entity) for entity in ("time_entry", "invoice")}
        callers = [asyncio.create_task(self._caller(number)) for number in range(CALLERS)]
        try:
            kills = [await self._kill_at(runs["time_entry"], share) for share in KILLED_AT]
            await self._until("both are being verified", lambda: self._verifying(runs), within_s=7200)
        finally:
            self._over.set()
        await asyncio.gather(*callers)
        told = {entity: await self._ended(run_id) for entity, run_id in runs.items()}
        seconds = time.monotonic() - began
        await self._until("nothing is on its way", self._quiet)
        found = Found(
            time_entries=self._sizes["time_entry"], invoices=self._sizes["invoice"],
            by_hand=sum(map(len, self._by_hand.values())), live_writes=self._writes, kills=kills, runs=told,
            duplicates=[], overwritten=[], missing=[], seconds=seconds,
            per_s=sum(self._sizes.values()) / seconds,
        )  # fmt: skip
        await self._judge(found)
        return found

    # --- what is there before ------------------------------------------------------------------------------------

    async def _masters(self) -> None:
        for number in range(CUSTOMERS):
            body = {
                "region": REGION, "name": f"Harbour and Sons {number}", "number": f"CU-{number:04}", "currency": "GBP",
            }  # fmt: skip
            self._customers.append(await self._create("customers", body))
        for number in range(RESOURCES):
            body = {
                "region": REGION, "name": f"Robin Example {number}", "number": f"RE-{number:04}", "kind": "employee",
            }  # fmt: skip
            self._people.append(await self._create("resources", body))
        for number in range(PROJECTS):
            body = {
                "region": REGION, "name": f"Quay wall {number}", "number": f"PR-{number:04}", "currency": "GBP",
                "customer_id": self._customers[number % CUSTOMERS]["id"], "billing_method": "time_and_materials",
            }  # fmt: skip
            self._projects.append(await self._create("projects", body))

    async def _legacy(self) -> None:
        """Time entries and invoices that nobody has seen yet."""

        async def entry(number: int) -> None:
            fields = {
                "Stundenzettel": f"TS-{number // 5:05}" if number % 10 >= 5 else f"TE-{number:05}",
                "Buchungskreis": COMPANY, "Status": "E",
                "Person": self._people[number % RESOURCES]["external_refs"]["legacy"],
                "Projekt": self._projects[number % PROJECTS]["external_refs"]["legacy"],
                "Datum": _legacy_day(number), "Stunden": "0,10", "Abrechenbar": "J", "Notiz": f"as of old {number}",
            }  # fmt: skip
            await self._put("legacy", "time_entry", number, fields)

        async def invoice(number: int) -> None:
            fields = {
                "Nummer": f"INV-{number:05}", "Buchungskreis": COMPANY, "Status": "E",
                "Kunde": self._customers[number % CUSTOMERS]["external_refs"]["legacy"], "Waehrung": "GBP",
                "Rechnungsdatum": _legacy_day(number), "Netto": "900,00", "Steuer": "180,00", "Brutto": "1080,00",
                "Positionen": _LEGACY_LINES,
            }  # fmt: skip
            await self._put("legacy", "invoice", number, fields)

        await _by(8, range(self._sizes["time_entry"]), entry)
        await _by(8, range(self._sizes["invoice"]), invoice)

    async def _put(self, system: str, entity: str, number: int, fields: dict[str, Any]) -> None:
        body = {"entity": entity, "action": "insert", "set": fields}
        answer = await self._control.post(f"/{system}/_sandbox/edit", json=body)
        assert answer.is_success, answer.text
        key = answer.json()["key"]
        if system == "cloud":
            self._by_hand[entity].append(key)
        elif number % BY_HAND:
            self._free[entity].append(key)

    async def _mirrored(self, records: Sequence[dict[str, Any]]) -> bool:
        """Whether each of them has its link in the cloud; keeps what the links are."""
        for record in records:
            told = await self._get(f"/v1/{record['entity']}s/{record['id']}")
            if "cloud" not in told["external_refs"]:
                return False
            self._in_cloud[record["id"]] = told["external_refs"]["cloud"]
        return True

    async def _made_by_hand(self) -> None:
        """One in so many is in the cloud, equal, and with no id of ours."""
        refs = self._in_cloud
        for number in range(0, self._sizes["time_entry"], BY_HAND):
            fields = {
                "TimesheetRef": f"TE-{number:05}", "LegalEntity": COMPANY, "Status": "Draft",
                "WorkerNo": refs[self._people[number % RESOURCES]["id"]],
                "ProjectNo": refs[self._projects[number % PROJECTS]["id"]],
                "WorkDate": _day(number), "Hours": "0.10", "Billable": True, "Note": f"as of old {number}",
            }  # fmt: skip
            await self._put("cloud", "time_entry", number, fields)
        for number in range(0, self._sizes["invoice"], BY_HAND):
            fields = {
                "Number": f"INV-{number:05}", "LegalEntity": COMPANY, "Status": "Draft",
                "CustomerNo": refs[self._customers[number % CUSTOMERS]["id"]], "CurrencyCode": "GBP",
                "IssueDate": _day(number), "NetAmount": "900.00", "TaxAmount": "180.00", "TotalAmount": "1080.00",
                "Lines": _CLOUD_LINES,
            }  # fmt: skip
            await self._put("cloud", "invoice", number, fields)

    # --- an operator ---------------------------------------------------------------------------------------------

    async def _stage(self, entity: str) -> None:
        rules = (await self._get("/admin/v1/rules"))["items"]
        rule = next(one for one in rules if (one["entity"], one["region"]) == (entity, REGION))
        body = {"stage": "dual_write", "reason": "backfill campaign", "expected_version": rule["version"]}
        answer = await self._api.put(f"/admin/v1/rules/{entity}/{REGION}", json=body)
        assert answer.status_code == 200, answer.text

    async def _begin(self, entity: str) -> str:
        answer = await self._api.post("/admin/v1/backfills", json={"entity": entity, "region": REGION})
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    async def _told(self, run_id: str) -> dict[str, Any]:
        return await self._get(f"/admin/v1/backfills/{run_id}")

    async def _ended(self, run_id: str) -> dict[str, Any]:
        async def ended() -> dict[str, Any] | None:
            now = await self._told(run_id)
            assert now["state"] not in ("failed", "cancelled"), now
            return now if now["state"] == "done" else None

        return await self._until(f"{run_id} to be done", ended, within_s=7200)

    async def _verifying(self, runs: dict[str, str]) -> bool:
        told = [await self._told(run_id) for run_id in runs.values()]
        assert all(one["state"] != "failed" for one in told), told
        return all(one["phase"] == "verify" for one in told)

    async def _kill_at(self, run_id: str, share: float) -> Kill:
        """Kills the worker once the run has come so far, starts another, and sees the run go on."""

        async def so_far() -> dict[str, Any] | None:
            now = await self._told(run_id)
            assert now["phase"] != "verify", "it was over before the worker could be killed"
            return now if now["phase"] == "bring" and now["read"] >= share * now["total"] else None

        await self._until(f"{share:.0%} of {run_id}", so_far, within_s=7200)
        self._worker.kill()
        before = await self._told(run_id)
        at = time.monotonic()
        self._worker.start()

        async def on() -> bool:
            return (await self._told(run_id))["read"] > before["read"]

        await self._until("the run to go on after a kill", on)
        return Kill(read=before["read"], total=before["total"], resumed_after_s=time.monotonic() - at)

    async def _quiet(self) -> bool:
        flow = (await self._api.get("/metrics")).text
        waits = [
            float(line.rsplit(" ", 1)[1])
            for line in flow.splitlines()
            if line.startswith("twinrun_deliveries_open{") and 'state="parked"' not in line
        ]
        assert waits, "the metrics of what waits are gone"
        return not any(waits)

    # --- callers -------------------------------------------------------------------------------------------------

    async def _caller(self, number: int) -> None:
        dice = Random(f"{number} {self._dice.random()}")
        while not self._over.is_set():
            wish = dice.randrange(10)
            if wish < HOURS:
                await self._with("time_entry", "time-entries", dice, self._change_hours)
            elif wish < HOURS + RAISES:
                await self._with("invoice", "invoices", dice, self._raise)
            else:
                await self._new(dice)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), PAUSE_S)

    async def _with(
        self, entity: str, collection: str, dice: Random, change: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        """Changes one of the old records, known by its number in the legacy ERP; no two callers have the same one."""
        free = self._free[entity]
        if not free:
            return
        place = dice.randrange(len(free))
        free[place], free[-1] = free[-1], free[place]
        native = free.pop()
        record = await self._get(f"/v1/{collection}/by-ref/legacy/{native}")
        await change(record)
        free.append(native)

    async def _change_hours(self, record: dict[str, Any]) -> None:
        hundredths = self._hours.get(record["id"], 10) + 1
        body = {"hours": f"{hundredths // 100}.{hundredths % 100:02}"}
        await self._write("hours", "PATCH", f"/v1/time-entries/{record['id']}", body)
        self._hours[record["id"]] = hundredths

    async def _raise(self, record: dict[str, Any]) -> None:
        place = self._raised.get(record["id"], 0) + 1
        if place < len(STATES):
            path = f"/v1/invoices/{record['id']}/transitions"
            await self._write("raised", "POST", path, {"to": STATES[place]})
            self._raised[record["id"]] = place

    async def _new(self, dice: Random) -> None:
        number = next(self._numbers)
        body = {
            "region": REGION, "resource_id": dice.choice(self._people)["id"],
            "project_id": dice.choice(self._projects)["id"], "date": _day(number), "hours": "0.10", "billable": True,
            "timesheet_ref": f"NEW-{number:05}",
        }  # fmt: skip
        await self._write("new", "POST", "/v1/time-entries", body)

    async def _write(self, what: str, method: str, path: str, body: dict[str, Any]) -> httpx.Response:
        """One write that is sent again until it is accepted, as callers do."""
        key = {"Idempotency-Key": secrets.token_hex(8)}
        while True:
            answer = await self._api.request(method, path, json=body, headers=key)
            if answer.status_code not in (409, 503):
                break
            await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
        # 202: it waits for its turn behind another write of the same record.
        assert answer.status_code in (200, 201, 202), answer.text
        self._writes[what] += 1
        return answer

    async def _create(self, collection: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._write("masters", "POST", f"/v1/{collection}", body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def _get(self, path: str) -> dict[str, Any]:
        answer = await self._api.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def _until(
        self, what: str, seen: Callable[[], Awaitable[T | None]], *, within_s: float = QUIET_S
    ) -> T:
        """What is seen as soon as it is true; a state is waited for with a deadline."""
        deadline = time.monotonic() + within_s
        while not (found := await seen()):
            assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
            await asyncio.sleep(LOOK_S)
        return found

    # --- the judge -----------------------------------------------------------------------------------------------

    async def _judge(self, found: Found) -> None:
        """By the ERPs' own accounts."""
        for entity, wanted in (("time_entry", self._hours), ("invoice", self._raised)):
            legacy, cloud = [await self._account(system, entity) for system in ("legacy", "cloud")]
            judged = judge(entity, legacy, cloud, by_hand=self._by_hand[entity], wanted=wanted)
            found.overwritten += judged.overwritten
            found.duplicates += judged.duplicates
            found.missing += judged.missing

    async def _account(self, system: str, entity: str) -> Account:
        asked = {"entity": entity, "limit": 10_000_000}
        answer = await self._control.get(f"/{system}/_sandbox/effects", params=asked)
        assert answer.is_success, answer.text
        return account(answer.json()["items"])


def _day(number: int) -> str:
    return f"2026-{1 + number % 9:02}-{1 + number % 28:02}"


def _legacy_day(number: int) -> str:
    return ".".join(reversed(_day(number).split("-")))


_LEGACY_LINES = (
    "<Position><PosNr>1</PosNr><Text>Survey on site</Text><Art>Z</Art><Menge>7,500</Menge>"
    "<Einzelpreis>120,00</Einzelpreis><Betrag>900,00</Betrag><Steuerkz>N</Steuerkz><Steuerbetrag>180,00</Steuerbetrag>"
    "</Position>"
)
_CLOUD_LINES = [
    {"LineNo": 1, "Description": "Survey on site", "Kind": "Time", "Quantity": "7.5", "UnitPrice": "120.00",
     "Amount": "900.00", "TaxCode": "Standard", "TaxAmount": "180.00"},
]  # fmt: skip


async def _by(places: int, numbers: Sequence[int], work: Callable[[int], Awaitable[None]]) -> None:
    """So many at once."""
    rest = iter(numbers)

    async def take() -> None:
        for number in rest:
            await work(number)

    await asyncio.gather(*(take() for _ in range(places)))


def campaign(folder: Path, *, time_entries: int, invoices: int, seed: int = 1, **settings: str) -> Found:
    """Runs one in ``folder``, with processes and a database of its own."""
    name = f"twinrun_{secrets.token_hex(6)}"
    on_server(f"CREATE DATABASE {name}")
    try:
        upgrade(address(name))
        with _processes(folder, address(name), settings) as (served, key, control, worker):
            return asyncio.run(
                _run(served, key, control, worker, {"time_entry": time_entries, "invoice": invoices}, seed)
            )
    finally:
        on_server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextlib.contextmanager
def _processes(
    folder: Path, database: str, settings: dict[str, str]
) -> Iterator[tuple[str, str, str, Worker]]:
    with contextlib.ExitStack() as stack:
        ports = ("--legacy-port", "0", "--cloud-port", "0", "--control-port", "0")
        sandbox = [*PYTHON, "sandbox", "--json", "--scale", "empty", *ports]
        systems = stack.enter_context(process(sandbox, folder, {}, folder / "sandbox.log"))
        environment = {
            "TWINRUN_DATABASE": database,
            "TWINRUN_SYSTEMS__LEGACY__PROFILE": "sandbox_legacy",
            "TWINRUN_SYSTEMS__LEGACY__BASE_URL": systems["legacy"],
            "TWINRUN_SYSTEMS__CLOUD__PROFILE": "sandbox_cloud",
            "TWINRUN_SYSTEMS__CLOUD__BASE_URL": systems["cloud"],
            "TWINRUN_LOG_LEVEL": "WARNING",
            **settings,
        }
        command = [*PYTHON, "serve", "--no-worker", "--json", "--port", "0"]
        served = stack.enter_context(process(command, folder, environment, folder / "serve.log"))
        worker = Worker(folder, environment)
        stack.callback(worker.stop)
        worker.start()
        key = make_key(folder, environment, "tests", "read,write,admin:read,admin:write")
        yield served["address"], key, systems["control"], worker


async def _run(
    served: str, key: str, control: str, worker: Worker, sizes: dict[str, int], seed: int
) -> Found:
    async with _client(served, key) as api, _client(control) as erps:
        return await Campaign(api, erps, worker, sizes=sizes, seed=seed).run()


@contextlib.asynccontextmanager
async def _client(base: str, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=120, trust_env=False) as client:
        yield client
