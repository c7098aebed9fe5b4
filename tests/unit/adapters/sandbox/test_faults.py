"""Fault switches: each does what it says, as often as it says, to whom it says."""

from __future__ import annotations

import asyncio
import re
import time
from decimal import Decimal
from typing import Any

import httpx
import pytest

from adapters.sandbox.cloud.system import CloudSystem
from tests.unit.adapters.sandbox.dialects import Cloud, Legacy, first_key, loaded

Erp = Legacy | Cloud


async def customers(erp: Erp, name: str = "A") -> httpx.Response:
    return await erp.create("customer", erp.native("customer", {"name": name}), marker="op_1")


async def eventually(erp: Erp, count: int) -> list[dict[str, Any]]:
    """Waits for effects, with a deadline."""
    async with asyncio.timeout(5):
        while len(found := await erp.effects()) < count:  # noqa: ASYNC110 - the log is read over HTTP
            await asyncio.sleep(0.005)
    return found


@pytest.mark.parametrize("how", ["close", "reset", "hang"])
async def test_answer_lost(erp: Erp, how: str) -> None:
    """The write is done, the caller never hears of it; the next one is answered."""
    await erp.arm(kind="answer_lost", how=how, s=0.02, on=["writes"], count=1)
    with pytest.raises(ConnectionResetError):
        await customers(erp)
    assert [e["marker"] for e in await erp.effects()] == ["op_1"]
    assert (await customers(erp)).status_code == 201


async def test_drop(erp: Erp) -> None:
    """The request is read and nothing is done."""
    await erp.arm(kind="drop", count=1)
    with pytest.raises(ConnectionResetError):
        await customers(erp)
    assert await erp.effects() == []


async def test_late(erp: Erp) -> None:
    """The caller is left alone first, and the effect comes afterwards."""
    await erp.arm(kind="late", s=0.05, count=1)
    with pytest.raises(ConnectionResetError):
        await customers(erp)
    assert await erp.effects() == []
    assert [e["marker"] for e in await eventually(erp, 1)] == ["op_1"]


async def test_hang(erp: Erp) -> None:
    """Silence for the given time, then the end, and nothing was done."""
    await erp.arm(kind="hang", s=0.05, count=1)
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        await customers(erp)
    assert time.monotonic() - began >= 0.05
    assert await erp.effects() == []


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 401])
async def test_error(erp: Erp, status: int, effect: bool) -> None:
    """Any status, with or without the effect."""
    await erp.arm(kind="error", status=status, effect=effect, retry_after_s=3)
    reply = await customers(erp)
    assert (reply.status_code, reply.headers["retry-after"]) == (status, "3")
    assert len(await erp.effects()) == int(effect)


@pytest.mark.parametrize(
    ("spelling", "pattern"),
    [("seconds", r"7"), ("date", r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), ("none", None)],
)
async def test_throttle(erp: Erp, spelling: str, pattern: str | None) -> None:
    """429 in several spellings, nothing done."""
    await erp.arm(kind="throttle", retry_after_s=7, spelling=spelling)
    reply = await customers(erp)
    assert reply.status_code == 429
    header = reply.headers.get("retry-after")
    assert header is None if pattern is None else re.fullmatch(pattern, header)
    assert await erp.effects() == []


async def test_garbage(erp: Erp) -> None:
    """200 and half an answer: it cannot be read, but the write was done."""
    await erp.arm(kind="garbage", count=1)
    reply = await customers(erp)
    assert reply.status_code == 200
    with pytest.raises(Exception):  # noqa: B017 - whatever the parser of the dialect raises
        erp.record(reply)
    assert len(await erp.effects()) == 1


async def test_double() -> None:
    """A request that the network doubles is two records where nothing guards, and one where an id does."""
    legacy, cloud = Legacy(), Cloud()
    await legacy.arm(kind="double", count=1)
    await customers(legacy)
    assert len(await legacy.effects()) == 2
    await cloud.arm(kind="double", count=1)
    await cloud.upsert("customer", "cus_1", {"Name": "A"})
    assert len(await cloud.effects()) == 1


async def test_latency(erp: Erp) -> None:
    """Waits add up, and the effect comes at the end of the wait."""
    for _ in range(2):
        await erp.arm(kind="latency", ms=30, on=["create"])
    task = asyncio.create_task(customers(erp))
    await asyncio.sleep(0.01)
    assert await erp.effects() == []
    began = time.monotonic()
    assert (await task).status_code == 201
    assert time.monotonic() - began >= 0.04


async def test_read_lag(erp: Erp) -> None:
    """Reads and searches answer the past, as far back as the lag; writes see the present."""
    key = first_key(erp, "customer")
    old = (await erp.fetch("customer", key)).content
    armed = await erp.arm(kind="read_lag", s=60)
    phone = next(iter(erp.native("customer", {"phone": ""})))
    assert erp.record(await erp.update("customer", key, {phone: "42"}, marker="op_1"))[phone] == "42"
    made = await customers(erp)
    new = erp.record(made)[erp.simulator.shelves["customer"].table.key]
    assert (await erp.fetch("customer", key)).content == old
    assert (await erp.fetch("customer", new)).status_code == 404
    assert await erp.keys("customer", "Referenz" if erp.name == "legacy" else "LastOperation", "op_1") == []
    await erp.http.delete(f"/_sandbox/faults/{armed['id']}")
    assert erp.record(await erp.fetch("customer", key))[phone] == "42"


async def test_read_lag_passes() -> None:
    """The lag is a window that moves: what is older than it is seen."""
    now = 1_800_000_000_000_000
    cloud = Cloud(loaded(CloudSystem(clock=lambda: now)))
    key = first_key(cloud, "customer")
    await cloud.arm(kind="read_lag", s=5, on=["search"])
    for seconds, phone in ((1, "first"), (4, "second")):
        now += seconds * 1_000_000
        await cloud.update("customer", key, {"Phone": phone})
    assert await cloud.keys("customer", "Phone", "second") == []
    assert (await cloud.fetch("customer", key)).json()["Phone"] == "second"
    now += 2_000_000
    assert await cloud.keys("customer", "Phone", "first") == [key]
    now += 3_000_000
    assert await cloud.keys("customer", "Phone", "second") == [key]


async def test_rounding(erp: Erp) -> None:
    """Amounts of a write lose their cents without a word; other fields and rows stay whole."""
    await erp.arm(kind="rounding", places=0, fields=["credit_limit"], entity=["customer"])
    value = "1234,56" if erp.name == "legacy" else 1234.56
    fields = erp.native("customer", {"name": "A", "credit_limit.amount": value})
    record = erp.record(await erp.create("customer", fields))
    name = next(iter(erp.native("customer", {"credit_limit.amount": ""})))
    assert Decimal(str(record[name]).replace(",", ".")) == 1235


async def test_truncation(erp: Erp) -> None:
    """Texts of a write lose their last character, wrong by one and declared nowhere."""
    await erp.arm(kind="truncation", fields=["name"])
    record = erp.record(await customers(erp, "Kestrin"))
    assert record[next(iter(erp.native("customer", {"name": ""})))] == "Kestri"


@pytest.mark.parametrize("after_s", [0, 0.03])
async def test_drift(erp: Erp, after_s: float) -> None:
    """A field changes by itself after a write, at once or later; the log says that nobody asked for it."""
    await erp.arm(kind="drift", s=after_s, fields=["name"], count=1)
    reply = await customers(erp, "Kestrin")
    key = erp.record(reply)[erp.simulator.shelves["customer"].table.key]
    effects = await eventually(erp, 2)
    assert [(e["action"], e["marker"]) for e in effects] == [("create", "op_1"), ("direct_edit", None)]
    assert (
        erp.record(await erp.fetch("customer", key))[next(iter(erp.native("customer", {"name": ""})))]
        == "Kestrin *"
    )


async def test_filters_say_whom_it_strikes(erp: Erp) -> None:
    """Entity and kind of call narrow a fault; what does not match is served as usual."""
    await erp.arm(kind="error", status=503, entity=["customer"], on=["writes"])
    assert (await customers(erp)).status_code == 503
    assert (await erp.fetch("customer", first_key(erp, "customer"))).status_code == 200
    reply = await erp.create("resource", erp.native("resource", {"name": "R", "kind": "E"}))
    assert reply.status_code != 503
    assert await erp.hits() == [1]


async def test_count_ends_a_fault_and_keeps_its_hits(erp: Erp) -> None:
    """After its last strike it stays listed, inactive, until it is taken away."""
    await erp.arm(kind="error", count=2)
    assert [(await customers(erp)).status_code for _ in range(3)] == [500, 500, 201]
    (shown,) = (await erp.http.get("/_sandbox/faults")).json()["items"]
    assert (shown["hits"], shown["active"]) == (2, False)
    assert (await erp.http.delete("/_sandbox/faults")).status_code == 204
    assert await erp.hits() == []


async def test_expiry_ends_a_fault(erp: Erp) -> None:
    """A fault switches itself off."""
    await erp.arm(kind="error", for_s=0.5)
    assert (await customers(erp)).status_code == 500
    async with asyncio.timeout(10):
        while (await customers(erp)).status_code == 500:  # noqa: ASYNC110 - the simulated system has no event to wait for
            await asyncio.sleep(0.05)


async def test_probability_is_dice_with_a_seed() -> None:
    """About as often as said, and the same for the same seed."""
    runs: list[list[int]] = []
    for _ in range(2):
        cloud = Cloud(loaded(CloudSystem(seed=3)))
        await cloud.arm(kind="error", probability=0.3)
        runs.append([(await cloud.http.get("/odata/v4/")).status_code for _ in range(200)])
    assert runs[0] == runs[1]
    assert 30 < runs[0].count(500) < 90


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"kind": "gremlin"}, "kind"),
        ({"kind": "error", "colour": 1}, "colour"),
        ({"kind": "error", "entity": ["moon"]}, "moon"),
        ({"kind": "error", "on": ["mondays"]}, "on"),
        ({"kind": "error", "probability": 2}, "probability"),
        ({"kind": "outage", "entity": ["customer"]}, "outage"),
        ({}, "kind"),
    ],
)
async def test_a_switch_that_makes_no_sense_is_refused(erp: Erp, fault: dict[str, Any], named: str) -> None:
    """The message names the field; nothing is switched on."""
    reply = await erp.http.post("/_sandbox/faults", json=fault)
    assert reply.status_code == 400
    assert named in reply.json()["error"]
    assert await erp.hits() == []


async def test_switches_work_while_everything_fails(erp: Erp) -> None:
    """The control door is never faulty."""
    await erp.arm(kind="drop")
    assert (await erp.http.get("/_sandbox/health")).json()["ready"] is True
    assert (await erp.http.get("/_sandbox/stats")).json()["records"]["customer"] > 0
