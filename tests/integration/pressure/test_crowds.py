"""More callers than a system bears, and a system that hangs: who is let in is served, who is not is told at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from gateway.settings import Settings
from tests.integration.ledger.world import customer, resource
from tests.integration.pressure.conftest import opened, settings_of
from tests.systems.sandbox import Sandbox

AUTHORITY, MIRROR = "legacy", "cloud"


async def test_too_many_callers_are_told_at_once_and_nothing_accepted_is_lost(
    settings: Settings, erps: Sandbox
) -> None:
    """Beyond those in flight and those queued: 503 with Retry-After without waiting, and nothing of it is kept. Every
    other write is in both systems once."""
    limited = msgspec.structs.replace(settings, callers_in_flight=4, callers_queued=6)
    async with opened(limited, erps) as world:
        await world.made("customers", customer())
        erps.fault(AUTHORITY, "latency", ms=2000, on=["writes"])
        ended: list[int] = []

        async def one() -> None:
            answer = await world.create("customers", customer(), Prefer="wait=25")
            ended.append(answer.status_code)
            if answer.status_code == 503:
                assert int(answer.headers["Retry-After"]) >= 1
                assert answer.json()["retryable"] is True

        await asyncio.gather(*(one() for _ in range(40)))
        # Each refusal is told before the first of those who got a place is answered.
        assert ended == [503] * 30 + [201] * 10
        await world.quiet()
        assert len(world.effects(AUTHORITY, entity="customer")) == 11
        await world.check()


async def test_nobody_waits_in_vain(settings: Settings, erps: Sandbox) -> None:
    """Whose place would not come free in the time that he waits is refused before the first of those who got one is
    answered; the others are all served."""
    limited = msgspec.structs.replace(settings, callers_in_flight=2, callers_queued=100)
    async with opened(limited, erps) as world:
        # The last who is let in waits for 3.3 of his 4 seconds, the first who is not would have waited for 4.1.
        erps.fault(AUTHORITY, "latency", ms=1650, on=["writes"])
        await asyncio.gather(*(world.made("customers", customer()) for _ in range(2)))
        ended: list[int] = []

        async def one() -> None:
            answer = await world.create("customers", customer(), Prefer="wait=4")
            ended.append(answer.status_code)
            if answer.status_code == 503:
                assert int(answer.headers["Retry-After"]) >= 4

        await asyncio.gather(*(one() for _ in range(30)))
        served = ended.count(201)
        assert 2 < served < 10
        assert ended == [503] * (30 - served) + [201] * served
        await world.quiet()
        assert len(world.effects(AUTHORITY, entity="customer")) == 2 + served
        await world.check()


async def test_a_hanging_system_takes_only_its_own_callers(journal: str, rules: Path, erps: Sandbox) -> None:
    """One system hangs, and a hundred callers with it: a hundred writes of slices that the other one answers for are
    answered before one of those is, and before one call to the hanging system has ended."""
    file = rules / "resource.toml"
    file.write_text(file.read_text("utf-8").replace('"dual_write"', '"live"'), encoding="utf-8")
    settings = settings_of(journal, rules, erps)
    patient = {
        name: msgspec.structs.replace(system, timeout_s=30.0) for name, system in settings.systems.items()
    }
    async with opened(msgspec.structs.replace(settings, systems=patient), erps) as world:
        await world.made("resources", resource())
        await world.quiet()
        erps.fault(AUTHORITY, "hang", s=15, on=["writes"])
        hanging = [
            asyncio.create_task(world.create("customers", customer(), Prefer="wait=25")) for _ in range(100)
        ]

        async def begun() -> bool:
            return world.requests(AUTHORITY, "customer.create") > 20

        await world.until(begun, "callers hang", 10)
        answers = await asyncio.gather(
            *(world.create("resources", resource(), Prefer="wait=25") for _ in range(100))
        )
        assert {answer.status_code for answer in answers} == {201}
        assert not any(caller.done() for caller in hanging)
        states = {
            line.state
            for line in await world.lines()
            if line.system == AUTHORITY and line.record.startswith("cus_")
        }
        assert states <= {"ready", "sending"}, "no call to it has ended"
        erps.heal()
        answers = await asyncio.gather(*hanging)
        assert {answer.status_code for answer in answers} <= {201, 202, 503}


async def test_a_write_without_room_is_refused_unread(journal: str, rules: Path, erps: Sandbox) -> None:
    """While as many callers wait as may, a write is refused whatever its body holds, in the form of every refusal.
    Who may not write at all is told that, reads go on, and so do writes that another system answers for."""
    file = rules / "resource.toml"
    file.write_text(file.read_text("utf-8").replace('"dual_write"', '"live"'), encoding="utf-8")
    limited = msgspec.structs.replace(settings_of(journal, rules, erps), callers_in_flight=2, callers_queued=3)
    async with opened(limited, erps) as world:
        made = await world.made("customers", customer())
        reader, _ = await world.gateway.keys.create("reads", scopes=["read"], actor="tests")
        erps.fault(AUTHORITY, "hang", s=20, on=["writes"])
        held = [asyncio.create_task(world.create("customers", customer(), Prefer="wait=25")) for _ in range(5)]

        async def packed() -> bool:
            return world.gateway.executor.crowded

        await world.until(packed, "five callers wait", 10)
        path = f"/v1/customers/{made['id']}"
        key = {"Idempotency-Key": "unread", "X-Request-Id": "mine"}
        broken = {"content": b"{", "headers": {**key, "Content-Type": "application/json"}}
        for method, there in (("POST", "/v1/customers"), ("PATCH", path), ("POST", f"{path}/transitions")):
            refused = await world.client.request(method, there, **broken)
            told = refused.json()
            assert (refused.status_code, told["type"]) == (503, "urn:twinrun:problem:not-accepted"), told
            assert (told["instance"], told["retryable"], told["system"]) == (there, True, AUTHORITY)
            assert int(refused.headers["Retry-After"]) >= 1
            assert refused.headers["X-Request-Id"] == "mine"
            assert refused.headers["Content-Type"] == "application/problem+json"
            assert refused.headers["X-Content-Type-Options"] == "nosniff"
        for authorization, status in (("", 401), ("Bearer twr_nobody", 401), (f"Bearer {reader}", 403)):
            turned = await world.client.post(
                "/v1/customers", content=b"{", headers={**key, "Authorization": authorization}
            )
            assert turned.status_code == status, turned.text
        assert (await world.get(path)).status_code == 200
        assert (await world.create("resources", resource())).status_code == 201
        assert (await world.client.post("/v1/nothing", **broken)).status_code == 404
        counted = (await world.client.get("/metrics")).text.splitlines()
        labels = 'twinrun_requests_total{method="POST",route="/v1/customers/{id}/transitions",status="503"}'
        assert f"{labels} 1.0" in counted
        erps.heal()
        answers = await asyncio.gather(*held)
        assert {answer.status_code for answer in answers} <= {201, 202}
        read = await world.client.request("POST", "/v1/customers", **broken)
        assert read.status_code == 400
        await world.quiet()
        assert len(world.effects(AUTHORITY, entity="customer")) == 1 + len(held)
