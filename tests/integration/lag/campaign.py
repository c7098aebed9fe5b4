"""Systems whose reads lag by up to twenty seconds, live traffic, and edits behind everyone's back: what is late may
never be called wrong, and what is wrong is found all the same.

Real processes with the settings as shipped. Both simulated ERPs answer most reads with the state of some moment of the
last twenty seconds, another one for each read. Callers create, change and read customers and invoices of slices in
``shadow``; then lasting differences are planted by direct edits, and everything is read until each is reported.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec

from tests.integration.service import Service, running

#: Seconds that a read of a system may be behind, and the share of reads that are.
LAGS = ((20.0, 0.1), (12.0, 0.15), (5.0, 0.2), (1.5, 0.3))
CALLERS = 12
#: Of ten requests of a caller: creates, changes; the others are reads.
CREATES, CHANGES = 3, 2
#: A record that the traffic leaves alone after its create, to be edited behind its back: one in so many.
LEFT_ALONE = 5
#: Seconds within which everything must have come to its verdict, and every planted difference be reported.
QUIET_S = 420.0
#: Comparisons a second below which the traffic is given up.
SLOWEST_PER_S = 20.0
#: How often the process counts what waits.
COUNTED_S = 10.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A direct edit in the cloud ERP. ``values`` makes the native fields from the record that the caller has;
    None: the record is deleted."""

    kind: str  #: the class that it must be reported as
    entity: str
    field: str
    values: Callable[[dict[str, Any]], dict[str, Any]] | None


def _limit(record: dict[str, Any], change: Callable[[int], int]) -> dict[str, Any]:
    """The credit limit after a change of its cents."""
    cents = int(record["credit_limit"]["amount"].replace(".", ""))
    cents += change(cents)
    return {"CreditLimit": f"{cents // 100}.{cents % 100:02d}"}


def _one_line_more(record: dict[str, Any]) -> dict[str, Any]:
    """The lines of an invoice and another one."""
    lines = [
        {
            "LineNo": number,
            "Description": line["description"],
            "Quantity": line["quantity"],
            "UnitPrice": line["unit_price"]["amount"],
            "Amount": line["amount"]["amount"],
        }
        for number, line in enumerate(record["lines"], 1)
    ]
    return {"Lines": [*lines, {**lines[0], "LineNo": len(lines) + 1, "Description": "Travel"}]}


# Every class that somebody who works in the ERP can bring about there. It takes no value of another kind, these
# entities have neither a time of day nor a plain list, and a record that is refused is a fault of the system.
# fmt: off
PLANS = (
    Plan(kind="value", entity="customer", field="phone", values=lambda one: {"Phone": "+49 89 999"}),
    Plan(kind="amount", entity="customer", field="credit_limit", values=lambda one: _limit(one, lambda cents: 101)),
    Plan(kind="rounding", entity="customer", field="credit_limit",
         values=lambda one: _limit(one, lambda cents: -(cents % 100))),
    Plan(kind="currency", entity="customer", field="credit_limit", values=lambda one: {"CreditLimitCurrency": "USD"}),
    Plan(kind="case_or_space", entity="customer", field="name", values=lambda one: {"Name": one["name"].upper()}),
    Plan(kind="missing", entity="customer", field="", values=None),
    Plan(kind="missing", entity="customer", field="phone", values=lambda one: {"Phone": None}),
    Plan(kind="extra", entity="customer", field="website", values=lambda one: {"Website": "https://firm.example"}),
    Plan(kind="extra", entity="invoice", field="lines[]", values=_one_line_more),
    Plan(kind="code_mapping", entity="customer", field="currency", values=lambda one: {"CurrencyCode": "ZZZ"}),
    Plan(kind="reference_unresolved", entity="customer", field="parent_id", values=lambda one: {"ParentNo": "C0"}),
    Plan(kind="reference_unresolved", entity="invoice", field="customer_id", values=lambda one: {"CustomerNo": "C0"}),
    Plan(kind="value", entity="invoice", field="due_date", values=lambda one: {"DueDate": "2026-12-24"}),
)
# fmt: on


class Found(msgspec.Struct, kw_only=True):
    """What the campaign saw."""

    writes: int
    reads: int
    compares: int
    verdicts: dict[str, int]
    uncompared: dict[str, int]
    lagging_reads: int  #: reads of the systems that were answered with an older state
    false: list[dict[str, Any]]  #: mismatches of records that nobody had edited
    planted: dict[str, int]
    missed: list[str]  #: planted differences that were not reported, or in another way
    report_s: list[float]  #: from each edit to its report
    seconds: float

    def numbers(self) -> dict[str, float]:
        """Its figures, for the record."""
        times = sorted(self.report_s) or [float("nan")]
        return {
            "false_mismatches": len(self.false),
            "differences": sum(self.planted.values()),
            "found": len(self.report_s),
            "report_p50_s": times[len(times) // 2],
            "report_max_s": times[-1],
        }


class Campaign:
    """One run. ``compares``: how many comparisons the callers' writes and reads must have led to before anything is
    planted; looks at one record that come close together are merged, so it takes more requests than comparisons.
    ``plants``: how many edits."""

    def __init__(self, service: Service, *, compares: int, plants: int, seed: int = 1) -> None:
        self._service = service
        self._wanted = compares
        self._enough = False
        self._plants = plants
        self._dice = Random(seed)
        self._numbers = itertools.count(1)
        self._records: dict[str, list[dict[str, Any]]] = {"customer": [], "invoice": []}
        self._alone: dict[str, list[dict[str, Any]]] = {"customer": [], "invoice": []}
        self._counts: Counter[str] = Counter()
        self._edited: dict[str, tuple[Plan, float]] = {}
        self._quiet_since: float | None = None

    async def run(self) -> Found:
        began = time.monotonic()
        limits = httpx.Limits(max_connections=CALLERS + 2)
        async with (
            httpx.AsyncClient(
                base_url=self._service.address, headers=self._service.headers, timeout=60, limits=limits
            ) as api,
            httpx.AsyncClient(base_url=self._service.control, timeout=60) as control,
        ):
            self._api, self._control = api, control
            await self._into_shadow()
            await self._lag()
            await asyncio.gather(self._count(), *(self._caller() for _ in range(CALLERS)))
            await self._until("every comparison to have its verdict", self._all_compared)
            quiet = await self._summary()
            reported = await self._plant_and_find()
            verdicts: Counter[str] = Counter()
            uncompared: Counter[str] = Counter()
            for one in quiet:
                verdicts.update(one["verdicts"])
                uncompared.update(one["uncompared"])
            mismatches = await self._pages("/admin/v1/diffs", verdict="mismatch")
            return Found(
                writes=self._counts["writes"],
                reads=self._counts["reads"],
                compares=sum(one["compares"] for one in quiet),
                verdicts=dict(verdicts),
                uncompared=dict(uncompared),
                lagging_reads=await self._lagging_reads(),
                false=[one for one in mismatches if one["record_id"] not in self._edited],
                planted=dict(Counter(plan.kind for plan, _ in self._edited.values())),
                missed=[
                    f"{plan.kind} in {plan.entity}.{plan.field} of {record}"
                    for record, (plan, _) in self._edited.items()
                    if record not in reported
                ],
                report_s=sorted(reported.values()),
                seconds=time.monotonic() - began,
            )

    async def _into_shadow(self) -> None:
        """Both slices are compared; no two-sided copy of the firm is needed, since every record is made here."""
        for entity in ("customer", "invoice"):
            for stage in ("dual_write", "shadow"):
                rules = (await self._api.get("/admin/v1/rules")).json()["items"]
                rule = next(one for one in rules if (one["entity"], one["region"]) == (entity, "DACH"))
                body = {"stage": stage, "reason": "lag campaign", "expected_version": rule["version"]}
                answer = await self._api.put(f"/admin/v1/rules/{entity}/DACH", json=body)
                assert answer.status_code == 200, answer.text

    async def _lag(self) -> None:
        for system in ("legacy", "cloud"):
            for seconds, share in LAGS:
                fault = {"kind": "read_lag", "s": seconds, "probability": share, "entity": ["customer", "invoice"]}
                answer = await self._control.post(f"/{system}/_sandbox/faults", json={**fault, "on": ["fetch"]})
                assert answer.is_success, answer.text

    async def _lagging_reads(self) -> int:
        hits = 0
        for system in ("legacy", "cloud"):
            hits += sum(one["hits"] for one in (await self._control.get(f"/{system}/_sandbox/faults")).json()["items"])
        return hits

    async def _count(self) -> None:
        """The callers go on until there are as many comparisons as asked for."""
        allowed = self._wanted / SLOWEST_PER_S
        deadline = time.monotonic() + allowed
        try:
            while (made := sum(one["compares"] for one in await self._summary())) < self._wanted:
                assert time.monotonic() < deadline, f"{made} of {self._wanted} comparisons within {allowed:.0f} s"
                await asyncio.sleep(2)  # between two counts
        finally:
            self._enough = True

    async def _caller(self) -> None:
        while not self._enough:
            wish = self._dice.randrange(10)
            entity = "invoice" if self._dice.randrange(5) == 0 and self._records["customer"] else "customer"
            held = self._records[entity]
            if wish < CREATES or not held:
                await self._create(entity)
            elif wish < CREATES + CHANGES and entity == "customer":
                await self._change(self._dice.choice(held))
            else:
                await self._read(self._dice.choice(held))

    async def _create(self, entity: str) -> None:
        number = next(self._numbers)
        body = _customer(number) if entity == "customer" else _invoice(self._dice.choice(self._records["customer"]))
        answer = await self._write("POST", f"/v1/{entity}s", body)
        if answer.status_code == 201:
            alone = number % LEFT_ALONE == 0
            (self._alone if alone else self._records)[entity].append(answer.json())

    async def _change(self, record: dict[str, Any]) -> None:
        patch = {"phone": f"+49 40 {next(self._numbers)}", "payment_terms_days": self._dice.randrange(7, 91)}
        await self._write("PATCH", f"/v1/customers/{record['id']}", patch)

    async def _write(self, method: str, path: str, body: dict[str, Any]) -> httpx.Response:
        headers = {"Idempotency-Key": f"lag-{next(self._numbers)}"}
        answer = await self._api.request(method, path, json=body, headers=headers)
        # 202: it waits for its turn behind another write of the same record.
        assert answer.status_code in (200, 201, 202), answer.text
        self._counts["writes"] += 1
        return answer

    async def _read(self, record: dict[str, Any]) -> None:
        answer = await self._api.get(f"/v1/{record['entity']}s/{record['id']}")
        # An authority that lags does not know a young record yet.
        assert answer.status_code in (200, 404), answer.text
        self._counts["reads"] += 1

    async def _plant_and_find(self) -> dict[str, float]:
        """Edits in the cloud ERP, one record each; seconds to the report of each, by record."""
        for plan in itertools.cycle(PLANS):
            if len(self._edited) >= self._plants:
                break
            assert self._alone[plan.entity], f"too few of {plan.entity} were left alone: ask for more comparisons"
            made = self._alone[plan.entity].pop()
            record = (await self._current(made)).json()
            edit = {
                "entity": plan.entity,
                "key": record["external_refs"]["cloud"],
                "action": "delete" if plan.values is None else "edit",
                "set": {} if plan.values is None else plan.values(record),
            }
            answer = await self._control.post("/cloud/_sandbox/edit", json=edit)
            assert answer.is_success, answer.text
            self._edited[record["id"]] = plan, time.monotonic()
        reported: dict[str, float] = {}

        async def all_found() -> bool:
            for record, (plan, at) in self._edited.items():
                if record in reported:
                    continue
                await self._api.get(f"/v1/{plan.entity}s/{record}")
                told = await self._api.get("/admin/v1/diffs", params={"record_id": record, "verdict": "mismatch"})
                kinds = {
                    (difference["class"], difference["field"])
                    for one in told.json()["items"]
                    for difference in one["differences"]
                }
                if (plan.kind, plan.field) in kinds:
                    reported[record] = time.monotonic() - at
            return len(reported) == len(self._edited)

        await self._until("every planted difference to be reported", all_found, fails=False)
        return reported

    async def _current(self, made: dict[str, Any]) -> httpx.Response:
        """The record with both native ids, once an answer of the authority is young enough to have it."""
        answer = httpx.Response(404)

        async def known() -> bool:
            nonlocal answer
            answer = await self._api.get(f"/v1/{made['entity']}s/{made['id']}")
            return answer.status_code == 200 and "cloud" in answer.json()["external_refs"]

        await self._until("a record to be seen with both native ids", known)
        return answer

    async def _all_compared(self) -> bool:
        """Nothing is on its way and nothing waits to be compared, now and at the next count of the process."""
        told = (await self._api.get("/metrics")).text
        waits = [
            float(line.rsplit(" ", 1)[1])
            for line in told.splitlines()
            if line.startswith(("twinrun_comparisons_waiting ", "twinrun_deliveries_open{"))
        ]
        assert waits, "the metrics of what waits are gone"
        now = time.monotonic()
        if any(waits):
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = now
        return self._quiet_since is not None and now - self._quiet_since > 2 * COUNTED_S

    async def _summary(self) -> list[dict[str, Any]]:
        return (await self._api.get("/admin/v1/diffs/summary")).json()["items"]

    async def _pages(self, path: str, **query: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            more = {} if cursor is None else {"cursor": cursor}
            page = (await self._api.get(path, params={**query, **more, "limit": "200"})).json()
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items

    async def _until(self, what: str, seen: Callable[[], Awaitable[bool]], *, fails: bool = True) -> None:
        """Waits for a state with a deadline."""
        deadline = time.monotonic() + QUIET_S
        while not await seen():
            if time.monotonic() > deadline:
                assert not fails, f"not within {QUIET_S:g} s: {what}"
                return
            await asyncio.sleep(0.5)  # between two looks at the state that is waited for


def _customer(number: int) -> dict[str, Any]:
    return {
        "region": "DACH",
        "name": f"Lag and Sons {number}",
        "email": f"office-{number}@firm.example",
        "phone": f"+49 30 {number}",
        "currency": "EUR",
        "payment_terms_days": 30,
        "credit_limit": {"amount": f"{1_000 + number}.40", "currency": "EUR"},
    }


def _invoice(customer: dict[str, Any]) -> dict[str, Any]:
    def money(amount: str) -> dict[str, str]:
        return {"amount": amount, "currency": "EUR"}

    line = {"description": "Consulting", "quantity": "2.5", "unit_price": money("150.10"), "amount": money("375.25")}
    return {
        "region": "DACH",
        "customer_id": customer["id"],
        "currency": "EUR",
        "issue_date": "2026-11-02",
        "due_date": "2026-12-02",
        "lines": [line],
    }


def campaign(folder: Path, *, compares: int, plants: int, seed: int = 1, **settings: str) -> Found:
    """Runs one in ``folder``, with processes of its own."""
    with running(folder, scale="empty", TWINRUN_LOG_LEVEL="WARNING", **settings) as service:
        return asyncio.run(Campaign(service, compares=compares, plants=plants, seed=seed).run())
