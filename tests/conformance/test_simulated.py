"""Each profile of a simulated system against the system itself: every entity, every call of the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import httpx
import pytest

from adapters.build import open_adapter
from adapters.contract import Adapter, Query, Write
from adapters.errors import (
    AdapterError,
    Conflict,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unavailable,
    Unreadable,
)
from adapters.profile import load, names
from adapters.sandbox.process import Options, Sandbox, running
from tests.conformance.samples import CHANGES, ENTITIES, REFUSED, SAMPLES, STATES, resolved

pytestmark = pytest.mark.enable_socket

SIMULATED = tuple(name for name in names() if load(name).product.startswith("sandbox_"))
SCALE = 0.02


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(Options(legacy_port=0, cloud_port=0, control_port=0, scale=SCALE)) as started:
        yield started


@pytest.fixture(params=SIMULATED)
async def adapter(request: pytest.FixtureRequest, sandbox: Sandbox) -> AsyncIterator[Adapter]:
    system = load(request.param).product.removeprefix("sandbox_")
    opened = open_adapter(system, load(request.param), sandbox.ports[system].address)
    yield opened
    await opened.close()


def alike(value: Any) -> Any:
    """For comparing values: decimals by value, whatever zeros they are spelled with."""
    if isinstance(value, str):
        try:
            return Decimal(value)
        except ArithmeticError:
            return value
    if isinstance(value, list):
        return [alike(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: alike(item) for name, item in cast("dict[str, Any]", value).items()}
    return value


class Made:
    """Creates the samples in order and remembers what the system called them."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.ids: dict[str, str] = {}
        self.fields: dict[str, dict[str, Any]] = {}

    def write(self, entity: str, fields: dict[str, Any], marker: str, **more: Any) -> Write:
        return Write(entity=entity, marker=marker, external_id=f"x_{entity}_1", fields=fields, **more)

    async def upto(self, last: str) -> str:
        for entity in ENTITIES[: ENTITIES.index(last) + 1]:
            fields = resolved(SAMPLES[entity], self.ids)
            receipt = await self.adapter.create(self.write(entity, fields, f"op_{entity}_create"))
            self.ids[entity], self.fields[entity] = receipt.native_id, fields
        return self.ids[last]


@pytest.mark.parametrize("entity", ENTITIES)
async def test_the_life_of_a_record(adapter: Adapter, entity: str) -> None:
    """Created, read back, found by its marker, changed, moved: each time exactly as ``expect`` foretold."""
    made = Made(adapter)
    native_id = await made.upto(entity)
    expected = adapter.expect(entity, made.fields[entity])
    assert set(expected) >= set(SAMPLES[entity]) - {"custom_fields"}

    found = await adapter.fetch(entity, native_id)
    assert alike({name: found.fields[name] for name in expected}) == alike(expected)
    assert (found.native_id, found.marker) == (native_id, f"op_{entity}_create")
    assert found.native_version is not None
    assert found.modified_at is not None

    (by_marker,) = await adapter.find(entity, marker=f"op_{entity}_create")
    assert by_marker == found
    assert await adapter.find(entity, marker="op_of_nobody") == ()

    if found.external_id is not None:
        assert found.external_id == f"x_{entity}_1"
        assert await adapter.find(entity, external_id=found.external_id) == (found,)
        assert await adapter.find(entity, external_id=("x_nobody", found.external_id)) == (found,)

    change = CHANGES[entity]
    updated = await adapter.update(
        made.write(
            entity, change, f"op_{entity}_update", native_id=native_id, native_version=found.native_version
        )
    )
    after = await adapter.fetch(entity, native_id)
    assert alike({n: after.fields[n] for n in change}) == alike(adapter.expect(entity, change))
    untouched = set(expected) - set(change)
    assert alike({n: after.fields[n] for n in untouched}) == alike({n: expected[n] for n in untouched})
    assert after.marker == f"op_{entity}_update"
    assert after.native_version != found.native_version
    assert updated.native_version in {None, after.native_version}

    moved = await adapter.transition(
        made.write(
            entity, {}, f"op_{entity}_move", native_id=native_id, native_version=after.native_version,
            to_state=STATES[entity],
        )
    )  # fmt: skip
    last = await adapter.fetch(entity, native_id)
    assert (moved.native_id, last.fields["state"], last.marker) == (
        native_id,
        STATES[entity],
        f"op_{entity}_move",
    )


@pytest.mark.parametrize("entity", ENTITIES)
async def test_a_missing_record_is_not_found(adapter: Adapter, entity: str) -> None:
    """An id that the system does not know is NotFound, a refusal that no retry heals."""
    with pytest.raises(NotFound):
        await adapter.fetch(entity, "999999999")


@pytest.mark.parametrize("entity", REFUSED)
async def test_a_refusal_names_the_canonical_field(adapter: Adapter, entity: str) -> None:
    """A reference to nobody is refused with the field in our words and the system's code; nothing is
    stored."""
    made = Made(adapter)
    await made.upto(ENTITIES[ENTITIES.index(entity) - 1])
    field = REFUSED[entity]
    fields = {**resolved(SAMPLES[entity], made.ids), field: "777777777"}
    with pytest.raises(Rejected) as caught:
        await adapter.create(made.write(entity, fields, "op_refused"))
    assert caught.value.field == field
    assert caught.value.code
    assert caught.value.message
    assert await adapter.find(entity, marker="op_refused") == ()


async def test_a_refusal_inside_a_line_names_the_line_field(adapter: Adapter) -> None:
    """A nested field is named by its canonical path."""
    made = Made(adapter)
    await made.upto("project")
    fields = resolved(SAMPLES["invoice"], made.ids)
    fields["lines"][1]["project_id"] = "777777777"
    with pytest.raises(Rejected) as caught:
        await adapter.create(made.write("invoice", fields, "op_refused"))
    assert caught.value.field == "lines[].project_id"


async def test_what_the_product_cannot_hold_is_refused_before_it_is_sent(
    adapter: Adapter, sandbox: Sandbox
) -> None:
    """A word that the code table lacks never leaves us; the error names its path."""
    made = Made(adapter)
    await made.upto("project")
    fields = resolved(SAMPLES["invoice"], made.ids)
    fields["lines"][1]["tax_code"] = "moonshine"
    with pytest.raises(Rejected) as caught:
        await adapter.create(made.write("invoice", fields, "op_unmappable"))
    assert (caught.value.code, caught.value.field) == ("unmappable", "lines[1].tax_code")


@pytest.mark.parametrize("limit", [7, 200])
@pytest.mark.parametrize("entity", ["customer", "time_entry", "invoice"])
async def test_pages_hold_every_record_once(
    adapter: Adapter, sandbox: Sandbox, entity: str, limit: int
) -> None:
    """However many pages, each record is on exactly one of them."""
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await adapter.search(entity, Query(limit=limit, cursor=cursor))
        seen += [found.native_id for found in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        assert len(seen) < 10_000
    async with httpx.AsyncClient() as client:
        url = f"{sandbox.control_url}/{adapter.name}/_sandbox/stats"
        records = (await client.get(url)).json()["records"]
    assert len(seen) == len(set(seen)) == records[entity]


async def test_search_filters_by_canonical_values(adapter: Adapter) -> None:
    """Conditions are asked for in canonical words and codes; several values mean any of them."""
    made = Made(adapter)
    await made.upto("time_entry")
    page = await adapter.search(
        "time_entry", Query(where={"project_id": made.ids["project"], "state": "draft"})
    )
    assert [found.native_id for found in page.items] == [made.ids["time_entry"]]
    none = await adapter.search(
        "time_entry", Query(where={"project_id": made.ids["project"], "state": "posted"})
    )
    assert none.items == ()
    any_of = Query(
        where={"project_id": made.ids["project"], "state": ("posted", "draft"), "date": "2026-11-20"}
    )
    assert len((await adapter.search("time_entry", any_of)).items) == 1


async def test_search_by_change_time_includes_its_moment(adapter: Adapter) -> None:
    """``updated_since`` is inclusive, so that a change of the same instant is never missed."""
    made = Made(adapter)
    native_id = await made.upto("customer")
    changed = (await adapter.fetch("customer", native_id)).modified_at
    assert changed is not None
    at = await adapter.search("customer", Query(updated_since=changed))
    assert native_id in {found.native_id for found in at.items}
    later = await adapter.search("customer", Query(updated_since=changed + timedelta(seconds=5)))
    assert later.items == ()


async def test_every_seeded_record_can_be_read(adapter: Adapter) -> None:
    """The mapping understands all that the system holds, not only what we wrote; and it would survive a
    write."""
    for entity in ENTITIES:
        cursor: str | None = None
        while True:
            page = await adapter.search(entity, Query(limit=200, cursor=cursor))
            for found in page.items:
                assert adapter.expect(entity, found.fields) == found.fields
            if (cursor := page.next_cursor) is None:
                break


async def test_idempotency_is_what_the_profile_says(adapter: Adapter) -> None:
    """Class B makes one record of two creates with the same external id; class D makes two, both found by
    marker."""
    made = Made(adapter)
    fields = dict(SAMPLES["customer"])
    for _ in range(2):
        await adapter.create(made.write("customer", fields, "op_twice"))
    found = await adapter.find("customer", marker="op_twice")
    assert len(found) == {"B": 1, "D": 2}[adapter.facts("customer").idempotency]


async def test_a_stale_update_is_a_conflict_where_updates_are_conditional(adapter: Adapter) -> None:
    """A version that is not the current one is refused; where there is no condition, the profile says so."""
    made = Made(adapter)
    native_id = await made.upto("customer")
    stale = (await adapter.fetch("customer", native_id)).native_version
    first = made.write("customer", {"phone": "1"}, "op_a", native_id=native_id, native_version=stale)
    await adapter.update(first)
    second = made.write("customer", {"phone": "2"}, "op_b", native_id=native_id, native_version=stale)
    if adapter.facts("customer").conditional:
        with pytest.raises(Conflict):
            await adapter.update(second)
    else:
        await adapter.update(second)


async def switch(sandbox: Sandbox, adapter: Adapter, **fault: Any) -> None:
    """Sets a fault of the system, and no other."""
    async with httpx.AsyncClient() as client:
        url = f"{sandbox.control_url}/{adapter.name}/_sandbox/faults"
        await client.delete(url)
        if fault:
            assert (await client.post(url, json=fault)).status_code == 201


@pytest.mark.parametrize(
    ("fault", "error", "landed"),
    [
        ({"kind": "outage"}, Unavailable, 0),
        ({"kind": "throttle", "retry_after_s": 1, "count": 1}, Throttled, 0),
        ({"kind": "drop", "count": 1}, OutcomeUnknown, 0),
        ({"kind": "drop", "how": "reset", "count": 1}, OutcomeUnknown, 0),
        ({"kind": "answer_lost", "count": 1}, OutcomeUnknown, 1),
        ({"kind": "answer_lost", "how": "reset", "count": 1}, OutcomeUnknown, 1),
        ({"kind": "error", "status": 500, "effect": True, "count": 1}, OutcomeUnknown, 1),
        ({"kind": "error", "status": 503, "effect": False, "count": 1}, OutcomeUnknown, 0),
        ({"kind": "garbage", "count": 1}, Unreadable, 1),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
async def test_a_fault_is_told_for_what_it_is(
    adapter: Adapter, sandbox: Sandbox, fault: dict[str, Any], error: type[AdapterError], landed: int
) -> None:
    """Whatever happened to the write: the class never promises more than we know, and the marker finds what
    landed."""
    made = Made(adapter)
    await switch(sandbox, adapter, **fault)
    with pytest.raises(error) as caught:
        await adapter.create(made.write("customer", dict(SAMPLES["customer"]), "op_fault"))
    assert type(caught.value) is error
    await switch(sandbox, adapter)
    assert len(await adapter.find("customer", marker="op_fault")) == landed


async def test_throttling_carries_the_time_to_wait(adapter: Adapter, sandbox: Sandbox) -> None:
    """429 is a definite no with the wait that the system asked for."""
    await switch(sandbox, adapter, kind="throttle", retry_after_s=17, spelling="seconds", count=1)
    with pytest.raises(Throttled) as caught:
        await adapter.search("customer", Query(limit=1))
    assert caught.value.retry_after_s == 17


async def test_probe_tells_health(adapter: Adapter, sandbox: Sandbox) -> None:
    """A system that answers is well; one that refuses connections is not, and says why."""
    assert (await adapter.probe()).ok
    await switch(sandbox, adapter, kind="outage")
    health = await adapter.probe()
    assert not health.ok
    assert "Unavailable" in health.detail
