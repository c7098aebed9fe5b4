"""What the real ERP holds is brought into the cloud while callers go on writing to it."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.integration.real_erp.stand import ENTITIES, TODAY, Stand, customer, invoice, project, time_entry

pytestmark = pytest.mark.server

ENTRIES, INVOICES = 200, 40


def run_of(stand: Stand, entity: str) -> dict[str, Any]:
    """A backfill of the slice, begun."""
    wish = {"entity": entity, "region": "DACH", "reason": "the cloud is to have it all"}
    answer = stand.api.post("/admin/v1/backfills", json=wish)
    assert answer.status_code == 202, answer.text
    return answer.json()


def ended(stand: Stand, run: dict[str, Any]) -> dict[str, Any]:
    """The run once nobody works on it any more."""

    def over() -> dict[str, Any] | None:
        told = stand.api.get(f"/admin/v1/backfills/{run['id']}").json()
        return told if told["state"] not in ("running", "verifying") else None

    return stand.until(over, f"{run['id']} has ended")


def carried(stand: Stand, run: dict[str, Any], own: set[str]) -> Counter[str]:
    """What became of these records, by outcome; another test's records of the same ERP are not among them."""
    found: Counter[str] = Counter()
    query: dict[str, Any] = {"limit": 200}
    while True:
        page = stand.api.get(f"/admin/v1/backfills/{run['id']}/records", params=query).json()
        found.update(one["outcome"] for one in page["items"] if one["record"] in own)
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


def test_what_the_erp_holds_is_carried_over_while_callers_write(stand: Stand) -> None:
    """Time entries and invoices that were in the real ERP alone are in the cloud once each, and what a caller changed
    while they were carried over is the last word on both sides."""
    stand.staged("dual_write", *(one for one in ENTITIES if one not in ("time_entry", "invoice")))
    person = stand.consultant()
    owner = stand.made("customer", customer())
    work = stand.made("project", project(owner["id"]))
    bodies = [
        ("time_entry", time_entry(person["id"], work["id"], date=(TODAY - timedelta(days=n % 20)).isoformat()))
        for n in range(ENTRIES)
    ]
    bodies += [("invoice", invoice(owner["id"])) for _ in range(INVOICES)]
    with ThreadPoolExecutor(8) as callers:
        records = list(callers.map(lambda one: stand.made(*one), bodies))
        stand.staged("dual_write", "time_entry", "invoice")
        runs = {entity: run_of(stand, entity) for entity in ("time_entry", "invoice")}
        live = [one for one in records if one["entity"] == "time_entry"][::3]
        changes = list(callers.map(lambda one: stand.change(one, {"hours": "3.25"}), live))
    assert {answer.status_code for answer in changes} == {200}
    for entity, run in runs.items():
        told = ended(stand, run)
        own = {one["id"] for one in records if one["entity"] == entity}
        outcomes = carried(stand, run, own)
        assert sum(outcomes.values()) == len(own), (told, outcomes)
        assert outcomes.keys() <= {"created", "linked", "present", "superseded"}, (told, outcomes)
    for answer in changes:
        stand.settled(answer)
    for entity in runs:
        made = Counter(
            one["external_id"] for one in stand.in_cloud(entity=entity, limit="5000") if one["action"] == "create"
        )
        assert {made[one["id"]] for one in records if one["entity"] == entity} == {1}
    ids = [stand.native(one) for one in live]
    rows = stand.look.rows("timesheet.line", [["id", "in", ids]], ["duration"])
    assert [row["duration"] for row in rows] == [timedelta(hours=3.25)] * len(live)
    for one in live:
        last = stand.in_cloud(external_id=one["id"])[-1]
        assert Decimal(last["main"]["Hours"]) == Decimal("3.25")
    for entity in runs:
        verdicts = stand.all_compared(entity)
        assert (verdicts["mismatch"], verdicts["unverifiable"]) == (0, 0), verdicts
    again = {entity: ended(stand, run_of(stand, entity)) for entity in runs}
    for entity, run in again.items():
        own = {one["id"] for one in records if one["entity"] == entity}
        assert carried(stand, run, own) == {"present": len(own)}
