"""One round: the load client's job, with the CPU time of the process that serves it beside it."""

from __future__ import annotations

import msgspec

from tests.benchmarks.load import Done, Job
from tests.benchmarks.programs import Broken, Client, Gateway, Program, wait_until
from tests.benchmarks.table import Round

RECORDS = 200  #: customers that are read; enough that no two callers ask for the same one all the time


def measured(client: Client, program: Program, job: Job) -> Round:
    """A round in which nothing is left to do once the last answer is given."""
    cpu = program.cpu_s
    done = client.run(job)
    return rounded(done, cpu_s=program.cpu_s - cpu)


def rounded(done: Done, *, cpu_s: float, count: int | None = None, ended: float | None = None) -> Round:
    return Round(
        count=done.answered if count is None else count,
        seconds=(done.ended if ended is None else ended) - done.began,
        cpu_s=cpu_s,
        p50_ms=done.p50_ms,
        p99_ms=done.p99_ms,
    )


def shorter(job: Job, seconds: float, label: str | None = None) -> Job:
    """The same job for another time, its writes under another label."""
    return msgspec.structs.replace(job, seconds=seconds, label=label or f"{job.label}-warm")


def created(client: Client, gateway: Gateway) -> list[dict[str, str]]:
    """Makes the customers that are read later; each as its ids by system, and ``id`` for our own."""
    client.run(
        Job(
            base=gateway.address,
            callers=8,
            label="first",
            headers=gateway.headers,
            write="/v1/customers",
            requests=RECORDS,
        )
    )
    gateway.program.idle()
    found = gateway.get(f"/v1/customers?region=DACH&limit={RECORDS}")["items"]
    if len(found) != RECORDS:
        raise Broken(f"{len(found)} customers are listed; {RECORDS} were created")
    return [{"id": one["id"], **one["external_refs"]} for one in found]


def at_rest(gateway: Gateway) -> None:
    """Nothing is on its way to a system any more, and no comparison is due."""
    wait_until(
        lambda: (
            not any(
                gateway.get(f"/admin/v1/deliveries?state={state}&limit=1")["items"]
                for state in ("ready", "sending")
            )
        ),
        "every delivery settled",
    )
    gateway.program.idle()
