"""Who may see what of a cohort: whoever may see its region, and nobody else, over every call."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.settings import Settings
from tests.integration.cohorts.conftest import WAVE, rule_files
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, World, customer, fresh, project, resource, time_entry
from tests.systems.sandbox import Sandbox

ALL = ["read", "write", "admin:read", "admin:write"]
#: Lists of the operations side that tell of slices or of what is in them.
LISTS = (
    "rules", "readiness", "diffs", "diffs/summary", "waivers", "cases", "deliveries", "switches", "reconciliations",
    "backfills", "feeds", "guards",
)  # fmt: skip


@pytest.fixture
def rules(tmp_path: Path, numbers: tuple[str, ...]) -> Path:
    return rule_files(tmp_path / "rules", stage="dual_write", numbers=numbers)


@pytest.fixture
async def world(settings: Settings, sandbox: Sandbox) -> AsyncIterator[World]:
    async with opened(settings, sandbox) as one:
        yield one


async def client_of(world: World, *regions: str) -> httpx.AsyncClient:
    key, _ = await world.gateway.keys.create(fresh("k"), scopes=ALL, regions=regions, actor="tests")
    return httpx.AsyncClient(
        transport=world.client._transport,
        base_url="http://gateway",
        headers={"Authorization": f"Bearer {key}"},
        timeout=40,
    )


async def test_reach_is_by_region(world: World, numbers: tuple[str, ...]) -> None:
    """A key for the region reads, lists and changes what is in its cohorts; a key for another one finds none of it,
    neither by id nor in any list, nor may it touch the cohort's slices."""
    owner = await world.made("customers", customer(number=fresh("C")))
    person = await world.made("resources", resource(number=fresh("R")))
    work = await world.made("projects", project(owner["id"], number=numbers[0]))
    entry = await world.create("time-entries", time_entry(person["id"], work["id"]), key=fresh())
    operation, record = entry.headers["Twinrun-Operation"], entry.json()["id"]
    await world.gateway.reconciler.start("time_entry", WAVE, actor="tests")
    await world.gateway.backfiller.start("expense", WAVE, actor="tests")
    near, far = await client_of(world, REGION), await client_of(world, "DACH")
    paths = [
        f"/v1/time-entries/{record}",
        f"/v1/projects/{work['id']}",
        f"/v1/operations/{operation}",
        f"/admin/v1/records/{record}/journey",
        f"/admin/v1/rules/time_entry/{WAVE}/history",
        f"/admin/v1/readiness/time_entry/{WAVE}",
    ]
    for path in paths:
        assert (await near.get(path)).status_code == 200, path
        assert (await far.get(path)).status_code == 404, path
    for name in LISTS:
        here, there = await near.get(f"/admin/v1/{name}"), await far.get(f"/admin/v1/{name}")
        assert (here.status_code, there.status_code) == (200, 200), name
        assert REGION not in {str(one.get("region")).split(".")[0] for one in items(there)}, name
    for name in ("rules", "readiness", "reconciliations", "backfills", "feeds"):
        assert WAVE in {one["region"] for one in items(await near.get(f"/admin/v1/{name}"))}, name
    of_it = f"/v1/time-entries?project_id={work['id']}"
    for path in (of_it, f"{of_it}&region={REGION}"):
        assert record in {one["id"] for one in items(await near.get(path))}
    assert record not in {one["id"] for one in items(await far.get(of_it))}
    writes: list[tuple[str, str, dict[str, Any], int]] = [
        ("PATCH", f"/v1/projects/{work['id']}", {"practice": "x"}, 404),
        ("POST", f"/v1/time-entries/{record}/transitions", {"to": "submitted"}, 404),
        ("POST", "/v1/projects", project(owner["id"], number=numbers[1]), 403),
        ("PUT", f"/admin/v1/rules/project/{WAVE}", {"stage": "dual_write", "reason": "x", "expected_version": 1}, 404),
        ("POST", "/admin/v1/reconciliations", {"entity": "project", "region": WAVE}, 403),
        ("POST", "/admin/v1/backfills", {"entity": "project", "region": WAVE}, 403),
    ]
    for method, path, body, status in writes:
        answer = await far.request(method, path, json=body, headers={"Idempotency-Key": fresh()})
        assert answer.status_code == status, (method, path, answer.text)
        answer = await near.request(method, path, json=body, headers={"Idempotency-Key": fresh()})
        assert answer.status_code < 300, (method, path, answer.text)
    await near.aclose()
    await far.aclose()


def items(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def test_no_call_shows_a_cohort_to_others(world: World, numbers: tuple[str, ...]) -> None:
    """Over every documented call that only looks: a key for another region is told nothing of what is in a cohort, by
    whichever id or address it asks, and a key for its region is told of it wherever there is something to tell."""
    owner = await world.made("customers", customer(number=fresh("C")))
    person = await world.made("resources", resource(number=fresh("R")))
    work = await world.made("projects", project(owner["id"], number=numbers[0]))
    entry = await world.create("time-entries", time_entry(person["id"], work["id"]), key=fresh())
    told = await world.operation(entry)
    reconciled = await world.gateway.reconciler.start("time_entry", WAVE, actor="tests")
    filled = await world.gateway.backfiller.start("time_entry", WAVE, actor="tests")
    await world.quiet()
    legacy = (await world.get(f"/v1/projects/{work['id']}")).json()["external_refs"]["legacy"]
    ids = (work["id"], told["record"], told["id"], told["deliveries"][0]["id"], reconciled.id, filled.id)
    values = {"entity": ("time_entry", "project"), "region": (WAVE,), "system": ("legacy",), "native_id": (legacy,)}
    near, far = await client_of(world, REGION), await client_of(world, "DACH")
    shown: set[str] = set()
    for path, methods in (await near.get("/openapi.json")).json()["paths"].items():
        if "get" not in methods or not methods["get"]["security"]:
            continue
        # Each record that a list shows for the first time is taken in with all that it names: a few are enough here.
        addresses = [path + "?limit=3" if path.startswith("/v1/") and "{" not in path else path]
        for name in re.findall(r"{(\w+)}", path):
            addresses = [a.replace(f"{{{name}}}", each) for a in addresses for each in values.get(name, ids)]
        for address in addresses:
            answer = await far.get(address)
            leaked = [one for one in (*ids, WAVE, numbers[0]) if one in answer.text]
            assert answer.status_code != 200 or not leaked, (address, leaked)
            if (await near.get(address)).status_code == 200:
                shown.add(path)
    assert shown >= {
        "/v1/projects", "/v1/projects/{id}", "/v1/projects/by-ref/{system}/{native_id}", "/v1/operations/{id}",
        "/admin/v1/records/{id}/journey", "/admin/v1/reconciliations/{id}", "/admin/v1/backfills/{id}",
        "/admin/v1/rules/{entity}/{region}/history", "/admin/v1/readiness/{entity}/{region}",
    }, shown  # fmt: skip
    await near.aclose()
    await far.aclose()
