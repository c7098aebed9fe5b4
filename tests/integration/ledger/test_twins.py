"""Requests that are alike and are accepted, or refused, in one and the same commit."""

from __future__ import annotations

from typing import Any

from gateway.canonical import CUSTOMER
from gateway.dispatch.command import Command
from gateway.dispatch.idempotency import Intent, KeptRefusal, intent_of
from gateway.dispatch.intake import Accepted, Intake
from gateway.errors import NaturalKeyTaken, PendingWrite, TwinRunning, VersionStale
from tests.integration.ledger.world import World, customer, fresh


def _update(world: World, record_id: str, body: dict[str, Any], key: str, **more: Any) -> Intent:
    command = Command(
        kind="update",
        entity="customer",
        client="tests",
        method="PATCH",
        route="/v1/customers/{id}",
        body=body,
        record_id=record_id,
        idempotency_key=key,
        **more,
    )
    return intent_of(command, entity_prefix=CUSTOMER.prefix, ids=world.gateway.ids)


async def _together(world: World, *intents: Intent) -> list[Any]:
    database = world.gateway.database
    intake = Intake(database=database, lease_s={}, default_legal_entity={})
    return await database.transaction(lambda conn: intake.step(conn, intents))


async def test_a_twin_of_a_refused_write_is_told_of_no_operation(world: World) -> None:
    """Where the first of two equal requests is refused, the second in the same commit is only told to come back: there
    is no operation that it could be told of. When it does, it is told the refusal."""
    one = await world.made("customers", customer(number=fresh()))
    key = fresh()
    stale = [_update(world, one["id"], {"phone": "1"}, key, if_match=7) for _ in range(3)]
    first, *twins = await _together(world, *stale[:2])
    assert isinstance(first, VersionStale)
    for twin in twins:
        assert isinstance(twin, TwinRunning)
        assert "operation" not in twin.facts
    (again,) = await _together(world, stale[2])
    assert isinstance(again, KeptRefusal)
    assert again.problem["kind"] == "VersionStale"


async def test_a_twin_of_a_write_that_may_come_later_finds_its_key_free(world: World) -> None:
    """A refusal that may pass frees the key in the commit in which it is told, so a twin of it finds nothing there."""
    one = await world.made("customers", customer(number=fresh()))
    key = fresh()
    pending = _update(world, one["id"], {"phone": "1"}, fresh())
    refused = [_update(world, one["id"], {"phone": "2"}, key, if_match=1) for _ in range(2)]
    done, first, twin = await _together(world, pending, *refused)
    assert isinstance(done, Accepted)
    assert isinstance(first, PendingWrite)
    assert isinstance(twin, TwinRunning)
    assert "operation" not in twin.facts


async def test_a_twin_of_an_accepted_write_is_told_of_its_operation(world: World) -> None:
    """Where the first of two equal requests is accepted, the second is told which operation is its own."""
    one = await world.made("customers", customer(number=fresh()))
    twins = [_update(world, one["id"], {"phone": "1"}, key) for key in [fresh()] * 2]
    first, second = await _together(world, *twins)
    assert isinstance(first, Accepted)
    assert isinstance(second, TwinRunning)
    assert second.facts["operation"] == first.operation_id


async def test_a_number_that_another_record_has_is_refused_each_time(world: World) -> None:
    """Where one record wants the number of another several times in one commit, it does not get it any time."""
    number = fresh()
    holder = await world.made("customers", customer(number=number))
    one = await world.made("customers", customer(number=fresh()))
    wishes = [_update(world, one["id"], {"number": number}, fresh()) for _ in range(3)]
    for refused in await _together(world, *wishes):
        assert isinstance(refused, NaturalKeyTaken)
        assert refused.facts["location"] == holder["id"]
