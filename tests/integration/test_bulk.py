"""Ten thousand creates in one request, with the server's process as it is in production."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import msgspec
import pytest

from gateway.app import Gateway
from gateway.clock import SystemClock
from gateway.database import Database
from gateway.settings import Settings, SystemSettings
from tests.integration.ledger import history
from tests.integration.ledger.world import customer, fresh
from tests.systems.processes import Process
from tests.systems.rules import staged
from tests.systems.sandbox import SYSTEMS, Sandbox

LINES = 10_000
#: Lines before memory is first looked at: what a process keeps for good (compiled statements, pages of the
#: journal's cache, connections) is there by then.
WARM = 500
#: Growth of the process over ten thousand lines. Their answers alone are more than ten megabytes.
GROWTH_KIB = 8 * 1024
BUDGET_S = 120.0
#: Lines of a file that a caller has not sent yet when it hangs up.
UNSENT = 200


@pytest.fixture
def erps(tmp_path: Path) -> Iterator[Sandbox]:
    run = Sandbox(tmp_path)
    try:
        yield run
    finally:
        run.stop()


class Served(msgspec.Struct, frozen=True):
    """The gateway's process and a key for it."""

    process: Process
    key: str
    journal: str
    log: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/x-ndjson"}

    @property
    def url(self) -> str:
        return self.process.ready["it"] + "/v1/customers/bulk"

    def kib(self) -> int:
        """Memory that the process has."""
        status = Path(f"/proc/{self.process.id}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1])


@asynccontextmanager
async def served(journal: str, erps: Sandbox, folder: Path, *, stage: str) -> AsyncIterator[Served]:
    rules = str(staged(folder, stage))
    settings = Settings(
        database=journal,
        rules=rules,
        systems={
            name: SystemSettings(profile=f"sandbox_{name}", base_url=erps.urls[name]) for name in SYSTEMS
        },
    )
    gateway = Gateway(settings)
    await gateway.open(exclusive=False)
    try:
        key, _ = await gateway.keys.create("files", scopes=["read", "write"], actor="tests")
    finally:
        await gateway.close()
    environment = {
        "TWINRUN_DATABASE": journal,
        "TWINRUN_RULES": rules,
        "TWINRUN_PORT": "0",
        **{f"TWINRUN_SYSTEMS__{name.upper()}__BASE_URL": erps.urls[name] for name in SYSTEMS},
    }
    log = folder / "gateway.log"
    process = await asyncio.to_thread(
        Process, "tests.systems.gateway_process", [], log=log, ready=1, env=environment
    )
    try:
        yield Served(process, key, journal, log)
    finally:
        if process.running:
            process.kill()
    wrong = [
        line for line in log.read_text().splitlines() if '"level":"error"' in line or "Traceback" in line
    ]
    assert wrong == []


def made(count: int) -> list[bytes]:
    """Lines of customers that no other test has."""
    return [
        json.dumps({"idempotency_key": number, **customer(number=number, name=f"Harbour {index}")}).encode()
        + b"\n"
        for index, number in ((index, fresh("B")) for index in range(count))
    ]


def key_of(line: bytes) -> str:
    return json.loads(line)["idempotency_key"]


async def post(one: Served, lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """As most clients do it: everything is sent before anything is read."""
    async with httpx.AsyncClient(timeout=BUDGET_S, trust_env=False) as client:
        answer = await client.post(one.url, content=b"".join(lines), headers=one.headers)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.content.splitlines()]


async def quiet(journal: str) -> list[history.Line]:
    """The deliveries once none has anything to do by itself."""
    database = Database(journal, clock=SystemClock())
    database.start()
    until = time.monotonic() + BUDGET_S
    try:
        while True:
            lines = await database.read(history.lines)
            still = [line for line in lines if line.state in history.OPEN]
            if not still:
                return lines
            assert time.monotonic() < until, f"{len(still)} still open: {still[:5]}"
            await asyncio.sleep(0.1)
    finally:
        await database.close()


@pytest.mark.slow
async def test_ten_thousand_lines(journal: str, erps: Sandbox, tmp_path: Path) -> None:
    """Each line is answered in order and created once, and the server's memory stays as it was, although the caller
    reads nothing before it has sent everything."""
    async with served(journal, erps, tmp_path, stage="legacy_only") as one:
        await post(one, made(WARM))
        before = one.kib()
        lines = made(LINES)
        highest = 0
        answering = asyncio.create_task(post(one, lines))
        while not answering.done():
            highest = max(highest, one.kib())
            await asyncio.wait([answering], timeout=0.5)
        told = await answering
        assert [(answer["line"], answer["status"]) for answer in told] == [
            (n, 201) for n in range(1, LINES + 1)
        ]
        assert [answer["idempotency_key"] for answer in told] == [key_of(line) for line in lines]
        assert highest - before < GROWTH_KIB, f"from {before} KiB to {highest} KiB"
        assert one.kib() - before < GROWTH_KIB
    effects = erps.effects("legacy", entity="customer")
    assert len(effects) == len({effect["marker"] for effect in effects}) == WARM + LINES


async def test_answers_come_while_the_file_is_sent(journal: str, erps: Sandbox, tmp_path: Path) -> None:
    """A caller that reads as it sends has the answer to a line before it sends the next."""
    lines = made(5)
    seen: list[int] = []
    heard = asyncio.Condition()

    async def sent() -> AsyncIterator[bytes]:
        for count, line in enumerate(lines):
            async with heard, asyncio.timeout(20):
                await heard.wait_for(lambda count=count: len(seen) == count)
            yield line

    async with (
        served(journal, erps, tmp_path, stage="legacy_only") as one,
        aiohttp.ClientSession() as session,
        session.post(one.url, data=sent(), headers=one.headers) as answer,
    ):
        assert answer.status == 200
        async for line in answer.content:
            async with heard:
                seen.append(json.loads(line)["line"])
                heard.notify_all()
    assert seen == [1, 2, 3, 4, 5]


async def test_good_and_bad_lines_and_the_same_file_again(
    journal: str, erps: Sandbox, tmp_path: Path
) -> None:
    """Bad lines are answered in their place; the file sent again gives the same records, marked as replayed, and
    changes nothing in the ERP."""
    good = made(300)
    lines: list[bytes] = []
    for index, line in enumerate(good):
        lines.append(line)
        if index % 10 == 0:
            lines.append(b'{"idempotency_key":"bad","region":"UK"}\n')
        if index % 25 == 0:
            lines.append(b"\n")
    taken = json.dumps({**json.loads(good[7]), "idempotency_key": "another", "name": "Other"}).encode()
    lines.append(taken)
    async with served(journal, erps, tmp_path, stage="legacy_only") as one:
        first = await post(one, lines)
        again = await post(one, lines)
    numbered = [number for number, line in enumerate(lines, 1) if line.strip()]
    for told in (first, again):
        assert [answer["line"] for answer in told] == numbered
        for answer in told[:-1]:
            bad = answer["idempotency_key"] == "bad" if answer["status"] == 400 else False
            assert bad or answer["status"] == 201, answer
        assert told[-1]["status"] == 409
        assert told[-1]["problem"]["type"].endswith(":natural-key-taken")

    def records(told: list[dict[str, Any]]) -> list[Any]:
        return [answer["record"] for answer in told if answer["status"] == 201]

    assert records(again) == records(first)
    assert not any("replayed" in answer for answer in first)
    assert all(answer["replayed"] for answer in again if answer["status"] == 201)
    assert len(erps.effects("legacy", entity="customer")) == len(good)


async def test_a_hang_up_in_the_middle(journal: str, erps: Sandbox, tmp_path: Path) -> None:
    """What was accepted before a hang-up finishes, nothing more is read, and the same file again leaves every record
    in both ERPs exactly once."""
    lines = made(600)
    async with served(journal, erps, tmp_path, stage="dual_write") as one:
        async with aiohttp.ClientSession() as session:
            got = await broken_off(session, one, lines, after=150)
        assert 150 <= got < len(lines)
        begun = await quiet(one.journal)
        # At most what was sent by then; it all ended although nobody waited for it.
        assert got <= len({line.operation for line in begun}) <= len(lines) - UNSENT
        left = {key_of(line) for line in lines}
        until = time.monotonic() + BUDGET_S
        while left:
            assert time.monotonic() < until
            told = await post(one, lines)
            assert all(answer["status"] in (201, 202) or answer["problem"]["retryable"] for answer in told)
            left -= {answer["idempotency_key"] for answer in told if answer["status"] == 201}
        ended = await quiet(one.journal)
    effects = {system: erps.effects(system) for system in SYSTEMS}
    assert history.faults(ended, effects) == []
    for system in SYSTEMS:
        created = [effect for effect in effects[system] if effect["entity"] == "customer"]
        assert len(created) == len({effect["marker"] for effect in created}) == len(lines)


async def broken_off(
    session: aiohttp.ClientSession, one: Served, lines: Sequence[bytes], *, after: int
) -> int:
    """Sends a file and hangs up after so many answers. Returns how many came."""
    enough = asyncio.Event()

    async def sent() -> AsyncIterator[bytes]:
        for index in range(0, len(lines) - UNSENT, 10):
            yield b"".join(lines[index : index + 10])
        # The rest is never sent: the connection is cut while the server waits for more.
        await enough.wait()
        raise ConnectionAbortedError

    got = 0
    async with session.post(one.url, data=sent(), headers=one.headers) as answer:
        assert answer.status == 200
        async for _ in answer.content:
            got += 1
            if got == after:
                break
        enough.set()
        answer.close()
    return got
