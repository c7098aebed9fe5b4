"""What several processes keep together: a pause that one was asked for, a rate, the work that one leaves behind."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from gateway.settings import Settings, SystemSettings
from tests.integration.ledger.world import customer
from tests.integration.pressure.conftest import opened, settings_of, times_of
from tests.systems.processes import Process
from tests.systems.sandbox import SYSTEMS, Sandbox

pytestmark = pytest.mark.server

AUTHORITY, MIRROR = "legacy", "cloud"
NO_WAIT = {"Prefer": "respond-async"}
PROFILES = Path(__file__).parents[3] / "adapters" / "profiles"


@pytest.fixture
def journal(postgres_journal: str) -> str:
    return postgres_journal


async def test_a_pause_is_kept_by_every_process(settings: Settings, erps: Sandbox) -> None:
    """One process is told to wait: none of them calls that system before the pause is over, and then all writes
    arrive."""
    async with opened(settings, erps) as one, opened(settings, erps) as other:
        await one.made("customers", customer())
        await one.quiet()
        calls = erps.stats(AUTHORITY)["requests"]["customer.create"]
        erps.fault(AUTHORITY, "throttle", count=1, retry_after_s=4, on=["writes"])
        began = time.time()
        first = await one.create("customers", customer(), **NO_WAIT)

        async def heard() -> bool:
            return all(
                (shut := world.gateway.pressure.shut(AUTHORITY)) is not None and not shut.outage
                for world in (one, other)
            )

        await one.until(heard, "both processes keep the pause", 3)
        more = await asyncio.gather(
            *(world.create("customers", customer(), **NO_WAIT) for world in (one, other) for _ in range(10))
        )
        assert {answer.status_code for answer in (first, *more)} == {202}
        assert erps.stats(AUTHORITY)["requests"]["customer.create"] == calls + 1
        await one.quiet()
        arrived = times_of(one.effects(AUTHORITY, entity="customer"))
        assert len(arrived) == 22
        assert arrived[1] >= began + 4.0, "not one before the pause was over"


async def test_a_pause_outlives_the_process_that_was_asked(settings: Settings, erps: Sandbox) -> None:
    """A process that starts during the pause keeps it as well, to the moment on the database's clock."""
    async with opened(settings, erps) as one:
        erps.fault(AUTHORITY, "throttle", count=1, retry_after_s=20, spelling="date", on=["writes"])
        await one.create("customers", customer(), **NO_WAIT)

        async def shut() -> bool:
            return one.gateway.pressure.shut(AUTHORITY) is not None

        await one.until(shut, "the gate is shut", 5)
    async with opened(settings, erps) as later:
        there = later.gateway.pressure.shut(AUTHORITY)
        assert there is not None
        assert 10 < there.seconds <= 20


async def test_a_rate_is_kept_together(journal: str, rules: Path, erps: Sandbox, tmp_path: Path) -> None:
    """A profile of ten requests a second and two processes with writes enough: by the system's own log there are never
    more than ten in a second, and not many fewer."""
    profile = tmp_path / "slow.toml"
    text = (PROFILES / "sandbox_legacy.toml").read_text("utf-8")
    profile.write_text(text.replace("[limits]\n", "[limits]\nrequests_per_second = 10\n"), encoding="utf-8")
    settings = settings_of(journal, rules, erps)
    slow = {
        **settings.systems,
        AUTHORITY: SystemSettings(profile=str(profile), base_url=erps.urls[AUTHORITY], timeout_s=10),
    }
    settings = msgspec.structs.replace(settings, systems=slow, lease_margin_s=15)
    async with opened(settings, erps) as one, opened(settings, erps) as other:
        writes = [
            world.create("customers", customer(), Prefer="wait=20")
            for world in (one, other)
            for _ in range(25)
        ]
        assert {answer.status_code for answer in await asyncio.gather(*writes)} == {201}
        times = times_of(one.effects(AUTHORITY, entity="customer"))
    assert len(times) == 50
    most = max(sum(1 for at in times if begin <= at < begin + 1.0) for begin in times)
    # One more: the tenth gap ends in the very moment in which the second does.
    assert most <= 11
    assert times[-1] - times[0] < 50 / 10 * 1.5


async def test_a_day_s_quota_is_kept_together(
    journal: str, rules: Path, erps: Sandbox, tmp_path: Path
) -> None:
    """When the requests of the day are used up, by whichever process, nobody sends; what is accepted stays."""
    profile = tmp_path / "few.toml"
    text = (PROFILES / "sandbox_legacy.toml").read_text("utf-8")
    profile.write_text(text.replace("[limits]\n", "[limits]\nrequests_per_day = 12\n"), encoding="utf-8")
    settings = settings_of(journal, rules, erps)
    few = {
        **settings.systems,
        AUTHORITY: SystemSettings(profile=str(profile), base_url=erps.urls[AUTHORITY], timeout_s=10),
    }
    settings = msgspec.structs.replace(settings, systems=few)
    async with opened(settings, erps) as one, opened(settings, erps) as other:
        answers = [
            await world.create("customers", customer(), Prefer="wait=1")
            for _ in range(10)
            for world in (one, other)
        ]
        codes = [answer.status_code for answer in answers]
        assert set(codes) == {201, 202}
        assert sum(erps.stats(AUTHORITY)["requests"].values()) <= 12
        assert codes == sorted(codes)

        async def shut() -> bool:
            return all(world.gateway.pressure.shut(AUTHORITY) is not None for world in (one, other))

        await one.until(shut, "both leave it alone", 3)


async def test_a_stopping_process_leaves_nothing_that_has_to_be_waited_for(
    journal: str, rules: Path, erps: Sandbox, tmp_path: Path
) -> None:
    """SIGTERM while two calls are under way and others are claimed and wait for a place: the two are finished, the
    others are free at once, and another process has them all in the systems long before their lease ends."""
    settings = settings_of(journal, rules, erps, lease_margin_s=120.0)
    narrow = {
        name: msgspec.structs.replace(system, concurrency=2, timeout_s=30.0)
        for name, system in settings.systems.items()
    }
    settings = msgspec.structs.replace(settings, systems=narrow)
    environment = {
        "TWINRUN_DATABASE": journal,
        "TWINRUN_RULES": str(rules),
        "TWINRUN_PORT": "0",
        "TWINRUN_LEASE_MARGIN_S": "120",
        **{
            f"TWINRUN_SYSTEMS__{system.upper()}__{name.upper()}": str(getattr(narrow[system], name))
            for system in SYSTEMS
            for name in ("profile", "base_url", "timeout_s", "concurrency")
        },
    }
    async with opened(settings, erps, worker=False) as watching:
        key, _ = await watching.gateway.keys.create("stopped", scopes=["read", "write"], actor="tests")
        process = await asyncio.to_thread(
            Process,
            "tests.systems.gateway_process",
            [],
            log=tmp_path / "stopped.log",
            ready=1,
            env=environment,
        )
        try:
            erps.fault(AUTHORITY, "latency", ms=1500, on=["writes"])
            async with httpx.AsyncClient(
                base_url=process.ready["it"],
                headers={"Authorization": f"Bearer {key}", **NO_WAIT},
                trust_env=False,
                timeout=20,
            ) as client:
                answers = await asyncio.gather(
                    *(client.post("/v1/customers", json=customer()) for _ in range(12))
                )
            assert {answer.status_code for answer in answers} == {202}

            async def under_way() -> bool:
                return erps.stats(AUTHORITY)["requests"].get("customer.create", 0) >= 1

            await watching.until(under_way, "a call is under way", 5)
        finally:
            began = time.monotonic()
            code = await asyncio.to_thread(process.stop)
        assert code == 0
        assert time.monotonic() - began < 10, "no longer than what was under way"
        erps.heal()
        lines = await watching.lines()
        assert not [line for line in lines if line.state in ("sending", "unknown")]
        async with opened(settings, erps) as other:
            await other.quiet(20)
            for answer in answers:
                assert (await other.operation(answer.headers["Twinrun-Operation"]))["state"] == "settled"
            assert len(watching.effects(AUTHORITY, entity="customer")) == 12
            await watching.check()
