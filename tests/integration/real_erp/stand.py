"""One gateway between the real ERP and the simulated cloud ERP, all as processes, spoken to only from outside.

What a caller sees goes over ``/v1``, what an operator sees over ``/admin/v1``, what the ERP holds over an
administrator's own session that knows nothing of our adapters, and what the cloud holds over its effect log.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.integration.service import Service, running
from tests.systems.tryton60.look import Look
from tests.systems.tryton60.server import Tryton

TODAY = date.today()
DUE = (TODAY + timedelta(days=30)).isoformat()
#: Seconds. What the gateway does by itself takes a few; the rest is for a machine that others keep busy.
PATIENCE_S = 60.0
ENTITIES = {
    "customer": "customers",
    "resource": "resources",
    "project": "projects",
    "time_entry": "time-entries",
    "invoice": "invoices",
}
T = TypeVar("T")
_numbers = itertools.count(1)
_run = uuid.uuid4().hex[:6].upper()


def number(letter: str) -> str:
    """A business number that no other test, and no other run against the same ERP, uses."""
    return f"{letter}-{_run}-{next(_numbers):04d}"


def money(amount: str, currency: str = "EUR") -> dict[str, str]:
    return {"amount": amount, "currency": currency}


def customer(**more: Any) -> dict[str, Any]:
    """Only what both products hold."""
    return {
        "region": "DACH",
        "name": "Nordlicht Werke AG",
        "number": number("K"),
        "email": "office@nordlicht.example",
        "phone": "+49 431 12345",
        "billing_address": {"line1": "Hafenweg 3", "city": "Kiel", "postal_code": "24103", "country": "DE"},
        **more,
    }


def project(customer_id: str, **more: Any) -> dict[str, Any]:
    return {
        "region": "DACH",
        "name": "Rollout Süd",
        "customer_id": customer_id,
        "billing_method": "time_and_materials",
        "currency": "EUR",
        "start_date": TODAY.replace(month=1, day=1).isoformat(),
        "budget_hours": "120.25",
        **more,
    }


def time_entry(resource_id: str, project_id: str, **more: Any) -> dict[str, Any]:
    return {
        "region": "DACH",
        "resource_id": resource_id,
        "project_id": project_id,
        "date": TODAY.isoformat(),
        "hours": "7.5",
        "billable": True,
        "note": "Workshop in Kiel",
        **more,
    }


def invoice(customer_id: str, *, currency: str = "EUR", **more: Any) -> dict[str, Any]:
    def line(description: str, quantity: str, price: str, amount: str) -> dict[str, Any]:
        return {
            "description": description,
            "quantity": quantity,
            "unit_price": money(price, currency),
            "amount": money(amount, currency),
        }

    return {
        "region": "DACH",
        "customer_id": customer_id,
        "currency": currency,
        "issue_date": TODAY.isoformat(),
        "due_date": DUE,
        "lines": [line("Consulting", "2.5", "150.10", "375.25"), line("Travel", "3", "0.10", "0.30")],
        **more,
    }


@dataclass(kw_only=True)
class Stand:
    """A caller, an operator and a witness on each side."""

    service: Service
    erp: Tryton
    api: httpx.Client
    look: Look
    control: httpx.Client

    # --- a caller --------------------------------------------------------------------------------------------

    def create(self, entity: str, body: Mapping[str, Any], **headers: str) -> httpx.Response:
        return self.api.post(f"/v1/{ENTITIES[entity]}", json=body, headers=_headers(headers))

    def made(self, entity: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The record of a create that has to work."""
        answer = self.create(entity, body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def change(self, record: Mapping[str, Any], patch: Mapping[str, Any], **headers: str) -> httpx.Response:
        headers.setdefault("If_Match", f'"{record["version"]}"')
        return self.api.patch(self.path(record), json=patch, headers=_headers(headers))

    def changed(self, record: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.change(record, patch)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def move(self, record: Mapping[str, Any], to: str, **headers: str) -> httpx.Response:
        return self.api.post(f"{self.path(record)}/transitions", json={"to": to}, headers=_headers(headers))

    def moved(self, record: Mapping[str, Any], *states: str) -> dict[str, Any]:
        found: dict[str, Any] = dict(record)
        for to in states:
            answer = self.move(record, to)
            assert answer.status_code == 200, answer.text
            found = answer.json()
            assert found["state"] == to
        return found

    def read(self, record: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.api.get(self.path(record))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def path(self, record: Mapping[str, Any]) -> str:
        return f"/v1/{ENTITIES[record['entity']]}/{record['id']}"

    def by_ref(self, entity: str, native_id: str | int, system: str = "legacy") -> httpx.Response:
        return self.api.get(f"/v1/{ENTITIES[entity]}/by-ref/{system}/{native_id}")

    def listed(self, entity: str, **query: Any) -> list[dict[str, Any]]:
        """All pages, one after the other."""
        items: list[dict[str, Any]] = []
        while True:
            answer = self.api.get(f"/v1/{ENTITIES[entity]}", params=query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            items.extend(page["items"])
            if page["next_cursor"] is None:
                return items
            query["cursor"] = page["next_cursor"]

    def consultant(self, code: str = "DE01-E001") -> dict[str, Any]:
        """An employee whom the ERP has had all along, adopted by its own id. The cloud has been given the staff
        before (under the same numbers, as a migration does), because resources are read-only in the ERP."""
        if not any(one["main"]["Number"] == code for one in self.in_cloud(entity="resource")):
            worker = {
                "Number": code,
                "LegalEntity": code[:4],
                "Status": "Active",
                "Name": code,
                "Kind": "Employee",
            }
            self.edit_cloud("resource", "", worker, action="insert")
        native = self.erp.seed["companies"][code[:4]]["employees"][code]
        answer = self.by_ref("resource", native)
        assert answer.status_code == 200, answer.text
        return answer.json()

    # --- an operator -----------------------------------------------------------------------------------------

    def rule(self, entity: str, region: str = "DACH") -> dict[str, Any]:
        rules = self.api.get("/admin/v1/rules").json()["items"]
        return next(one for one in rules if (one["entity"], one["region"]) == (entity, region))

    def stage(self, entity: str, stage: str, region: str = "DACH", **more: Any) -> httpx.Response:
        body = {
            "stage": stage,
            "reason": "test",
            "expected_version": self.rule(entity, region)["version"],
            **more,
        }
        return self.api.put(f"/admin/v1/rules/{entity}/{region}", json=body)

    def staged(self, stage: str, *entities: str, region: str = "DACH") -> None:
        for entity in entities:
            if self.rule(entity, region)["stage"] != stage:
                answer = self.stage(entity, stage, region)
                assert answer.status_code == 200, answer.text

    def operation(self, answer: httpx.Response | str) -> dict[str, Any]:
        id_ = answer if isinstance(answer, str) else answer.headers["Twinrun-Operation"]
        told = self.api.get(f"/v1/operations/{id_}")
        assert told.status_code == 200, told.text
        return told.json()

    def settled(self, answer: httpx.Response | str) -> dict[str, Any]:
        """The operation once the mirror has it, too."""
        return self.until(lambda: self._in(answer, "settled"), "settled", lambda: str(self.operation(answer)))

    def _in(self, answer: httpx.Response | str, state: str) -> dict[str, Any] | None:
        told = self.operation(answer)
        return told if told["state"] == state else None

    def diffs(self, record: Mapping[str, Any], **query: Any) -> list[dict[str, Any]]:
        answer = self.api.get("/admin/v1/diffs", params={"record_id": record["id"], **query})
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    def all_compared(self, entity: str, region: str = "DACH") -> dict[str, int]:
        """The verdicts, once every write that has reached the mirror of the slice has one (or was overtaken)."""

        def done() -> dict[str, int] | None:
            items = self.api.get(
                "/admin/v1/diffs/summary", params={"entity": entity, "region": region}
            ).json()["items"]
            if not items:
                return None
            counted = sum(items[0]["verdicts"].values()) + sum(items[0]["uncompared"].values())
            return items[0]["verdicts"] if counted >= self._mirrored(entity, region) else None

        return self.until(done, f"every {entity} compared")

    def _mirrored(self, entity: str, region: str) -> int:
        query: dict[str, Any] = {"state": "applied", "entity": entity, "limit": 200}
        count = 0
        while True:
            answer = self.api.get("/admin/v1/deliveries", params=query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            count += sum(one["role"] == "mirror" and one["region"] == region for one in page["items"])
            if page["next_cursor"] is None:
                return count
            query["cursor"] = page["next_cursor"]

    # --- witnesses -------------------------------------------------------------------------------------------

    def native(self, record: Mapping[str, Any]) -> int:
        return int(self.read(record)["external_refs"]["legacy"])

    def in_cloud(self, **filters: str) -> list[dict[str, Any]]:
        """What was done to the cloud ERP, by its own account."""
        answer = self.control.get("/cloud/_sandbox/effects", params=filters)
        answer.raise_for_status()
        return answer.json()["items"]

    def edit_cloud(self, entity: str, key: str, values: Mapping[str, Any], *, action: str = "edit") -> None:
        """Somebody works in the cloud ERP itself."""
        body = {"entity": entity, "key": key, "set": dict(values), "action": action}
        answer = self.control.post("/cloud/_sandbox/edit", json=body)
        assert answer.is_success, answer.text

    def until(self, seen: Callable[[], T | None], what: str, last: Callable[[], str] = str) -> T:
        """Waits for a state with a deadline; returns what was seen as soon as it is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := seen()):
            assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what} {last()}"
            time.sleep(0.05)  # between two looks at the state that is waited for
        return found


def _headers(named: Mapping[str, str]) -> dict[str, str]:
    """``If_Match`` → ``If-Match``; every write has an idempotency key, of its own unless it brings one."""
    given = {name.replace("_", "-"): value for name, value in named.items()}
    return {"Idempotency-Key": uuid.uuid4().hex, **given}


@contextmanager
def standing(folder: Path, erp: Tryton, *, profile: str = "tryton_6_0", **settings: str) -> Iterator[Stand]:
    """Everything in its own process, in ``folder``; the ERP is there already."""
    file = folder / "twinrun.toml"
    file.write_text(_toml(erp.settings()), encoding="utf-8")
    short = {
        "TWINRUN_SETTLE_S": "0.3",
        "TWINRUN_RECHECK_S": "0.5",
        "TWINRUN_CONFIRM_S": "4",
        "TWINRUN_RULES_REFRESH_S": "0.2",
        "TWINRUN_QUARANTINE_MARGIN_S": "0.5",
        "TWINRUN_LEASE_MARGIN_S": "2",
    }
    with (
        running(
            folder,
            scale="empty",
            TWINRUN_CONFIG=str(file),
            TWINRUN_SYSTEMS__LEGACY__PROFILE=profile,
            **{"TWINRUN_SYSTEMS__LEGACY__BASE_URL": erp.base_url, **short, **settings},
        ) as service,
        service.client() as api,
        erp.look() as look,
        httpx.Client(base_url=service.control, timeout=30) as control,
    ):
        yield Stand(service=service, erp=erp, api=api, look=look, control=control)


def _toml(settings: Mapping[str, Any]) -> str:
    """``[systems.legacy]`` as a settings file has it: inline tables do for what has no line breaks."""

    def value(one: Any) -> str:
        if isinstance(one, Mapping):
            return "{ " + ", ".join(f'"{name}" = {value(inner)}' for name, inner in one.items()) + " }"
        if isinstance(one, list):
            return "[" + ", ".join(value(inner) for inner in one) + "]"
        return (
            str(one)
            if isinstance(one, int)
            else '"' + str(one).replace("\\", "\\\\").replace('"', '\\"') + '"'
        )

    return "[systems.legacy]\n" + "".join(f"{name} = {value(one)}\n" for name, one in settings.items())
