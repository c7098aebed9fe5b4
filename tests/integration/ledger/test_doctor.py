"""``twinrun doctor`` on a journal with traffic: the laws, and what an ERP has that the journal does not know."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from adapters.build import open_adapter
from adapters.contract import Facts, Page, Query
from adapters.errors import Misconfigured
from adapters.profile import load as load_profile
from gateway.cli.commands import run
from gateway.dispatch.orphans import scan
from gateway.ledger.invariants import INVARIANTS
from tests.integration.ledger.world import World, customer, fresh, project
from tests.systems.sandbox import SYSTEMS

Doctor = Callable[..., Coroutine[Any, Any, tuple[int, str, str]]]


@pytest.fixture
def doctor(
    world: World,
    journal: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Doctor:
    """The command beside the gateway that serves: exit code, standard output and standard error."""
    monkeypatch.setenv("TWINRUN_DATABASE", journal)
    for name in SYSTEMS:
        monkeypatch.setenv(f"TWINRUN_SYSTEMS__{name.upper()}__BASE_URL", world.sandbox.urls[name])
    monkeypatch.chdir(tmp_path)

    async def called(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(run, ["doctor", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return called


async def test_each_law_is_told(world: World, doctor: Doctor) -> None:
    """The doctor holds the journal against every law and says of each whether it holds; a broken one is exit code 1,
    with its records and what to do."""
    made = await world.made("customers", customer(number=fresh()))
    await world.quiet()

    async def laws() -> tuple[int, dict[str, dict[str, Any]]]:
        code, out, _ = await doctor("--json")
        checks = {one["name"]: one for one in json.loads(out)["checks"]}
        return code, {name: one for name, one in checks.items() if name.startswith("journal ")}

    code, found = await laws()
    assert (code, {name.removeprefix("journal ") for name in found}) == (0, {one.name for one in INVARIANTS})
    assert {one["result"] for one in found.values()} == {"pass"}
    statement = text("UPDATE lane SET applied_seq = 0 WHERE record_id = :id").bindparams(id=made["id"])
    await world.gateway.database.transaction(lambda conn: conn.execute(statement))
    code, found = await laws()
    assert code == 1
    (broken,) = (one for one in found.values() if one["result"] == "fail")
    assert broken["name"] == "journal applied_seq"
    assert made["id"] in broken["found"]
    assert "journey" in broken["remedy"]


async def test_orphans_are_found(world: World, doctor: Doctor) -> None:
    """What an ERP has from us and the journal does not know is listed with its ids, whether it was made or changed in
    the time that is missing; what the journal knows is not; and nothing is changed by looking."""
    since = (await _a_second_without_others(world)).isoformat()
    kept = await world.made("customers", customer(number=fresh()))
    lost = await world.made("customers", customer(number=fresh()))
    changed = await world.made("projects", project(kept["id"], number=fresh()))
    await world.quiet()
    answer = await world.patch("projects", changed["id"], {"name": "Quay wall survey, phase two"})
    assert answer.status_code == 200, answer.text
    await world.quiet()
    code, out, _ = await doctor("--orphans", "cloud", "--since", since, "--json")
    assert (code, json.loads(out)["orphans"]) == (0, [])
    assert json.loads(out)["searched"]["customer"] >= 2

    markers = {(await world.operation(answer))["marker"]}
    rows = await world.gateway.database.read(
        lambda conn: (
            conn.execute(text("SELECT marker FROM operation WHERE record_id = :id"), {"id": lost["id"]})
            .scalars()
            .all()
        )
    )
    markers.update(rows)
    assert len(markers) == 2
    for marker in markers:
        forget = text("DELETE FROM operation WHERE marker = :marker").bindparams(marker=marker)
        await world.gateway.database.transaction(lambda conn, forget=forget: conn.execute(forget))
    effects = {system: world.effects(system) for system in SYSTEMS}
    for system in SYSTEMS:
        code, out, _ = await doctor("--orphans", system, "--since", since, "--json")
        found = json.loads(out)
        assert (code, found["left_out"]) == (1, {})
        assert {(one["entity"], one["marker"]) for one in found["orphans"]} == {
            ("customer", next(iter(rows))),
            ("project", (markers - set(rows)).pop()),
        }
        code, out, err = await doctor("--orphans", system, "--since", since)
        assert code == 1
        assert all(marker in out for marker in markers)
        assert "2 that the journal does not know" in err
    assert {system: world.effects(system) for system in SYSTEMS} == effects


async def _a_second_without_others(world: World) -> datetime:
    """The begin of a second in which no other test has written: systems stamp their records to the second."""
    last = max(
        (
            one["time"]
            for system in SYSTEMS
            for one in world.sandbox.effects(system, since=world.began[system] - 1)
        ),
        default=None,
    )

    async def begun() -> datetime | None:
        second = datetime.now(UTC).replace(microsecond=0)
        return second if last is None or second > datetime.fromisoformat(last) else None

    return await world.until(begun, "a new second", 3)


async def test_a_system_that_cannot_be_searched_is_no_pass(world: World, doctor: Doctor) -> None:
    """Nothing found where nothing could be looked at is inconclusive: exit code 3. A name or a moment that is wrong
    is 2."""
    world.sandbox.fault("cloud", "outage")
    assert (await doctor("--orphans", "cloud"))[0] == 3
    world.sandbox.heal()
    code, _, err = await doctor("--orphans", "elsewhere")
    assert (code, "cloud, legacy" in err) == (2, True)
    assert (await doctor("--orphans", "cloud", "--since", "yesterday"))[0] == 2
    assert (await doctor("--since", "2026-11-23"))[0] == 2


class _Coarse:
    """A real adapter whose product cannot select by time, and that offers no look-up by marker for projects."""

    def __init__(self, world: World) -> None:
        profile = load_profile("sandbox_cloud")
        self._real = open_adapter("cloud", profile, world.sandbox.urls["cloud"], {}, {})
        self.name = "cloud"

    def supports(self, entity: str) -> bool:
        return entity in ("customer", "project")

    def facts(self, entity: str) -> Facts:
        facts = self._real.facts(entity)
        if entity == "customer":
            return facts
        return msgspec.structs.replace(facts, capabilities=facts.capabilities - {"find"})

    async def search(self, entity: str, query: Query) -> Page:
        if query.updated_since is not None:
            raise Misconfigured("the profile names no `modified`", system="cloud")
        return await self._real.search(entity, query)

    async def close(self) -> None:
        await self._real.close()


async def test_where_the_product_cannot_select_by_time_the_stamps_decide(world: World) -> None:
    """Then all records are read, and those that were changed before the moment are left aside. An entity of which no
    look could say whose write it carries is named."""
    old = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    native = (await world.get(f"/v1/customers/{old['id']}")).json()["external_refs"]["cloud"]
    coarse: Any = _Coarse(world)
    try:
        forget = text("DELETE FROM operation WHERE record_id = :id").bindparams(id=old["id"])
        await world.gateway.database.transaction(lambda conn: conn.execute(forget))
        now = datetime.now(UTC)
        before = await scan(world.gateway.database, coarse, since=now - timedelta(minutes=5))
        assert native in {one.native_id for one in before.orphans}
        assert set(before.left_out) == {"project"}
        after = await scan(world.gateway.database, coarse, since=now + timedelta(minutes=5))
        assert (after.orphans, after.searched) == ((), {"customer": 0})
    finally:
        await coarse.close()
