"""B3 and B4. A durable dual write: answered with 2xx, kept, and applied by the mirror; on PostgreSQL and on SQLite.

The peer is done when it answers. We answer when the authority has applied a write and the intent for the mirror
is on disk; so the rounds count answers, and say beside it how long the mirror took to have everything. At the end
both ERPs are counted: one record too few or too many, and there is no figure.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.load import Job
from tests.benchmarks.measure import at_rest, measured, rounded, shorter
from tests.benchmarks.programs import Broken, Client, Erps, Gateway, Peer, wait_until
from tests.benchmarks.scale import Scale
from tests.benchmarks.table import Bound, Report, Round, Side, ratio, spread
from tests.systems.databases import address, on_server

CALLERS = 64
LATENCY_MS = 20.0


@contextmanager
def postgresql() -> Iterator[str]:
    name = f"twinrun_benchmark_{secrets.token_hex(4)}"
    on_server(f"CREATE DATABASE {name}")
    try:
        yield address(name)
    finally:
        on_server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="twinrun-benchmark-") as folder:
        yield f"sqlite:///{Path(folder) / 'journal.db'}"


class _Watched:
    """The gateway's rounds, with what goes on after the answers."""

    def __init__(self, client: Client, gateway: Gateway, erps: Erps) -> None:
        self._client = client
        self._gateway = gateway
        self._erps = erps
        self.answered = 0
        self.later = 0  #: answered 202
        self.mirrored_s = 0.0
        self.rest_cpu_s = 0.0
        self.compares = 0

    def round(self, job: Job) -> Round:
        program = self._gateway.program
        before_us = self._gateway.compared()
        held = {system: self._erps.customers(system) for system in ("legacy", "cloud")}
        cpu = program.cpu_s
        done = self._client.run(job)
        mirrored = wait_until(
            lambda: all(self._erps.customers(system) - held[system] >= done.answered for system in held),
            "every accepted write applied in both ERPs",
        )
        spent = program.cpu_s - cpu
        compares = self._all_compared(before_us, done.answered)
        at_rest(self._gateway)
        for system, before in held.items():
            came = self._erps.customers(system) - before
            if came != done.answered:
                raise Broken(f"{done.answered} writes were accepted, {system} has {came} records of them")
        self.answered += done.answered
        self.compares += compares
        self.later += done.statuses.get("202", 0)
        self.mirrored_s += max(mirrored, done.ended) - done.began
        self.rest_cpu_s += program.cpu_s - cpu - spent
        return rounded(done, cpu_s=spent)

    def _all_compared(self, before: dict[str, int], writes: int) -> int:
        """Both sides of each write are read back once it has settled; the peer's turn comes after that."""

        def new(name: str) -> int:
            return self._gateway.compared()[name] - before.get(name, 0)

        wait_until(lambda: new("compares") >= writes, "both sides of every write compared", every_s=0.25)
        if new("match") != new("compares"):
            raise Broken(f"comparisons found what was not written: {self._gateway.compared()}")
        return new("compares")


def _run(scale: Scale, journal: str) -> tuple[Side, Side, tuple[str, ...]]:
    ours: list[Round] = []
    theirs: list[Round] = []
    with (
        postgresql() if journal == "PostgreSQL" else _sqlite() as database,
        tempfile.TemporaryDirectory(prefix="twinrun-benchmark-") as name,
        Client(folder := Path(name)) as client,
        Erps(folder, latency_ms=LATENCY_MS) as erps,
        Gateway(folder, erps, database, settings=scale.settings) as gateway,
        Peer("flagged", *erps.urls.values(), "dualwrite", folder=folder) as peer,
    ):
        gateway.move_to("dual_write")
        through_us = Job(
            base=gateway.address,
            callers=CALLERS,
            label="ours",
            headers=gateway.headers,
            write="/v1/customers",
            seconds=scale.seconds,
        )
        through_peer = Job(
            base=peer.address, callers=CALLERS, label="theirs", write="/v1/customers", seconds=scale.seconds
        )
        _Watched(client, gateway, erps).round(shorter(through_us, scale.warm_s))
        client.run(shorter(through_peer, scale.warm_s))
        watched = _Watched(client, gateway, erps)
        for number in range(scale.rounds):
            ours.append(watched.round(shorter(through_us, scale.seconds, f"ours-{number}")))
            theirs.append(measured(client, peer, shorter(through_peer, scale.seconds, f"theirs-{number}")))
    gateway_side = Side(name=f"Twinrun on {journal}", rounds=tuple(ours))
    peer_side = Side(name="FastAPI, httpx, LaunchDarkly", rounds=tuple(theirs))
    low, high = spread(gateway_side, peer_side)
    rest_us = watched.rest_cpu_s / watched.answered * 1e6
    return (
        gateway_side,
        peer_side,
        (
            (
                f"{CALLERS} callers, both ERPs answer after {LATENCY_MS:g} ms, {scale.rounds} rounds of "
                f"{scale.seconds:g} s each in turn; the ratio of pairs of rounds lay between {low:.1f} and {high:.1f}."
            ),
            (
                f"Ours: {watched.answered:,} writes answered, {watched.later:,} of them with 202; until the mirror had "
                f"all of them {watched.answered / watched.mirrored_s:,.0f}/s. Both ERPs hold each exactly once."
            ),
            (
                f"By CPU for one write: {peer_side.cpu_us / gateway_side.cpu_us:.1f}×, delivery to the mirror and the "
                f"comparing done by then included; what is compared after that takes {rest_us:,.0f} µs more. Compared "
                f"were {watched.compares:,}, all equal."
            ),
            (
                "The peer has written both when it answers, keeps nothing, and loses the second write if it stops "
                "in between."
            ),
        ),
    )


def on_postgresql(scale: Scale) -> Report:
    ours, theirs, remarks = _run(scale, "PostgreSQL")
    return Report(
        name="B3",
        title="durable dual write on PostgreSQL, 64 callers",
        bounds=(
            Bound(unit="×", value=ratio(ours, theirs), gate=2, aim=5),
            Bound(unit="/s", value=ours.rate, gate=400, aim=1000),
        ),
        sides=(ours, theirs),
        remarks=remarks,
    )


def on_sqlite(scale: Scale) -> Report:
    ours, theirs, remarks = _run(scale, "SQLite")
    return Report(
        name="B4",
        title="durable dual write on SQLite, 64 callers",
        bounds=(Bound(unit="/s", value=ours.rate, gate=250, aim=600),),
        sides=(ours, theirs),
        remarks=(f"{ratio(ours, theirs):.1f}× the peer.", *remarks),
    )
