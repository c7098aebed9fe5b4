"""CPU of one adapter call and of its parts: a fetch of an invoice with ten lines, over each shipped simulated
profile.

``python -m tests.benchmarks.adapters [calls]`` prints a table. The system is a process that answers with
fixed bytes, so that the figures are ours alone.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

from adapters.build import PROTOCOLS, open_adapter
from adapters.mapping import EntityMap
from adapters.profile import Profile, load
from adapters.protocols import json_body, xml_body
from adapters.transport import Reply
from tests.benchmarks.transport import IN_FLIGHT, serving
from tests.conformance.samples import SAMPLES, resolved

PROFILES = ("sandbox_legacy", "sandbox_cloud")


def invoice() -> dict[str, Any]:
    """Ten lines; the totals are of no interest here."""
    fields = resolved(SAMPLES["invoice"], dict.fromkeys(SAMPLES, "100001"))
    return {**fields, "lines": fields["lines"] * 5}


def body(profile: Profile, entity_map: EntityMap) -> bytes:
    """The invoice as the system would answer."""
    record = entity_map.encode(invoice(), creating=True)
    record[entity_map.spec.key] = "9020000001"
    if profile.protocol == "odata":
        return json_body.encode({"@odata.etag": "W/1", "ModifiedAt": "2026-11-20T10:00:00.123456Z", **record})
    return xml_body.encode("Rechnung", {**record, "Aenderung": "20.11.2026 10:00:00", "Zaehler": "3"})


def cpu_us(work: Callable[[], object], times: int = 400) -> float:
    best = float("inf")
    for _ in range(5):
        begun = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - begun) / times)
    return best * 1e6


async def fetch_us(profile: Profile, base: str, calls: int) -> float:
    adapter = open_adapter("legacy", profile, base)

    async def many(count: int) -> None:
        for _ in range(count):
            await adapter.fetch("invoice", "9020000001")

    await asyncio.gather(*(many(10) for _ in range(IN_FLIGHT)))
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        await asyncio.gather(*(many(calls // IN_FLIGHT) for _ in range(IN_FLIGHT)))
        best = min(best, (time.process_time() - begun) / calls * 1e6)
    await adapter.close()
    return best


def row(name: str, calls: int) -> list[float]:
    profile = load(name)
    entity_map = EntityMap(profile, "invoice")
    wire = PROTOCOLS[profile.protocol](profile, "http://127.0.0.1", {})
    content = body(profile, entity_map)
    reply = Reply(status=200, headers={}, content=content)
    native = wire.fetched(entity_map, reply)
    assert native is not None
    fields = invoice()
    with serving(content) as base:
        fetched = uvloop.run(fetch_us(profile, base, calls))
    return [
        fetched,
        cpu_us(lambda: wire.fetch(entity_map, "9020000001")),
        cpu_us(lambda: wire.fetched(entity_map, reply)),
        cpu_us(lambda: entity_map.decode(native)),
        cpu_us(lambda: entity_map.encode(fields, creating=True)),
        cpu_us(lambda: entity_map.expect(fields)),
    ]


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 3200
    print(f"Python {sys.version.split()[0]}; load {os.getloadavg()[0]:.1f}; µs of CPU, best of several")
    print(
        "| profile | fetch | make request | parse | decode | encode | expect |\n|---|---|---|---|---|---|---|"
    )
    for name in PROFILES:
        print(f"| {name} | " + " | ".join(f"{part:.0f}" for part in row(name, calls)) + " |")


if __name__ == "__main__":
    main()
