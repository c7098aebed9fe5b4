"""B8. A backlog is drained: deliveries that wait for a mirror, until that mirror has them all, each once."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.benchmarks.big_journal import copy, settled_write
from tests.benchmarks.durable_write import postgresql
from tests.benchmarks.programs import Broken, Erps, Gateway, wait_until
from tests.benchmarks.scale import Scale
from tests.benchmarks.table import Bound, Report

LATENCY_MS = 20.0
#: Longer than the gate, so that a slow drain has its figure too.
DEADLINE_S = 1800.0


def run(scale: Scale) -> Report:
    with (
        tempfile.TemporaryDirectory(prefix="twinrun-benchmark-") as name,
        postgresql() as url,
        Erps(folder := Path(name), latency_ms=LATENCY_MS) as erps,
    ):
        with Gateway(folder, erps, url, settings=scale.settings) as gateway:
            gateway.move_to("dual_write")
            template = settled_write(gateway)
        copy(url, template, waiting=scale.backlog)
        before = erps.customers("cloud")
        with Gateway(folder, erps, url, settings=scale.settings) as gateway:
            began, cpu = time.monotonic(), gateway.program.cpu_s
            first = wait_until(lambda: erps.customers("cloud") > before, "the first delivery")
            drained = wait_until(
                lambda: erps.customers("cloud") - before >= scale.backlog,
                "the whole backlog delivered",
                deadline_s=DEADLINE_S,
                every_s=0.5,
            )
            spent = gateway.program.cpu_s - cpu
            came = erps.customers("cloud") - before
    if came != scale.backlog:
        raise Broken(f"{scale.backlog} deliveries waited, the mirror has {came} records of them")
    seconds = drained - began
    # The gate is for 100,000; what a smaller backlog took is scaled to that.
    minutes = seconds * 100_000 / scale.backlog / 60
    return Report(
        name="B8",
        title="backlog of 100,000 deliveries drained",
        bounds=(Bound(unit="min", value=minutes, gate=10, aim=3, at_most=True),),
        remarks=(
            (
                f"{scale.backlog:,} deliveries on PostgreSQL, one `twinrun serve`, an ERP that answers after "
                f"{LATENCY_MS:g} ms: {scale.backlog / seconds:,.0f}/s, the first after {first - began:.1f} s, each "
                f"exactly once; {spent / scale.backlog * 1e6:,.0f} µs of CPU for one, its comparing included as far as "
                "that was done by then."
            ),
        ),
    )
