"""B1. A routed read in ``legacy_only``, against a bare Litestar proxy with the same carrier."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.load import Job
from tests.benchmarks.measure import created, measured, shorter
from tests.benchmarks.programs import Client, Erps, Gateway, Peer
from tests.benchmarks.scale import Scale
from tests.benchmarks.table import Bound, Report, Round, Side, ratio, spread

CALLERS = 16


def run(scale: Scale) -> Report:
    ours: list[Round] = []
    theirs: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="twinrun-benchmark-") as name:
        folder = Path(name)
        database = f"sqlite:///{folder / 'journal.db'}"
        with (
            Client(folder) as client,
            Erps(folder) as erps,
            Gateway(folder, erps, database, settings=scale.settings) as gateway,
            Peer("proxy", erps.urls["legacy"], folder=folder) as proxy,
        ):
            records = created(client, gateway)
            through_us = Job(
                base=gateway.address,
                callers=CALLERS,
                label="read",
                headers=gateway.headers,
                reads=tuple(f"/v1/customers/{one['id']}" for one in records),
                seconds=scale.seconds,
            )
            through_proxy = Job(
                base=proxy.address,
                callers=CALLERS,
                label="read",
                reads=tuple(f"/v1/customers/{one['legacy']}" for one in records),
                seconds=scale.seconds,
            )
            for job in (through_us, through_proxy):
                client.run(shorter(job, scale.warm_s))
            for _ in range(scale.rounds):
                ours.append(measured(client, gateway.program, through_us))
                theirs.append(measured(client, proxy, through_proxy))
    gateway_side = Side(name="Twinrun, legacy_only", rounds=tuple(ours))
    proxy_side = Side(name="bare Litestar proxy", rounds=tuple(theirs))
    low, high = spread(gateway_side, proxy_side)
    return Report(
        name="B1",
        title="routed read in `legacy_only`, as a share of a bare Litestar proxy",
        bounds=(Bound(unit="×", value=ratio(gateway_side, proxy_side), gate=0.6, aim=0.85),),
        sides=(gateway_side, proxy_side),
        remarks=(
            (
                f"{CALLERS} callers, {scale.rounds} rounds of {scale.seconds:g} s each in turn; the ratio of pairs of "
                f"rounds lay between {low:.2f} and {high:.2f}."
            ),
            f"By CPU for one read: {proxy_side.cpu_us / gateway_side.cpu_us:.2f}.",
            (
                "The proxy knows the native id from the address; it checks no key, knows no rule and no crosswalk, and "
                "maps nothing."
            ),
        ),
    )
