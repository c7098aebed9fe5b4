"""Pressure: four times as many writes as one gateway can take, and a system that hangs beside one that does not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.benchmarks.durable_write import postgresql
from tests.benchmarks.load import Job
from tests.benchmarks.measure import at_rest, shorter
from tests.benchmarks.programs import Broken, Client, Erps, Gateway, wait_until
from tests.benchmarks.scale import Scale
from tests.benchmarks.table import Bound, Report

CALLERS = 64
#: Enough that those who are kept waiting do not slow down how many ask.
MANY_CALLERS = 1_000
OVER = 4
LATENCY_MS = 20.0
HANG_S = 30.0
#: So many that the other slices take a part of what the machine can do, and no more.
FEW_CALLERS = 4


@contextmanager
def _opened(scale: Scale) -> Iterator[tuple[Path, Client, Erps, Gateway, Job]]:
    """Everything that runs, and a job that writes customers as fast as it is answered."""
    with (
        tempfile.TemporaryDirectory(prefix="twinrun-benchmark-") as name,
        postgresql() as url,
        Client(folder := Path(name)) as client,
        Erps(folder, latency_ms=LATENCY_MS) as erps,
        Gateway(folder, erps, url, settings=scale.settings) as gateway,
    ):
        job = Job(
            base=gateway.address,
            callers=CALLERS,
            label="peak",
            headers=gateway.headers,
            write="/v1/customers",
            seconds=scale.seconds,
        )
        yield folder, client, erps, gateway, job


def overload(scale: Scale) -> Report:
    """Goodput, and how long who is refused has to wait for that."""
    with _opened(scale) as (_, client, erps, gateway, job):
        gateway.move_to("dual_write")
        client.run(shorter(job, scale.warm_s))
        before = erps.customers("legacy")
        peak = client.run(job)
        rate = peak.answered / (peak.ended - peak.began)
        over = msgspec.structs.replace(
            job,
            callers=MANY_CALLERS,
            label="over",
            seconds=scale.seconds * 2,
            pace_s=MANY_CALLERS / (OVER * rate),
            may_refuse=True,
        )
        done = client.run(over)
        at_rest(gateway)
        came = erps.customers("legacy") - before
    accepted = peak.answered + done.answered
    if came != accepted:
        raise Broken(f"{accepted} writes were accepted, the authority has {came} records of them")
    seconds = done.ended - done.began
    asked = sum(done.statuses.values())
    return Report(
        name="overload",
        title=f"{OVER} × as many writes as it can take: goodput as a share of its peak; p99 of a refusal",
        bounds=(
            Bound(unit="×", value=done.answered / seconds / rate, gate=0.8, aim=0.9),
            Bound(unit="ms", value=done.refused_p99_ms, gate=100, aim=50, at_most=True),
        ),
        remarks=(
            (
                f"Peak {rate:,.0f}/s of dual writes with {CALLERS} callers on PostgreSQL, ERPs that answer after "
                f"{LATENCY_MS:g} ms. "
                f"Then {asked / seconds:,.0f}/s were asked for: {done.answered / seconds:,.0f}/s answered, "
                f"{done.statuses.get('202', 0):,} of them with 202, {done.statuses.get('503', 0):,} refused; "
                f"p99 of what was answered {done.p99_ms:,.0f} ms."
            ),
            f"{accepted:,} writes were accepted, and the authority holds each exactly once.",
        ),
    )


def hanging(scale: Scale) -> Report:
    """What the writes of slices that the cloud answers for notice of a legacy system that hangs."""
    with _opened(scale) as (folder, client, erps, gateway, job), Client(folder) as stuck:
        gateway.move_to("dual_write", "shadow", "live", "ramp_down", "cloud_only")
        others = msgspec.structs.replace(job, callers=FEW_CALLERS, label="others")
        hangs = msgspec.structs.replace(job, label="hangs", region="UK", pace_s=1.0, may_refuse=True)
        client.run(shorter(others, scale.warm_s))
        # The same callers of the other slices beside both times, so that only the hanging is different.
        stuck.begin(hangs)
        before = client.run(others)
        stuck.end(hangs)
        erps.fault("legacy", "hang", s=HANG_S)
        again = shorter(hangs, HANG_S, "hung")
        stuck.begin(again)
        wait_until(
            lambda: erps.stats("legacy")["requests"].get("customer.create", 0) > 0, "calls hang", every_s=0.2
        )
        during = client.run(shorter(others, HANG_S - 2, "during"))
        hung = stuck.end(again)
        erps.heal("legacy")
        at_rest(gateway)
    return Report(
        name="hanging",
        title="one system hangs for 30 s: p99 of writes to the other, against before",
        bounds=(Bound(unit="×", value=during.p99_ms / before.p99_ms, gate=2.0, aim=1.3, at_most=True),),
        remarks=(
            (
                f"{FEW_CALLERS} callers of slices of the other system: p99 {before.p99_ms:,.0f} ms before, "
                f"{during.p99_ms:,.0f} ms while it hung (p50 {before.p50_ms:,.0f} and {during.p50_ms:,.0f} ms); "
                f"{CALLERS} callers of the hanging one beside them, a write a second each."
            ),
            (
                f"Of the hanging one's: {hung.statuses.get('202', 0):,} answered with 202, "
                f"{hung.statuses.get('503', 0):,} refused."
            ),
        ),
    )
