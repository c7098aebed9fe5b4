"""B11. Memory of one gateway process after many requests, and the time from its start to its first answer."""

from __future__ import annotations

import http.client
import socket
import tempfile
import time
from pathlib import Path
from statistics import median

import msgspec

from tests.benchmarks.load import Job
from tests.benchmarks.measure import at_rest, created
from tests.benchmarks.programs import Broken, Client, Erps, Gateway, Peer, Program
from tests.benchmarks.scale import Scale
from tests.benchmarks.table import Bound, Report

CALLERS = 16
WRITE_EVERY = 4
#: The peer is some ten times slower; its memory is read after a share of the requests.
PEER_SHARE = 0.05
FIRST_ANSWER_S = 60.0


class _Start(msgspec.Struct, frozen=True, kw_only=True):
    seconds: float
    cpu_s: float


def run(scale: Scale) -> Report:
    with tempfile.TemporaryDirectory(prefix="twinrun-benchmark-") as name:
        folder = Path(name)
        database = f"sqlite:///{folder / 'journal.db'}"
        with Client(folder) as client, Erps(folder) as erps:
            with Gateway(folder, erps, database, settings=scale.settings) as gateway:
                gateway.move_to("dual_write", "shadow")
                records = created(client, gateway)
                fresh = gateway.program.memory_mib()
                job = Job(
                    base=gateway.address,
                    callers=CALLERS,
                    label="mixed",
                    headers=gateway.headers,
                    reads=tuple(f"/v1/customers/{one['id']}" for one in records),
                    write="/v1/customers",
                    write_every=WRITE_EVERY,
                    requests=scale.mixed,
                )
                done = client.run(job)
                at_rest(gateway)
                after = gateway.program.memory_mib()
                most = gateway.program.memory_mib("VmHWM")
            peer_requests = int(scale.mixed * PEER_SHARE)
            with Peer("flagged", *erps.urls.values(), "shadow", "serial", folder=folder) as peer:
                reads = tuple(f"/v1/customers/{one['legacy']}/{one['cloud']}" for one in records)
                client.run(
                    Job(
                        base=peer.address,
                        callers=CALLERS,
                        label="mixed",
                        reads=reads,
                        write="/v1/customers",
                        write_every=WRITE_EVERY,
                        requests=peer_requests,
                    )
                )
                peer_after = peer.memory_mib()

            ours: list[_Start] = []
            theirs: list[_Start] = []
            for _ in range(scale.starts):
                port = _free_port()
                gateway = Gateway(folder, erps, database, settings=scale.settings, port=port)
                with gateway.start() as program:
                    ours.append(
                        _first_answer(program, port, f"/v1/customers/{records[0]['id']}", gateway.headers)
                    )
                port = _free_port()
                with Peer(
                    "flagged", *erps.urls.values(), "shadow", "serial", str(port), folder=folder
                ) as peer:
                    theirs.append(_first_answer(peer, port, reads[0], {}))
    return Report(
        name="B11",
        title=f"one gateway process: memory after {scale.mixed:,} requests; start to first answer",
        bounds=(
            Bound(unit="MiB", value=after, gate=300, aim=150, at_most=True),
            Bound(unit="s", value=median(start.seconds for start in ours), gate=3, aim=1, at_most=True),
        ),
        remarks=(
            (
                f"In `shadow`, {CALLERS} callers, every {WRITE_EVERY}th request a write; {fresh:.0f} MiB before, "
                f"{most:.0f} MiB at most; {done.answered / (done.ended - done.began):,.0f} requests/s. The peer after "
                f"{peer_requests:,} requests: {peer_after:.0f} MiB."
            ),
            (
                f"The first answer is a routed read of a customer, {scale.starts} starts with the journal of those "
                f"requests: {_told(ours)}. The peer: {_told(theirs)}."
            ),
        ),
    )


def _told(starts: list[_Start]) -> str:
    seconds = [start.seconds for start in starts]
    cpu_s = median(start.cpu_s for start in starts)
    return f"from {min(seconds):.2f} to {max(seconds):.2f} s, of CPU {cpu_s:.2f} s"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def _first_answer(program: Program, port: int, path: str, headers: dict[str, str]) -> _Start:
    """From the start of the process to a first 200 for ``path``."""
    while time.monotonic() - program.started < FIRST_ANSWER_S:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=FIRST_ANSWER_S)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            at = time.monotonic() - program.started
            body = answer.read()
        except ConnectionError:
            time.sleep(0.002)
            continue
        finally:
            connection.close()
        if answer.status != 200:
            raise Broken(f"the first answer was {answer.status}: {body[:300]!r}")
        return _Start(seconds=at, cpu_s=program.cpu_s)
    raise Broken(f"no answer within {FIRST_ANSWER_S:g} s of the start")
