"""The judge of a campaign: builds the history that the callers, the ERPs' effect logs and the journal tell, and holds
the laws of the simulation against it, with three more that only real systems can be asked about."""

from __future__ import annotations

import asyncio
import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from adapters.contract import Adapter, Idempotency
from adapters.errors import AdapterError
from gateway.canonical import BY_NAME
from gateway.dispatch.translate import expected
from tests.integration.kill.callers import Heard
from tests.integration.kill.programs import Death
from tests.simulation import check
from tests.simulation.check import Verdict
from tests.simulation.erp import Effect, Product
from tests.simulation.history import History, journal, waiting_for_a_person

#: What the callers write, and both systems keep.
WATCHED = {
    "customer": ("name", "number", "phone", "state"),
    "time_entry": ("note", "hours", "state"),
    "project": ("name", "state"),
    "resource": ("name", "role", "state"),
    "invoice": ("lines", "net_total", "tax_total", "total", "state"),  # whole, or not at all
}
#: Laws that need a simulated system's own insides; convergence is looked at through the adapters instead.
_NOT_HERE = (check.diverged, check.impatient)
LAWS = tuple(law for law in check.LAWS if law not in _NOT_HERE)


def read(connection: Connection) -> History:
    """The journal's part of the history."""
    history = History(products={name: _product(name, kind) for name, kind in _KINDS.items()})

    def rows(statement: str) -> list[dict[str, Any]]:
        return [dict(row) for row in connection.execute(text(statement)).mappings()]

    journal(rows, history)
    return history


#: As the profiles of the two simulated ERPs declare them.
_KINDS = {"legacy": Idempotency.D_SEARCHABLE, "cloud": Idempotency.B_EXTERNAL_ID}


def _product(system: str, kind: Idempotency) -> Product:
    return Product(
        system=system, idempotency=kind, conditional=system == "cloud", max_processing_s=2.0, read_lag_s=0.0,
        search_lag_s=0.0, timeout_s=1.5, unique_numbers=False, numbers=False, answers_record=True, name_length=None,
    )  # fmt: skip


def tell(
    history: History, said: Sequence[Heard], effects: dict[str, list[dict[str, Any]]], own_faults: list[str]
) -> None:
    """The callers' and the systems' part. The systems' clock is the callers'."""
    done = sorted(
        (
            (_seconds(one["time"]), system, one["seq"], one)
            for system, items in effects.items()
            for one in items
        ),
        key=lambda row: row[:3],
    )
    history.effects = [
        Effect(
            place=place, t=at, system=system, entity=one["entity"], native_id=one["key"], marker=one["marker"] or None,
            kind=one["action"], fields={},
        )
        for place, (at, system, _, one) in enumerate(done)
    ]  # fmt: skip
    times = [at for at, *_ in done]
    history.said = [
        msgspec.structs.replace(one, effects=bisect.bisect_right(times, one.wall)) for one in said
    ]
    history.own_faults = own_faults


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()


def verdicts(history: History, cases: Counter[str]) -> list[Verdict]:
    """Every breach of a law by this history. ``cases`` counts the open ones of each operation."""
    facts = check.Facts(history)
    found = [verdict for law in LAWS for verdict in law(facts)]
    for op in history.operations.values():
        waits = op.state in ("attention", "unresolved")
        if waits and cases[op.id] != 1:
            found.append(
                Verdict(law="cases", what=f"it is {op.state} and has {cases[op.id]} cases", concerns=(op.id,))
            )
        elif op.state == "settled" and cases[op.id]:
            found.append(Verdict(law="cases", what="it is settled and has an open case", concerns=(op.id,)))
    found.extend(acknowledged(history))
    return found


def acknowledged(history: History) -> Iterator[Verdict]:
    """Each write that a caller was told of is in every system that should have it, was refused, or has a person: a case
    of its own, or one that it waits behind."""
    lines: dict[str, list[Any]] = {}
    for line in history.lines:
        lines.setdefault(line.operation, []).append(line)
    there = {(one.system, one.marker) for one in history.effects}
    waits = waiting_for_a_person(history)
    for operation in {one.operation for one in history.said if one.operation and one.code in (200, 201, 202)}:
        op = history.operations.get(operation)
        if op is None or op.state in ("rejected", "cancelled", "attention", "unresolved"):
            continue
        for line in lines.get(operation, ()):
            # Of master data the mirror gets only the newest; the older ones are marked as overtaken by it.
            latest = BY_NAME[line.entity].lane_mode == "latest"
            overtaken = line.state == "superseded" and line.role == "mirror" and latest
            unwanted = line.state == "skipped" and line.role == "mirror"
            if (line.system, op.marker) not in there and not (overtaken or unwanted or line.id in waits):
                yield Verdict(
                    law="acknowledged",
                    what=f"a caller was told of it, and {line.system} ({line.role}, {line.state}) has no effect",
                    concerns=(op.id, op.record),
                )


def open_cases(connection: Connection) -> Counter[str]:
    rows = connection.execute(text("SELECT operation_id FROM case_ WHERE state = 'open'"))
    return Counter(row.operation_id for row in rows)


async def diverged(history: History, adapters: dict[str, Adapter]) -> list[Verdict]:
    """Each record of which nothing is open reads in both systems as the journal has it, but for declared losses."""
    unfinished = {
        line.record for line in history.lines if line.state not in ("applied", "superseded", "rejected")
    }
    skipped = {line.record for line in history.lines if line.state == "skipped"}
    places = asyncio.Semaphore(12)

    async def one(record: str, system: str, native: str) -> Verdict | None:
        kept = history.records[record]
        entity, adapter = kept.entity, adapters[system]
        async with places:
            try:
                found = await adapter.fetch(entity, native)
            except AdapterError as failed:
                return Verdict(law="diverged", what=f"{system}: {failed.message}", concerns=(record, native))
        image = kept.image or {}
        wanted = expected(adapter, BY_NAME[entity], {name: image.get(name) for name in WATCHED[entity]})
        wrong = {
            name: (found.fields.get(name), value)
            for name, value in wanted.items()
            if found.fields.get(name) != value
        }
        if not wrong:
            return None
        told = ", ".join(f"{name}: {there!r}, not {value!r}" for name, (there, value) in wrong.items())
        return Verdict(law="diverged", what=f"{system} holds {told}", concerns=(record, native))

    judged = await asyncio.gather(
        *(
            one(record, system, native)
            for (record, system), native in history.links.items()
            if record in history.records
            and history.records[record].image is not None
            and record not in unfinished - skipped
        )
    )
    missing = [
        Verdict(law="diverged", what=f"{system} is not linked", concerns=(record, kept.entity))
        for record, kept in history.records.items()
        if kept.image is not None and record not in unfinished
        for system in ("legacy", "cloud")
        if (record, system) not in history.links
    ]
    return [one for one in judged if one is not None] + missing


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """How long after a death the last write that it left in the middle had ended."""

    death: Death
    affected: int
    seconds: float


def recoveries(connection: Connection, deaths: Sequence[Death]) -> list[Recovery]:
    """A death's writes are those whose lease ran out and whose attempt began in that life of a process, and which no
    earlier death after that moment explains."""
    rows = connection.execute(
        text(
            "SELECT a.started_at, o.updated_at, o.id FROM attempt a JOIN delivery d ON d.id = a.delivery_id "
            "JOIN operation o ON o.id = d.operation_id WHERE a.outcome = 'lease_expired'"
        )
    ).all()
    ordered = sorted(deaths, key=lambda one: one.at)
    times = [one.at for one in ordered]
    ends: dict[int, tuple[set[str], float]] = {}
    for row in rows:
        place = bisect.bisect_left(times, row.started_at / 1e6)
        if place == len(times):
            continue  # nobody died after it: a process that was held still, or a slow one
        known, end = ends.get(place, (set(), 0.0))
        ends[place] = known | {row.id}, max(end, row.updated_at / 1e6)
    return [
        Recovery(death=ordered[place], affected=len(known), seconds=max(0.0, end - ordered[place].at))
        for place, (known, end) in sorted(ends.items())
    ]


def percentile(values: Sequence[float], share: float, *, key: Callable[[float], float] = float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values, key=key)
    return ordered[max(0, -(-len(ordered) * int(share * 100) // 100) - 1)] if ordered else 0.0
