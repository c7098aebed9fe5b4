"""B9 and B10. How long a write is held while an authority moves, and how soon a changed rule is seen everywhere."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from tests.benchmarks.durable_write import LATENCY_MS, postgresql
from tests.benchmarks.load import Job
from tests.benchmarks.measure import at_rest, shorter
from tests.benchmarks.programs import REGION, SEEN_S, Broken, Client, Erps, Gateway, wait_until
from tests.benchmarks.scale import Scale
from tests.benchmarks.table import Bound, Report

WRITES = 100
#: Authority goes there and back so many times in a round.
MOVES = 4
RULES = 10


def hold(scale: Scale) -> Report:
    """The longest that a write took while authority moved with a hundred of them in flight, from its first byte to its
    answer; beside it the longest of the same load without a move."""
    with (
        postgresql() as database,
        tempfile.TemporaryDirectory(prefix="twinrun-benchmark-") as name,
        Client(folder := Path(name)) as client,
        Erps(folder, latency_ms=LATENCY_MS) as erps,
        Gateway(folder, erps, database, settings=scale.settings) as gateway,
    ):
        gateway.move_to("dual_write", "shadow")
        job = Job(
            base=gateway.address,
            callers=WRITES,
            label="still",
            headers=gateway.headers,
            write="/v1/customers",
            seconds=scale.seconds,
        )
        client.run(shorter(job, scale.warm_s))
        still = client.run(job)
        at_rest(gateway)
        took: list[float] = []
        moving: list[float] = []
        later = answered = 0
        for number in range(scale.rounds):
            client.begin(shorter(job, scale.seconds, f"moved-{number}"))
            for stage in ("live", "shadow") * (MOVES // 2):
                began = time.monotonic()
                gateway.move_to(stage)
                took.append(time.monotonic() - began - SEEN_S)
            done = client.end(job)
            moving.append(done.longest_ms)
            later += done.statuses.get("202", 0)
            answered += done.answered
            at_rest(gateway)
        held = {system: erps.customers(system) for system in ("legacy", "cloud")}
        if len(set(held.values())) != 1:
            raise Broken(f"after the moves the systems hold {held}")
    return Report(
        name="B9",
        title=f"authority moved with {WRITES} writes in flight: the longest that a write took",
        bounds=(Bound(unit=" ms", value=max(moving), gate=2000, aim=500, at_most=True),),
        remarks=(
            (
                f"{len(took)} moves there and back in {scale.rounds} rounds of {scale.seconds:g} s; {answered:,} "
                f"writes answered, {later:,} of them with 202, none lost or doubled. The longest without a move: "
                f"{still.longest_ms:,.0f} ms (half within {still.p50_ms:,.0f} ms)."
            ),
            f"A move took {median(took):.2f} s from its request to its answer, the longest {max(took):.2f} s.",
        ),
    )


def seen(scale: Scale) -> Report:
    """From the answer to a changed rule until a replica without Redis routes reads by it."""
    with (
        postgresql() as database,
        tempfile.TemporaryDirectory(prefix="twinrun-benchmark-") as name,
        Erps(folder := Path(name)) as erps,
        Gateway(folder, erps, database, settings=scale.settings) as one,
        Gateway(folder, erps, database, settings=scale.settings, worker=False) as other,
    ):
        one.move_to("dual_write")
        body = {"region": REGION, "name": "Seen", "currency": "EUR"}
        made = one.http.post("/v1/customers", json=body).raise_for_status().json()["id"]
        at_rest(one)
        took: list[float] = []
        for stage in ("shadow", "dual_write") * (RULES // 2):
            rules = one.get("/admin/v1/rules")["items"]
            (rule,) = (rule for rule in rules if (rule["entity"], rule["region"]) == ("customer", REGION))
            change = {"stage": stage, "reason": "benchmark", "expected_version": rule["version"]}
            one.http.put(f"/admin/v1/rules/customer/{REGION}", json=change).raise_for_status()
            began = time.monotonic()

            def follows(stage: str = stage) -> bool:
                answer = other.http.get(f"/v1/customers/{made}").raise_for_status()
                return answer.headers["Twinrun-Stage"] == stage

            took.append(wait_until(follows, "the replica follows", every_s=0.002) - began)
    return Report(
        name="B10",
        title="a changed rule is seen by a replica, without Redis",
        bounds=(Bound(unit=" ms", value=max(took) * 1e3, gate=1000, aim=100, at_most=True),),
        remarks=(
            (
                f"{len(took)} changes, half of them seen within {median(took) * 1e3:,.0f} ms. Writes need no such "
                "time: the rule is read in the commit that accepts them. With Redis a replica is told at once."
            ),
        ),
    )
