"""A waiver the whole way: two systems that part, a person who accepts it for a time, and the end of that."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.commands import run
from tests.integration.ledger.world import World, customer, fresh
from tests.systems.sandbox import SYSTEMS


async def test_a_difference_is_waived_and_comes_back(
    world: World,
    journal: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Somebody edits the mirror: a mismatch. Waived over HTTP it is explained within seconds, with nothing written to
    either system; ended on the command line it is a mismatch again. The audit tells both acts."""
    made = await world.made("customers", customer(number=fresh(), name="Harbour Engineering"))
    await world.quiet()
    native = (await world.get(f"/v1/customers/{made['id']}")).json()["external_refs"]["cloud"]
    world.sandbox.edit("cloud", "customer", native, {"Name": "Harbor Engineering"})
    assert (await world.patch("customers", made["id"], {"phone": "+44 20 7946 0000"})).status_code == 200
    await world.quiet()
    world.sandbox.edit("cloud", "customer", native, {"Name": "Harbor Engineering"})

    async def verdict(wanted: str) -> dict[str, Any]:
        async def there() -> Any:
            items = (await world.get(f"/admin/v1/diffs?record_id={made['id']}")).json()["items"]
            open_ = [one for one in items if one["resolved_at"] is None]
            return next((one for one in open_ if one["verdict"] == wanted), None)

        return await world.until(there, f"the record is {wanted}")

    parted = await verdict("mismatch")
    (difference,) = parted["differences"]
    effects = {system: world.effects(system) for system in SYSTEMS}
    wish = {
        "entity": "customer",
        "region": "UK",
        "field": difference["field"],
        "class": difference["class"],
        "reason": "to be cleaned before the switch",
        "owner": "data steward",
        "expires_at": (datetime.now(UTC) + timedelta(days=7)).isoformat(),
        "pair": {"authority": difference["authority"], "other": difference["other"]},
    }
    answer = await world.client.post("/admin/v1/waivers", json=wish)
    assert answer.status_code == 201, answer.text
    waiver = answer.json()["id"]
    explained = await verdict("explained")
    assert explained["differences"][0]["explained"] == f"waived {waiver}"
    assert (await world.get(f"/admin/v1/waivers/{waiver}")).json()["findings"] == 1

    monkeypatch.setenv("TWINRUN_DATABASE", journal)
    for name in SYSTEMS:
        monkeypatch.setenv(f"TWINRUN_SYSTEMS__{name.upper()}__BASE_URL", world.sandbox.urls[name])
    monkeypatch.chdir(tmp_path)
    assert await asyncio.to_thread(run, ["waivers", "--json"]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)["items"]] == [waiver]
    assert await asyncio.to_thread(run, ["waivers", "revoke", waiver]) == 0
    await verdict("mismatch")
    assert {system: world.effects(system) for system in SYSTEMS} == effects
    acts = (await world.get("/admin/v1/audit")).json()["items"]
    assert [act["action"] for act in acts if act["action"].startswith("waiver")] == [
        "waiver.revoke",
        "waiver.create",
    ]
