"""The authority of a slice goes to the cloud and back under traffic, and the process that carries each move dies at a
named step of it: judged by what the two ERPs say was done to them, and by the journal.

Real processes on PostgreSQL: two that serve and work, and both simulated ERPs. Callers make, change and move time
entries all the while, beside customers, people and invoices. For each switch one of the two is started anew with a
crash point: before its fence is on disk, after that, in its drain, before its commit, after it. One person asks for the
switch at the other process; a second one approves it at this one, which carries it, and dies. The switch is then
somebody's who finds it, and has to come to its end without a word of ours.

*Held* is a write from the moment that it was accepted behind a fence until it was released to an authority, on the
clock of the database.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
from sqlalchemy import Connection, text

from gateway import crash
from gateway.app import Gateway
from gateway.database.migrate import upgrade
from tests.integration.kill import deployment
from tests.integration.kill.callers import Callers
from tests.integration.kill.programs import DatabaseUp, Death, Launcher, Slot
from tests.integration.ledger.world import REGION
from tests.simulation.check import Verdict
from tests.systems.databases import address, on_server
from tests.systems.sandbox import Sandbox

#: Where a switch's process dies, in the order of its steps.
POINTS = ("CP31", "CP17", "CP18", "CP19", "CP20")
SLICE = "time_entry"
#: Everything that the slice refers to is led by the cloud already; the slice itself is about to go there.
STAGES = {**dict.fromkeys(("customer", "resource", "contract", "project"), "live"), SLICE: "shadow"}
NEXT = {"shadow": "live", "live": "shadow"}
CALLERS = 6
DRAIN_S = 30.0  #: of a switch; longer than a lease, a quarantine and a look for what the dead process had under way
#: Writes that callers have to have had accepted between two switches, so that each begins in the middle of traffic.
BETWEEN = 12
ASKED_S = 90.0  #: deadline until a gate that counts what is under way lets a switch be asked for
ENDED_S = 120.0  #: deadline from the approval of a switch to its end
LOOK_S = 0.1
T = TypeVar("T")


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One switch that was committed although its process died."""

    switch: str
    kind: str  #: switch, or rollback
    point: str
    resumed_s: float  #: from the death of its process to its commit; 0 where that was on disk before


class Found(msgspec.Struct, kw_only=True):
    """What the campaign saw."""

    moves: list[Move]
    aborted: list[str]  #: switches that were given up, with the reason; the slice stayed, and they were asked for anew
    elsewhere: int  #: switches whose process did not die at its point, and which therefore count for nothing
    deaths: Counter[str]  #: by point; ``random``: to be started anew with a point
    writes: int  #: that callers were told of
    repeats: int  #: of callers who were not told what became of their write
    held: int
    longest_hold_s: float
    longest_fence_s: float  #: from the fence of a switch to its commit
    epochs: int  #: of the slice, in which anything was written
    lost: int
    doubled: int
    two_authorities: int
    breaches: list[str]  #: of these and of every other law
    unexpected: list[str]  #: processes that ended by themselves, or not as told
    seconds: float

    @property
    def failed(self) -> bool:
        return bool(self.breaches or self.unexpected)

    @property
    def other_breaches(self) -> int:
        """Of every other law than those that have a figure of their own."""
        return len(self.breaches) - self.lost - self.doubled - self.two_authorities

    def numbers(self) -> dict[str, float]:
        """Its figures, for the record."""
        return {
            "switches": len(self.moves),
            "deaths": self.deaths.total(),
            "broken": self.other_breaches + len(self.unexpected),
        }


class Campaign:
    """``switches`` moves there and back that are committed, each with a death at its point."""

    def __init__(self, folder: Path, database: str, *, switches: int, seed: int = 0) -> None:
        self._folder = folder
        self._database = database
        self._wanted = switches
        self._seed = seed
        self._launcher = Launcher()
        self._database_up = DatabaseUp()
        self._slots: list[Slot] = []
        self._orders: dict[str, str] = {}  #: what the next life of a place ends by
        self._deaths: list[Death] = []
        self._aborted: list[str] = []
        self._elsewhere = 0
        self._writing: list[asyncio.Task[None]] = []

    async def run(self) -> Found:
        began = time.monotonic()
        erps = await asyncio.to_thread(Sandbox, self._folder, latency_ms=deployment.LATENCY_MS)
        try:
            settings = deployment.settings(
                self._folder, self._database, erps, stages=STAGES, redis=None, drain_limit_s=DRAIN_S
            )
            gateway = Gateway(settings)
            await gateway.open(exclusive=False)
            try:
                return await self._with(gateway, erps, deployment.environment(settings), began)
            finally:
                await gateway.close()
        finally:
            await asyncio.to_thread(erps.stop)

    async def _with(
        self, gateway: Gateway, erps: Sandbox, environment: dict[str, str], began: float
    ) -> Found:
        key, _ = await gateway.keys.create("callers", scopes=["read", "write"], actor="tests")
        people = {
            role: {"Authorization": f"Bearer {(await gateway.keys.create(role, role=role, actor='tests'))[0]}"}
            for role in ("operator", "approver")
        }
        self._slots = [
            deployment.slot(
                name, "serve", environment, folder=self._folder, launcher=self._launcher, order=self._order,
                died=self._deaths.append, database_up=self._database_up,
            )
            for name in ("one", "other")
        ]  # fmt: skip
        callers = Callers([slot.url for slot in self._slots], key, seed=self._seed)
        moves: list[Move] = []
        try:
            await self._launcher.open()
            for slot in self._slots:
                slot.start()
            await asyncio.gather(*(slot.up(callers.http) for slot in self._slots))
            await callers.prepare()
            self._writing = [asyncio.create_task(callers.work_on(number)) for number in range(CALLERS)]
            async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
                desk = Desk(http, people)
                while len(moves) < self._wanted:
                    in_vain = len(self._aborted) + self._elsewhere
                    assert in_vain <= self._wanted + 5, f"{in_vain} switches in vain: {self._aborted}"
                    seen = len(callers.accepted)
                    await self._until(
                        "traffic", lambda seen=seen: _of(len(callers.accepted) >= seen + BETWEEN), ENDED_S
                    )
                    if (moved := await self._move(desk, len(moves))) is not None:
                        moves.append(moved)
            callers.stop.set()
            await asyncio.gather(*self._writing)
            await deployment.quiet(gateway)
            await callers.ask_again(60)
            # A signal that comes before a program can hear it ends it as it ends any other.
            await asyncio.gather(*(slot.up(callers.http) for slot in self._slots))
            unexpected = await deployment.end(self._slots)
        finally:
            for task in self._writing:
                task.cancel()
            await asyncio.gather(*(slot.end() for slot in self._slots), return_exceptions=True)
            await self._launcher.close()
            await callers.close()
        history, _, verdicts = await deployment.judged(
            gateway, erps, callers, self._slots, elapsed_s=time.monotonic() - began
        )
        held, longest = await gateway.database.read(holds)
        return Found(
            moves=moves,
            aborted=self._aborted,
            elsewhere=self._elsewhere,
            deaths=Counter(one.point for one in self._deaths),
            writes=len(callers.accepted),
            repeats=callers.repeats,
            held=held,
            longest_hold_s=longest,
            longest_fence_s=await gateway.database.read(longest_fence),
            epochs=len({op.epoch for op in history.operations.values() if op.entity == SLICE}),
            lost=_count(verdicts, "C1", "acknowledged"),
            doubled=_count(verdicts, "C2"),
            two_authorities=_count(verdicts, "C8"),
            breaches=[str(one) for one in verdicts],
            unexpected=unexpected,
            seconds=time.monotonic() - began,
        )

    # --- one switch ----------------------------------------------------------------------------------------------

    async def _move(self, desk: Desk, number: int) -> Move | None:
        """One switch whose process dies at its point; None where it was given up, or the process died elsewhere."""
        point = POINTS[number % len(POINTS)]
        dies = self._slots[number // len(POINTS) % len(self._slots)]
        lives = next(slot for slot in self._slots if slot is not dies)
        await self._arm(dies, point, desk)
        before = len(self._deaths)
        asked = await self._until("a switch may be asked for", lambda: desk.ask(lives), ASKED_S)
        await self._until("the approval", lambda: desk.approve(dies, lives, asked), ASKED_S)
        ended = await self._until("the end of a switch", lambda: desk.ended(lives, asked["id"]), ENDED_S)
        # At its point, or, where nothing has brought it there, by the supervisor's patience.
        await self._until("the death of its process", lambda: _of(len(self._deaths) > before), ENDED_S)
        death = self._deaths[before]
        if ended["state"] != "committed":
            self._aborted.append(f"{ended['id']} with a death at {death.point}: {ended['problem']['message']}")
            return None
        if death.point != point:
            self._elsewhere += 1
            return None
        resumed_s = max(0.0, datetime.fromisoformat(ended["ended_at"]).timestamp() - death.at)
        return Move(switch=ended["id"], kind=ended["kind"], point=point, resumed_s=resumed_s)

    def _order(self, slot: Slot) -> tuple[str | None, float | None]:
        return self._orders.pop(slot.name, None), None

    async def _arm(self, slot: Slot, point: str, desk: Desk) -> None:
        """Has the process started anew, to die at its first passage of the point: one more kill at any moment."""
        self._orders[slot.name] = point
        slot.signal(signal.SIGKILL)
        await self._until("a process to be armed", lambda: _of(slot.armed == point), ENDED_S)
        await slot.up(desk.http)

    async def _until(self, what: str, seen: Callable[[], Awaitable[T | None]], within_s: float) -> T:
        """What is seen as soon as it is true; a caller or a supervisor that fails, fails the campaign."""
        until = time.monotonic() + within_s
        while not (found := await seen()):
            for task in (*self._writing, *(slot.task for slot in self._slots)):
                if task is not None and task.done():
                    task.result()
            assert time.monotonic() < until, f"not within {within_s:g} s: {what}"
            await asyncio.sleep(LOOK_S)
        return found


class Desk:
    """Two persons, each with a key of their own: one asks and the other approves."""

    def __init__(self, http: httpx.AsyncClient, people: dict[str, dict[str, str]]) -> None:
        self.http = http
        self._people = people

    async def ask(self, at: Slot) -> dict[str, Any] | None:
        """The switch that now waits for an approval; None: something under way stands against it."""
        rules = (await self._get(at, "/admin/v1/rules"))["items"]
        rule = next(one for one in rules if (one["entity"], one["region"]) == (SLICE, REGION))
        wish = {"entity": SLICE, "region": REGION, "stage": NEXT[rule["stage"]], "reason": "to and fro"}
        answer = await self._post("operator", at, "/admin/v1/switches", wish)
        if answer.status_code == 201:
            return answer.json()
        assert answer.status_code in (409, 422), answer.text
        if '"open_deliveries"' in answer.text:
            # What a process died of too often waits for a person, who has seen that it is back.
            again = {"entity": SLICE, "region": REGION, "reason": "the process that it killed is back"}
            sent = await self._post("operator", at, "/admin/v1/deliveries/replay", again)
            assert sent.is_success, sent.text
        return None

    async def approve(self, dies: Slot, lives: Slot, asked: dict[str, Any]) -> bool:
        """Whether it is approved. Whoever carries it may be gone before he has said so."""
        there = await self._get(lives, f"/admin/v1/switches/{asked['id']}")
        if there["state"] != "requested":
            return True
        if not all(gate["passed"] for gate in there["evidence"]["gates"]):
            # Nobody signs that a gate fails: it is given up, and asked for anew.
            await self._post("operator", lives, f"{there['href']}/abort", {"reason": "a gate fails"})
            return True
        body = {"evidence_hash": there["evidence_hash"]}
        try:
            answer = await self._post("approver", dies, f"{there['href']}/approve", body)
        except httpx.TransportError:
            return False
        # 409: something in the evidence has moved, and the switch carries the new one.
        assert answer.status_code in (200, 409), answer.text
        return answer.status_code == 200

    async def ended(self, at: Slot, id_: str) -> dict[str, Any] | None:
        there = await self._get(at, f"/admin/v1/switches/{id_}")
        return there if there["state"] in ("committed", "aborted") else None

    async def _get(self, at: Slot, path: str) -> Any:
        answer = await self.http.get(at.url + path, headers=self._people["operator"])
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def _post(self, who: str, at: Slot, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self.http.post(at.url + path, json=body, headers=self._people[who])


def table(of: Found) -> str:
    """What was found, in lines for people."""
    points = Counter(one.point for one in of.moves)
    resumed = sorted(one.resumed_s for one in of.moves)
    rows = [
        ("switches", f"{len(of.moves)} committed, {sum(one.kind == 'rollback' for one in of.moves)} of them rollbacks"),
        *((f"  {point}", f"{points[point]:4}  {crash.POINTS[point]}") for point in POINTS),
        ("others", f"{len(of.aborted)} given up, {of.elsewhere} whose process died elsewhere"),
        ("kills", f"{of.deaths.total()}, {of.deaths['random']} of them to arm a process"),
        ("writes", f"{of.writes} that callers were told of, {of.repeats} repeats of callers"),
        ("lost", str(of.lost)),
        ("doubled", str(of.doubled)),
        ("epochs", f"{of.epochs} with writes, {of.two_authorities} breaches of one authority each"),
        ("other breaches", str(of.other_breaches)),
        ("held", f"{of.held} writes, the longest for {of.longest_hold_s:.1f} s"),
        ("fence", f"{of.longest_fence_s:.1f} s at most"),
        ("resumed", f"{resumed[-1]:.1f} s after a death at most, half within {resumed[len(resumed) // 2]:.1f} s"),
        ("run", f"{of.seconds:.0f} s"),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}}  {said}" for name, said in rows]
    return "\n".join((*lines, *of.breaches, *of.unexpected, *of.aborted))


async def _of(value: bool) -> bool:
    return value


def _count(verdicts: list[Verdict], *laws: str) -> int:
    return sum(one.law.startswith(laws) for one in verdicts)


def holds(connection: Connection) -> tuple[int, float]:
    """How many writes were held, and the longest time that one was, in seconds."""
    row = connection.execute(
        text(
            "SELECT count(*) AS writes, max(let.at - held.at) AS longest FROM operation_event held "
            "JOIN operation_event let ON let.operation_id = held.operation_id AND let.event = 'released' "
            "WHERE held.event = 'held'"
        )
    ).one()
    return int(row.writes), (row.longest or 0) / 1e6


def longest_fence(connection: Connection) -> float:
    """The longest time from a fence to the commit behind it, in seconds."""
    longest = connection.execute(
        text("SELECT max(ended_at - fenced_at) FROM switch WHERE state = 'committed'")
    ).scalar_one()
    return (longest or 0) / 1e6


def campaign(folder: Path, *, switches: int, seed: int = 0) -> Found:
    """Runs one in ``folder``, with processes and a database of its own."""
    name = f"twinrun_switches_{seed}_{time.time_ns()}"
    on_server(f"CREATE DATABASE {name}")
    try:
        upgrade(address(name))
        return asyncio.run(Campaign(folder, address(name), switches=switches, seed=seed).run())
    finally:
        on_server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
