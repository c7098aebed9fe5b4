"""A cohort of customers, taken by legal entity, and what deciding a place costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from gateway.dispatch.command import Command
from gateway.dispatch.idempotency import intent_of
from gateway.dispatch.intake import Accepted, Intake
from gateway.settings import Settings
from tests.integration.cohorts.conftest import places
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import World, contract, customer, fresh, project, resource, time_entry
from tests.systems.rules import staged
from tests.systems.sandbox import Sandbox

SWISS = "DACH.swiss"
COHORTS = '[[cohorts]]\nname = "swiss"\nregion = "DACH"\nroot = "customer"\nlegal_entities = ["CH01"]\n'


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A region of two companies, of which one is a cohort."""
    folder = staged(tmp_path)
    (folder / "cohorts.toml").write_text(COHORTS, encoding="utf-8")
    return folder


async def test_a_customer_pins_contracts_and_projects(world: World) -> None:
    """Customers of a company are a cohort: their contracts, projects and hours follow, whoever books them; those of the
    region's other company stay, and so do resources."""
    found: dict[str, list[str]] = {}
    person = await world.made("resources", resource(region="DACH", number=fresh("R"), legal_entity="CH01"))
    for company in ("CH01", "DE01"):
        of = {"region": "DACH", "legal_entity": company}
        client = await world.made("customers", customer(number=fresh("C"), **of))
        deal = await world.made("contracts", contract(client["id"], number=fresh("K"), **of), key=fresh())
        work = await world.made("projects", project(client["id"], number=fresh("P"), region="DACH"))
        hours = await world.made("time-entries", time_entry(person["id"], work["id"], region="DACH"), key=fresh())
        found[company] = await places(world, client["id"], deal["id"], work["id"], hours["id"])
    assert found == {"CH01": [SWISS] * 4, "DE01": ["DACH"] * 4}
    assert await places(world, person["id"]) == ["DACH"]


@contextmanager
def statements(connection: Connection) -> Iterator[list[str]]:
    """What is executed meanwhile on this connection: the program's own loops use others."""
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        seen.append(statement)

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(connection, "before_cursor_execute", note)


async def cost(world: World, region: str, customer_id: str) -> int:
    """Statements that accepting one project takes."""
    gateway = world.gateway
    intake = Intake(
        database=gateway.database,
        lease_s={},
        default_legal_entity={"DACH": "DE01", "UK": "UK01"},
        cohorts=gateway.ruleset.cohorts,
    )
    body = {key: value for key, value in project(customer_id, number=fresh("P")).items() if key != "region"}
    command = Command(
        kind="create", entity="project", client="t", method="POST", route="/v1/projects", body=body, region=region
    )
    intent = intent_of(command, entity_prefix="prj_", ids=gateway.ids)
    counted: list[int] = []

    def unit(connection: Connection) -> list[Any]:
        with statements(connection) as seen:
            made = intake.step(connection, [intent])
        counted.append(len(seen))
        return made

    (made,) = await gateway.database.transaction(unit)
    assert isinstance(made, Accepted)
    return counted[-1]


async def test_a_place_costs_nothing_where_there_is_no_cohort(
    settings: Settings, sandbox: Sandbox, rules: Path
) -> None:
    """Accepting a write takes no statement more in a region without cohorts, and one more in one that has some."""
    async with opened(settings, sandbox, worker=False) as world:
        there = await world.made("customers", customer(region="DACH", number=fresh("C")))
        here = await world.made("customers", customer(region="UK", number=fresh("C")))
        narrowed, beside = await cost(world, "DACH", there["id"]), await cost(world, "UK", here["id"])
    assert narrowed == beside + 1
