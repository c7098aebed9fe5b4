"""B7. What a long journal costs: a claim, and a read of an operation, with a million operations against ten thousand.

Both journals stand on one server and take turns. A claim takes a batch of due deliveries, as the worker does, with its
commit; it runs in this process, so nothing but the journal is in it. A read of an operation goes over HTTP.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from gateway.clock import SystemClock
from gateway.database import Database
from gateway.dispatch.claim import Claims
from tests.benchmarks.big_journal import copy, settled_write
from tests.benchmarks.durable_write import postgresql
from tests.benchmarks.load import Job
from tests.benchmarks.measure import measured
from tests.benchmarks.programs import Broken, Client, Erps, Gateway
from tests.benchmarks.scale import Scale
from tests.benchmarks.table import Bound, Report, Round, Side

BATCH = 16
CLAIMS = 100  #: in a round
CALLERS = 2


def run(scale: Scale) -> Report:
    sizes = {"short": scale.journal // 100, "long": scale.journal}
    claims: dict[str, list[Round]] = {name: [] for name in sizes}
    reads: dict[str, list[Round]] = {name: [] for name in sizes}
    filled: dict[str, float] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twinrun-benchmark-")))
        client = stack.enter_context(Client(folder))
        erps = stack.enter_context(Erps(folder))
        urls: dict[str, str] = {}
        some: dict[str, list[str]] = {}
        waiting = BATCH * CLAIMS * (scale.rounds + 1)
        for name, operations in sizes.items():
            url = urls[name] = stack.enter_context(postgresql())
            with Gateway(folder, erps, url, settings=scale.settings) as gateway:
                gateway.move_to("dual_write")
                template = settled_write(gateway)
            began = time.monotonic()
            some[name] = copy(url, template, settled=operations, waiting=waiting)
            filled[name] = time.monotonic() - began
        asyncio.run(_claims(urls, 1))  # plans are made and pages read before the first round
        for _ in range(scale.rounds):
            for name, found in asyncio.run(_claims(urls, CLAIMS)).items():
                claims[name].append(found)
        gateways = {
            name: stack.enter_context(Gateway(folder, erps, url, settings=scale.settings, worker=False))
            for name, url in urls.items()
        }
        for number in range(scale.rounds + 1):
            for name, gateway in gateways.items():
                job = Job(
                    base=gateway.address,
                    callers=CALLERS,
                    label="status",
                    headers=gateway.headers,
                    reads=tuple(f"/v1/operations/{id_}" for id_ in some[name]),
                    requests=len(some[name]),
                )
                done = measured(client, gateway.program, job)
                if number:
                    reads[name].append(done)
    sides = [
        Side(name=f"{what}, {sizes[name]:,} operations", rounds=tuple(rounds[name]))
        for what, rounds in (("claim of a batch", claims), ("read of an operation", reads))
        for name in sizes
    ]
    of_claims, of_reads = sides[1].p99_ms / sides[0].p99_ms, sides[3].p99_ms / sides[2].p99_ms
    return Report(
        name="B7",
        title="p99 with a long journal against a short one: claim, read of an operation",
        bounds=(
            Bound(unit="×", value=of_claims, gate=2, aim=1.2, at_most=True),
            Bound(unit="×", value=of_reads, gate=2, aim=1.2, at_most=True),
        ),
        sides=tuple(sides),
        remarks=(
            (
                f"{waiting:,} deliveries are due in each; a claim takes {BATCH} of them and commits. The p99 is "
                f"that of the worst of {scale.rounds} rounds of {CLAIMS} claims, and of {len(some['long']):,} reads by "
                f"{CALLERS} callers."
            ),
            f"The server copied the long one in {filled['long']:.0f} s.",
        ),
    )


async def _claims(urls: dict[str, str], count: int) -> dict[str, Round]:
    """``count`` claims of each journal, in turn."""
    took: dict[str, list[float]] = {name: [] for name in urls}
    databases = {name: Database(url, clock=SystemClock()) for name, url in urls.items()}
    claims = {
        name: Claims(database=database, lease_s={"legacy": 3600.0, "cloud": 3600.0})
        for name, database in databases.items()
    }
    for database in databases.values():
        database.start()
    try:
        for _ in range(count):
            for name, one in claims.items():
                began = time.perf_counter()
                taken = await one.due({"cloud": BATCH}, {"cloud": BATCH})
                took[name].append(time.perf_counter() - began)
                if len(taken.claims) != BATCH:
                    raise Broken(f"{len(taken.claims)} of {BATCH} due deliveries were claimed")
    finally:
        for database in databases.values():
            await database.close()
    return {
        name: Round(
            count=count * BATCH,
            seconds=sum(times),
            cpu_s=0.0,
            p50_ms=sorted(times)[len(times) // 2] * 1e3,
            p99_ms=sorted(times)[int(len(times) * 0.99)] * 1e3,
        )
        for name, times in took.items()
    }
