"""B2. A read in ``shadow`` with every read compared, against FastAPI, httpx and LaunchDarkly's migration class.

The peer compares before it answers, we afterwards. So our round ends when the last comparison has been made, and
counts comparisons, not answers: answers that were given and never compared are worth nothing here.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import httpx

from tests.benchmarks.load import Job
from tests.benchmarks.measure import at_rest, created, measured, rounded, shorter
from tests.benchmarks.programs import Broken, Client, Erps, Gateway, Peer, wait_until
from tests.benchmarks.scale import Scale
from tests.benchmarks.table import Bound, Report, Round, Side, ratio, spread

CALLERS = 16
#: Without another read from the mirror for so long, none is waiting to be compared.
STILL_S = 0.5
#: The peer's class can read both systems in threads of their own (its default) or one after the other.
ORDERS = ("serial", "parallel")


class _Watched:
    """The gateway's rounds, and what became of each read."""

    def __init__(self, client: Client, gateway: Gateway, erps: Erps) -> None:
        self._client = client
        self._gateway = gateway
        self._erps = erps
        self.answered = 0
        self.answering_s = 0.0
        self.counts: dict[str, int] = {}

    def round(self, job: Job) -> Round:
        before = self._gateway.compared()
        cpu = self._gateway.program.cpu_s
        done = self._client.run(job)
        ended = self._mirror_is_still()
        spent = self._gateway.program.cpu_s - cpu

        def found() -> dict[str, int]:
            now = self._gateway.compared()
            return {name: now[name] - before.get(name, 0) for name in now}

        # The process writes its counts once a second.
        wait_until(
            lambda: (seen := found())["compares"] + seen["shed"] >= done.answered,
            "every read counted, as compared or as shed",
            deadline_s=30,
        )
        counts = found()
        for name, count in counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.answered += done.answered
        self.answering_s += done.ended - done.began
        return rounded(done, cpu_s=spent, count=counts["compares"], ended=max(ended, done.ended))

    def _mirror_is_still(self) -> float:
        """The moment of the last read from the mirror."""
        fetched, since = self._erps.fetched("cloud"), time.monotonic()
        while time.monotonic() - since < STILL_S:
            time.sleep(0.02)
            now = self._erps.fetched("cloud")
            if now != fetched:
                fetched, since = now, time.monotonic()
        return since


def run(scale: Scale) -> Report:
    ours: list[Round] = []
    theirs: dict[str, list[Round]] = {order: [] for order in ORDERS}
    with tempfile.TemporaryDirectory(prefix="twinrun-benchmark-") as name:
        folder = Path(name)
        database = f"sqlite:///{folder / 'journal.db'}"
        with (
            Client(folder) as client,
            Erps(folder) as erps,
            Gateway(folder, erps, database, settings=scale.settings) as gateway,
            Peer("flagged", *erps.urls.values(), "shadow", ORDERS[0], folder=folder) as serial,
            Peer("flagged", *erps.urls.values(), "shadow", ORDERS[1], folder=folder) as parallel,
        ):
            peers = dict(zip(ORDERS, (serial, parallel), strict=True))
            gateway.move_to("dual_write", "shadow")
            records = created(client, gateway)
            through_us = Job(
                base=gateway.address,
                callers=CALLERS,
                label="read",
                headers=gateway.headers,
                reads=tuple(f"/v1/customers/{one['id']}" for one in records),
                seconds=scale.seconds,
            )
            watched = _Watched(client, gateway, erps)
            watched.round(shorter(through_us, scale.warm_s))
            watched = _Watched(client, gateway, erps)
            reads = tuple(f"/v1/customers/{one['legacy']}/{one['cloud']}" for one in records)
            jobs = {
                order: Job(
                    base=peer.address, callers=CALLERS, label="read", reads=reads, seconds=scale.seconds
                )
                for order, peer in peers.items()
            }
            for job in jobs.values():
                client.run(shorter(job, scale.warm_s))
            for _ in range(scale.rounds):
                at_rest(gateway)
                ours.append(watched.round(through_us))
                at_rest(gateway)
                for order in ORDERS:
                    theirs[order].append(measured(client, peers[order], jobs[order]))
            for order, peer in peers.items():
                counted = httpx.get(f"{peer.address}/counts", trust_env=False).json()
                if counted["different"]:
                    raise Broken(f"the peer ({order}) found records to differ that do not: {counted}")
    gateway_side = Side(name="Twinrun, shadow: reads compared", rounds=tuple(ours))
    sides = {
        order: Side(name=f"FastAPI, httpx, LaunchDarkly ({order})", rounds=tuple(rounds))
        for order, rounds in theirs.items()
    }
    best = max(sides.values(), key=lambda side: side.rate)
    low, high = spread(gateway_side, best)
    counts = watched.counts
    verdicts = ", ".join(
        f"{name} {count:,}" for name, count in counts.items() if count and name not in ("compares", "shed")
    )
    return Report(
        name="B2",
        title="read in `shadow`, every read compared, against the faster of two peers",
        bounds=(Bound(unit="×", value=ratio(gateway_side, best), gate=3, aim=8),),
        sides=(gateway_side, *sides.values()),
        remarks=(
            (
                f"{CALLERS} callers, {scale.rounds} rounds of {scale.seconds:g} s each in turn; the ratio of pairs of "
                f"rounds lay between {low:.1f} and {high:.1f}. Our time runs until the last comparison is made."
            ),
            (
                f"Ours: {watched.answered:,} reads answered ({watched.answered / watched.answering_s:,.0f}/s while "
                f"asked for), {counts['compares']:,} compared, {counts['shed']:,} shed. Verdicts: {verdicts}."
            ),
            f"By CPU for one compared read: {best.cpu_us / gateway_side.cpu_us:.1f}×.",
            (
                "The peer compares six fields and an address with `==` and keeps nothing of it; both ids stand in its "
                "address. Ours compares the whole record by its policy and keeps verdicts and examples."
            ),
        ),
    )
