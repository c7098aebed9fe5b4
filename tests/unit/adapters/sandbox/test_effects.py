"""The effect log: everything that was done, and nothing else."""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

import pytest

from adapters.sandbox.cloud.system import CloudSystem
from adapters.sandbox.legacy.system import LegacySystem
from adapters.sandbox.simulator import Simulator
from tests.unit.adapters.sandbox.dialects import Cloud, Dialect, Legacy, first_key

Erp = Legacy | Cloud


async def test_every_write_is_logged_once_in_order(erp: Erp) -> None:
    """Sequence, action, key and marker of each write; reads and refused writes leave nothing."""
    name = erp.native("customer", {"name": "A"})
    created = await erp.create("customer", name, marker="op_1")
    key = erp.record(created)[erp.simulator.shelves["customer"].table.key]
    await erp.update("customer", key, erp.native("customer", {"name": "B"}), marker="op_2")
    await erp.fetch("customer", key)
    await erp.create("customer", {})
    await erp.update("customer", key, erp.native("customer", {"legal_entity": "XX99"}), marker="op_3")
    shown = [(e["seq"], e["action"], e["key"], e["marker"], e["version"]) for e in await erp.effects()]
    assert shown == [(1, "create", key, "op_1", 1), (2, "update", key, "op_2", 2)]
    first = (await erp.effects())[0]
    assert (first["system"], first["entity"]) == (erp.name, "customer")
    assert next(iter(name)) in first["main"]
    assert first["body_hash"] == blake2b(created.request.content, digest_size=16).hexdigest()


async def test_effects_are_found_by_what_is_known(erp: Erp) -> None:
    """Since, marker, entity and key narrow; last tells where the log ends."""
    for number in range(3):
        await erp.create("customer", erp.native("customer", {"name": f"A{number}"}), marker=f"op_{number}")
    assert [e["marker"] for e in await erp.effects(since=1)] == ["op_1", "op_2"]
    assert [e["seq"] for e in await erp.effects(marker="op_2")] == [3]
    assert await erp.effects(entity="invoice") == []
    assert len(await erp.effects(since=0, limit=2)) == 2
    assert (await erp.http.get("/_sandbox/effects?since=3")).json() == {"items": [], "last": 3}
    assert (await erp.http.get("/_sandbox/effects?colour=red")).status_code == 400


async def test_an_update_without_marker_is_logged_without(erp: Erp) -> None:
    """The log names the marker that the write carried, not the one that the record still holds."""
    key = first_key(erp, "customer")
    await erp.update("customer", key, erp.native("customer", {"phone": "1"}), marker="op_1")
    await erp.update("customer", key, erp.native("customer", {"phone": "2"}))
    assert [e["marker"] for e in await erp.effects()] == ["op_1", None]


async def test_direct_edits_are_told_from_writes(erp: Erp) -> None:
    """An edit behind everyone's back keeps the marker and is logged as what it is."""
    key = first_key(erp, "customer")
    await erp.update("customer", key, erp.native("customer", {"phone": "1"}), marker="op_1")
    before = erp.record(await erp.fetch("customer", key))
    reply = await erp.edit(entity="customer", key=key, set=erp.native("customer", {"phone": "2"}))
    assert reply.status_code == 200
    after = erp.record(await erp.fetch("customer", key))
    changed = {name for name in after if after[name] != before[name]}
    stamps = {"legacy": {"Zaehler", "Aenderung"}, "cloud": {"@odata.etag", "ModifiedAt"}}[erp.name]
    assert changed - stamps == set(erp.native("customer", {"phone": ""}))
    assert [(e["action"], e["marker"]) for e in await erp.effects()][1] == ("direct_edit", None)


async def test_direct_edits_insert_and_delete(erp: Erp) -> None:
    """Records come and go without the interface."""
    made = await erp.edit(entity="customer", action="insert", set=erp.native("customer", {"name": "New"}))
    key = made.json()["key"]
    assert (await erp.fetch("customer", key)).status_code == 200
    assert (await erp.edit(entity="customer", action="delete", key=key)).status_code == 200
    assert (await erp.fetch("customer", key)).status_code == 404
    assert [e["action"] for e in await erp.effects()] == ["direct_edit", "direct_edit"]


async def test_an_untouching_edit_leaves_the_stamps(erp: Erp) -> None:
    """Some changes inside an ERP leave no trace in its change stamp: only the values differ."""
    key = first_key(erp, "customer")
    before = erp.record(await erp.fetch("customer", key))
    await erp.edit(entity="customer", key=key, touch=False, set=erp.native("customer", {"phone": "2"}))
    after = erp.record(await erp.fetch("customer", key))
    assert {n for n in after if after[n] != before.get(n)} == set(erp.native("customer", {"phone": ""}))


@pytest.mark.parametrize(
    "edit",
    [
        {"entity": "moon"},
        {"entity": "customer", "key": "nobody"},
        {"entity": "customer", "action": "burn"},
        {"entity": "customer", "colour": 1},
    ],
)
async def test_a_senseless_edit_is_refused(erp: Erp, edit: dict[str, object]) -> None:
    """The switch says what is wrong and nothing is done."""
    reply = await erp.edit(**edit)
    assert reply.status_code in (400, 404)
    assert reply.json()["error"]
    assert await erp.effects() == []


@pytest.mark.parametrize("kind", [LegacySystem, CloudSystem])
async def test_the_file_holds_the_log(tmp_path: Path, kind: type[Simulator]) -> None:
    """Line by line the same as over HTTP, readable by another process before the answer has come back."""
    file = tmp_path / "effects.jsonl"
    dialect: Dialect = (Legacy if kind is LegacySystem else Cloud)(kind(effects_file=file))  # pyright: ignore
    for number in range(3):
        fields = dialect.native("customer", {"name": f"A{number}"})
        await dialect.create("customer", fields, marker=f"op_{number}")  # type: ignore[attr-defined]
        assert len(file.read_text().splitlines()) == number + 1
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines == await dialect.effects()
    dialect.simulator.effects.close()
    await dialect.http.aclose()
