"""``python -m tests.benchmarks.capacity [--writes N] [--json FILE]``: what a write costs, and what machines carry.

Measures the costs of a durable dual write with one gateway process, on a PostgreSQL server of its own, whose log and
backends are nobody else's; predicts one process and two; measures both, and prints prediction beside measurement. The
prediction is given the cores that the rest of the machine left free while it was measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from tests.benchmarks.capacity_model import Costs, Place, ceilings, of_one_record, ruling, spread
from tests.benchmarks.load import Done, Job
from tests.benchmarks.programs import TICK_S, Client, Erps, Gateway, Program, wait_until
from tests.figures.origin import Origin, origin
from tests.integration.kill.programs import Postgres

CALLERS = 64
LATENCY_MS = 20.0
CORES = os.cpu_count() or 1
PROBE_S = 2.0  #: that the disk is tried for


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """Of one round: seconds, and CPU seconds until both ERPs have every write; ``after_s`` is CPU after that."""

    writes: int
    seconds: float
    gateway_s: float
    postgresql_s: float
    beside_s: float
    others_s: float  #: CPU of whatever else the machine did
    after_s: float  #: of the gateways, for comparing
    after_postgresql_s: float
    wal_bytes: float
    syncs: float

    @property
    def rate(self) -> float:
        return self.writes / self.seconds

    @property
    def cores_left(self) -> float:
        return CORES - self.others_s / self.seconds

    def costs(self) -> Costs:
        """Until both ERPs have it."""
        share = 1e6 / self.writes
        return Costs(
            gateway_us=self.gateway_s * share,
            postgresql_us=self.postgresql_s * share,
            beside_us=self.beside_s * share,
            wal_bytes=self.wal_bytes / self.writes,
            syncs=self.syncs / self.writes,
        )

    def whole(self) -> Costs:
        """With both sides read back and compared, and callers and ERPs elsewhere."""
        share = 1e6 / self.writes
        return msgspec.structs.replace(
            self.costs(),
            gateway_us=(self.gateway_s + self.after_s) * share,
            postgresql_us=(self.postgresql_s + self.after_postgresql_s) * share,
            beside_us=0.0,
        )


class Server:
    """PostgreSQL, asked what it has spent."""

    def __init__(self, url: str) -> None:
        self._url = url

    def _ask(self, query: str) -> list[Any]:
        async def run() -> list[Any]:
            connection = await asyncpg.connect(self._url)
            try:
                return list(await connection.fetch(query))
            finally:
                await connection.close()

        return asyncio.run(run())

    def create(self, name: str) -> None:
        self._ask(f"CREATE DATABASE {name}")

    def pids(self) -> list[int]:
        """Its backends and its own processes, but for the connection that asks."""
        rows = self._ask("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        return [row["pid"] for row in rows]

    def log(self) -> tuple[float, float]:
        """Bytes and syncs of the write-ahead log so far."""
        (row,) = self._ask(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 AS bytes, wal_sync::float8 AS syncs "
            "FROM pg_stat_wal"
        )
        return row["bytes"], row["syncs"]


def cpu_of(pids: Sequence[int]) -> dict[int, float]:
    """CPU seconds of the processes that are still there."""
    found: dict[int, float] = {}
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            # A backend that has ended since it was listed; what it spent in the round is not counted.
            continue
        found[pid] = (int(stat[11]) + int(stat[12])) * TICK_S
    return found


def machine_busy_s() -> float:
    """CPU seconds of the whole machine that were not idle; waiting for a disk is idle."""
    told = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(told) - told[3] - told[4]) * TICK_S


def syncs_per_s(folder: Path) -> float:
    """Writes of a log page that reach this disk in a second, one after the other."""
    page, count = bytes(8192), 0
    with (folder / "probe").open("wb", buffering=0) as probe:
        began = time.monotonic()
        while (took := time.monotonic() - began) < PROBE_S:
            probe.write(page)
            os.fdatasync(probe.fileno())
            count += 1
    return count / took


def wal_bytes_per_s(folder: Path) -> float:
    """Bytes that this disk takes in a second when each MiB is synced."""
    piece, count = os.urandom(1 << 20), 0
    with (folder / "stream").open("wb", buffering=0) as stream:
        began = time.monotonic()
        while (took := time.monotonic() - began) < PROBE_S:
            stream.write(piece)
            os.fdatasync(stream.fileno())
            count += 1
    return count * len(piece) / took


class Stand:
    """Gateways on one journal, ERPs, and a client for each gateway."""

    def __init__(
        self, server: Server, erps: Erps, gateways: Sequence[Gateway], clients: Sequence[Client]
    ) -> None:
        self._server, self._erps = server, erps
        self._gateways, self._clients = gateways, clients

    def _cpu(self, programs: Sequence[Program]) -> float:
        return sum(one.cpu_s for one in programs)

    def round(self, writes: int, label: str) -> Spent:
        """``writes`` writes, shared by the gateways, until all is at rest."""
        gateways = [one.program for one in self._gateways]
        beside = [self._erps.program, *(one.program for one in self._clients)]
        held = {system: self._erps.customers(system) for system in ("legacy", "cloud")}
        compared = self._gateways[0].compared()["compares"]
        bytes_before, syncs_before = self._server.log()
        pids = self._server.pids()
        before = (self._cpu(gateways), cpu_of(pids), self._cpu(beside), machine_busy_s())
        done = self._run(writes, label)
        answered = sum(one.answered for one in done)
        began = min(one.began for one in done)
        ended = wait_until(
            lambda: all(self._erps.customers(system) - had >= answered for system, had in held.items()),
            "every accepted write applied in both ERPs",
        )
        busy = machine_busy_s() - before[3]
        gateway_s, beside_s = self._cpu(gateways) - before[0], self._cpu(beside) - before[2]
        middle = cpu_of(self._server.pids())
        postgresql_s = sum(now - before[1].get(pid, 0.0) for pid, now in middle.items())
        cpu = self._cpu(gateways)
        # Asked for seldom, since an answer is work of the gateway that is measured.
        wait_until(
            lambda: self._gateways[0].compared()["compares"] - compared >= answered,
            "both sides of every write compared",
            every_s=2.0,
        )
        for one in gateways:
            one.idle()
        last = cpu_of(self._server.pids())
        bytes_after, syncs_after = self._server.log()
        return Spent(
            writes=answered,
            seconds=ended - began,
            gateway_s=gateway_s,
            postgresql_s=postgresql_s,
            beside_s=beside_s,
            others_s=max(0.0, busy - gateway_s - postgresql_s - beside_s),
            after_s=self._cpu(gateways) - cpu,
            after_postgresql_s=sum(now - middle.get(pid, 0.0) for pid, now in last.items()),
            wal_bytes=bytes_after - bytes_before,
            syncs=syncs_after - syncs_before,
        )

    def _run(self, writes: int, label: str) -> list[Done]:
        places = len(self._gateways)

        def one(place: int) -> Done:
            job = Job(
                base=self._gateways[place].address,
                callers=CALLERS // places,
                label=f"{label}-{place}",
                headers=self._gateways[place].headers,
                write="/v1/customers",
                requests=writes // places,
            )
            return self._clients[place].run(job)

        with ThreadPoolExecutor(places) as threads:
            return list(threads.map(one, range(places)))


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What ``tests.figures`` keeps. Rates in writes a second."""

    origin: Origin
    predicted_1: float
    measured_1: float
    predicted_2: float
    measured_2: float
    gateway_us: float
    postgresql_us: float
    wal_bytes: float
    ten_gateways: float
    postgresql_end: float  #: of eight cores, by CPU


def measure(writes: int) -> tuple[Spent, Spent, Spent, float, float]:
    """Costs by one process, then one and two measured; syncs and bytes a second of the disk."""
    postgres = Postgres()
    try:
        asyncio.run(postgres.start())
        server = Server(postgres.address())
        server.create("capacity")
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinrun-capacity-")))
            disk = (syncs_per_s(folder), wal_bytes_per_s(folder))
            clients = [stack.enter_context(Client(folder)) for _ in range(2)]
            erps = stack.enter_context(Erps(folder, latency_ms=LATENCY_MS))
            url = postgres.address("capacity")
            first = stack.enter_context(Gateway(folder, erps, url, settings={}))
            first.move_to("dual_write")
            alone = Stand(server, erps, [first], clients[:1])
            alone.round(max(64, writes // 4), "warm")
            learnt = alone.round(writes, "learnt")
            one = alone.round(writes, "one")
            second = stack.enter_context(Gateway(folder, erps, url, settings={}))
            both = Stand(server, erps, [first, second], clients)
            both.round(max(64, writes // 4), "warm-two")
            return learnt, one, both.round(writes, "two"), *disk
    finally:
        postgres.remove()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.capacity", description=__doc__)
    parser.add_argument("--writes", type=int, default=2_000, help="of one round (default: 2000)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures there, for tests.figures"
    )
    told = parser.parse_args()
    if told.writes < CALLERS:
        parser.error(f"--writes is at least {CALLERS}, one for each caller")
    made = origin("none")
    learnt, one, two, syncs, stream = measure(told.writes)
    costs, whole = learnt.costs(), learnt.whole()
    print(
        f"{made.machine}; {made.date}, commit {made.commit}; {told.writes} writes a round, {CALLERS} callers"
    )
    print(
        f"A write costs {costs.gateway_us:,.0f} µs of a gateway and {costs.postgresql_us:,.0f} µs of PostgreSQL; with "
        f"comparing {whole.gateway_us:,.0f} and {whole.postgresql_us:,.0f} µs; {costs.beside_us:,.0f} µs of ERPs and "
        f"client; {costs.wal_bytes:,.0f} bytes and {costs.syncs:.2f} syncs of the log."
    )
    print(f"The disk: {syncs:,.0f} syncs/s one after the other, {stream / 1e6:,.0f} MB/s synced.\n")
    print("| processes | cores left | predicted | by | measured | error | cost then | cores used |")
    print("|---|---|---|---|---|---|---|---|")
    predicted: list[float] = []
    for processes, measured in ((1, one), (2, two)):
        here = Place(
            processes=processes, gateway_cores=measured.cores_left, wal_bytes_per_s=stream, syncs_per_s=syncs,
            callers=CALLERS, erp_s=LATENCY_MS / 1e3,
        )  # fmt: skip
        rate, why = ruling(costs, here)
        then = measured.costs()
        used = (measured.gateway_s + measured.postgresql_s + measured.beside_s) / measured.seconds
        predicted.append(rate)
        print(
            f"| {processes} | {measured.cores_left:.2f} | {rate:,.0f}/s | {why} | {measured.rate:,.0f}/s "
            f"| {(rate / measured.rate - 1) * 100:+.0f} % "
            f"| {then.gateway_us:,.0f} + {then.postgresql_us:,.0f} + {then.beside_us:,.0f} µs | {used:.2f} |"
        )
    print("\nProjected, comparing included, callers and ERPs elsewhere, this disk (not measured):")
    print("| what | writes/s | ends by |\n|---|---|---|")
    ten = Place(processes=10, gateway_cores=10, postgresql_cores=8, wal_bytes_per_s=stream, syncs_per_s=syncs)
    rows = {
        "one machine of 4 cores, 2 processes": Place(
            processes=2, gateway_cores=4, wal_bytes_per_s=stream, syncs_per_s=syncs
        ),
        "one machine of 8 cores, 6 processes": Place(
            processes=6, gateway_cores=8, wal_bytes_per_s=stream, syncs_per_s=syncs
        ),
        "ten gateways, PostgreSQL on 8 cores": ten,
    }
    for name, place in rows.items():
        rate, why = ruling(whole, place)
        print(f"| {name} | {rate:,.0f} | {why} |")
    found = ceilings(whole, ten)
    server = {name: rate for name, rate in found.items() if "gateway" not in name}
    end = min(server, key=lambda name: server[name])
    print(f"\nPostgreSQL on 8 cores: {', '.join(f'{name} {rate:,.0f}/s' for name, rate in server.items())}.")
    print(f"It ends by {end}, at {server[end] / (1e6 / whole.gateway_us):.1f} gateway processes at work.")
    commit_s = 1 / syncs
    print(
        f"One record takes at most {of_one_record(LATENCY_MS / 1e3, commit_s):.0f} writes/s: its lane lets one call at "
        "a time. A slice has no such end, its lock is shared but while its authority moves."
    )
    shares = {"DACH": 0.4, "UK": 0.3, "NORDICS": 0.2, "US": 0.1}
    for databases in (2, 4):
        rate, regions = spread(server[end], shares, databases)
        print(
            f"{databases} databases, regions of {', '.join(f'{n} {s:.0%}' for n, s in shares.items())} of all writes: "
            f"{rate:,.0f}/s as {' | '.join(' + '.join(one) for one in regions)}"
        )
    if told.json is not None:
        kept = Figures(
            origin=made,
            predicted_1=predicted[0],
            measured_1=one.rate,
            predicted_2=predicted[1],
            measured_2=two.rate,
            gateway_us=whole.gateway_us,
            postgresql_us=whole.postgresql_us,
            wal_bytes=whole.wal_bytes,
            ten_gateways=ruling(whole, ten)[0],
            postgresql_end=server[end],
        )
        told.json.write_bytes(msgspec.json.format(msgspec.json.encode(kept)) + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
