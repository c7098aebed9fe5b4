"""A slice begins its mirror only where the mirror's product can hold what every write carries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.routing.stage import Stage
from gateway.settings import Settings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, World
from tests.systems.rules import PACKAGED
from tests.systems.sandbox import Sandbox

SPOILT = {
    'billable = { path = "Billable", convert = "boolean" }\ntask_code': "task_code",
    'rate = { amount = "Rate", currency = "CurrencyCode", convert = "decimal_number" }': (
        'rate = { amount = "Rate", currency = "CurrencyCode", convert = "decimal_number", scale = 1 }'
    ),
}


@pytest.fixture
async def spoilt(settings: Settings, sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[World]:
    """Every slice at its beginning, and a cloud that holds no billable and rounds the rate of a time entry."""
    text = files("adapters").joinpath("profiles", "sandbox_cloud.toml").read_text("utf-8")
    for there, instead in SPOILT.items():
        assert there in text
        text = text.replace(there, instead)
    profile = tmp_path / "spoilt.toml"
    profile.write_text(text, "utf-8")
    cloud = msgspec.structs.replace(settings.systems["cloud"], profile=str(profile))
    changed = msgspec.structs.replace(
        settings, rules=str(PACKAGED), systems={**settings.systems, "cloud": cloud}
    )
    async with opened(changed, sandbox) as world:
        yield world


async def _move(world: World, entity: str, **more: Any) -> Any:
    body = {"stage": "dual_write", "reason": "begin", "expected_version": 1, **more}
    return await world.client.put(f"/admin/v1/rules/{entity}/{REGION}", json=body)


async def test_a_mirror_that_cannot_hold_a_write_is_refused(spoilt: World) -> None:
    """The fields are named with the reason and a counterexample; an override is recorded with what it took."""
    refused = await _move(spoilt, "time_entry")
    assert refused.status_code == 422
    told = refused.json()
    assert told["gates"] == ["mapping"]
    (error,) = told["errors"]
    assert "billable is required and sandbox_cloud 1 does not hold it" in error["message"]
    assert (
        "rate is money that sandbox_cloud 1 would change: more than 1 decimals are rounded"
        in error["message"]
    )
    assert (await _move(spoilt, "time_entry", override=True)).status_code == 200
    history = (await spoilt.client.get(f"/admin/v1/rules/time_entry/{REGION}/history")).json()["items"]
    assert history[0]["overridden"] == ["mapping"]


async def test_a_shorter_field_is_taken_with_the_reason(spoilt: World) -> None:
    """A name that is cut forbids nothing; what was taken stands in the audit beside the reason."""
    assert (await _move(spoilt, "customer")).status_code == 200
    audit = (await spoilt.client.get("/admin/v1/audit", params={"action": "rule.set"})).json()["items"]
    (detail,) = [one["detail"] for one in audit if one["subject"] == f"customer/{REGION}"]
    assert detail["reason"] == "begin"
    assert any(line.startswith("name: text longer than 120 characters is cut") for line in detail["mapping"])


async def test_only_the_beginning_of_a_mirror_is_held_back(spoilt: World) -> None:
    """A mirror that is there already is let go, and taken up by no other move, without this gate."""
    await spoilt.stage("time_entry", Stage.DUAL_WRITE, override=True)
    for stage in (Stage.SHADOW, Stage.DUAL_WRITE, Stage.LEGACY_ONLY):
        assert (await spoilt.stage("time_entry", stage)).stage is stage
