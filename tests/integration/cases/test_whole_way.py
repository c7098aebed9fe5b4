"""From a real system's fault to a case, and from a person's decision back to a settled write."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.routing.stage import Stage
from tests.integration.ledger.conftest import rules as rules
from tests.integration.ledger.conftest import settings as settings
from tests.integration.ledger.conftest import world as world
from tests.integration.ledger.world import World, customer, fresh

pytestmark = pytest.mark.server


async def _case(world: World, operation: str) -> dict[str, Any]:
    """The one open case about this operation."""
    found = (await world.client.get("/admin/v1/cases?state=open&limit=200")).json()["items"]
    (one,) = [case for case in found if case["operation"] == operation]
    return one


async def test_what_a_mirror_refused_is_sent_again_by_a_person(world: World) -> None:
    """The operation names its case; decided, the write arrives once and both are at their end."""
    world.sandbox.fault("cloud", "error", status=400, count=1, on=["writes"])
    answer = await world.create("customers", customer(number=fresh()))
    operation = (await world.reaches(answer, "attention"))["id"]
    case = await _case(world, operation)
    assert (case["kind"], case["offers"]) == ("parked_delivery", ["replay", "accept_divergence"])
    assert (await world.operation(answer))["case"]["id"] == case["id"]
    decision = {"as": "replay", "reason": "It takes it now"}
    decided = await world.client.post(f"/admin/v1/cases/{case['id']}/resolve", json=decision)
    assert decided.status_code == 200, decided.text
    told = await world.reaches(answer, "settled")
    assert told["case"] is None
    assert await world.times(answer) == {"legacy": 1, "cloud": 1}
    await world.check()


async def test_what_a_person_says_was_applied_is_found_by_a_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer was lost and the authority could not be asked for too long: unresolved. Once a person says that it is
    there, the look that confirms it commits the write, and nothing was sent twice."""
    monkeypatch.setattr("gateway.dispatch.resolver.GIVE_UP_S", 0.0)
    world.sandbox.fault("legacy", "answer_lost", count=1, on=["writes"])
    away = world.sandbox.fault("legacy", "error", status=503, on=["reads"])
    answer = await world.create("customers", customer(number=fresh()), Prefer="respond-async")
    assert answer.status_code == 202
    operation = (await world.reaches(answer, "unresolved"))["id"]
    case = await _case(world, operation)
    assert case["kind"] == "unknown_outcome"
    world.sandbox.heal("legacy", away)
    decision = {"as": "applied", "reason": "It stands in the system"}
    decided = await world.client.post(f"/admin/v1/cases/{case['id']}/resolve", json=decision)
    assert decided.status_code == 200, decided.text
    await world.reaches(answer, "settled")
    assert await world.times(answer) == {"legacy": 1, "cloud": 1}
    await world.check()


async def test_what_its_authority_left_behind_is_not_sent_to_it_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that nobody could find out about stays behind while its slice moves on, twice, to another authority. Said
    not to be applied, it is not sent to the system that led then: the person is told what to do, and does."""
    await world.stage("customer", Stage.LEGACY_ONLY)
    monkeypatch.setattr("gateway.dispatch.resolver.GIVE_UP_S", 0.0)
    world.sandbox.fault("legacy", "hang", count=1, on=["writes"])
    away = world.sandbox.fault("legacy", "error", status=503, on=["reads"])
    answer = await world.create("customers", customer(number=fresh()), Prefer="respond-async")
    operation = (await world.reaches(answer, "unresolved"))["id"]
    world.sandbox.heal("legacy", away)
    for stage in (Stage.DUAL_WRITE, Stage.SHADOW, Stage.LIVE):
        await world.stage("customer", stage, override=True)
    case = await _case(world, operation)
    decision = {"as": "not_applied_resend", "reason": "It is not in the system"}
    resent = await world.client.post(f"/admin/v1/cases/{case['id']}/resolve", json=decision)
    assert resent.status_code == 409, resent.text
    assert "have it sent anew" in resent.json()["detail"]
    refuse = {"as": "not_applied_refuse", "reason": "It is not in the system"}
    refused = await world.client.post(f"/admin/v1/cases/{case['id']}/resolve", json=refuse)
    assert refused.status_code == 200, refused.text
    assert (await world.operation(answer))["state"] == "rejected"
    await world.quiet()
    assert await world.times(answer) == {"legacy": 0, "cloud": 0}
    await world.check()
