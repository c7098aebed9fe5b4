"""The end: everything that was promised is held against what the ERPs themselves say they did."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec

from gateway.cli.demo.traffic import Traffic
from gateway.cli.demo.walk import ALONE
from gateway.cli.demo.wire import Api, Control

SYSTEMS = ("legacy", "cloud")
AT_ONCE = 8


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must hold at the end."""

    name: str
    held: bool
    detail: str


class Books(msgspec.Struct, kw_only=True):
    """The journal beside the two effect logs."""

    operations: int = 0
    effects: dict[str, int] = {}
    applied: dict[str, int] = {}  #: deliveries that the journal says were applied
    superseded: int = 0  #: mirror deliveries in whose place a newer state of the same record went
    skipped: int = (
        0  #: mirror deliveries of writes that were held, and released into a stage without a mirror
    )
    held: dict[str, float] = {}  #: operation -> seconds, of writes that waited for a move of authority
    lost: list[str] = []
    doubled: list[str] = []
    foreign: list[str] = []  #: effects that carry a marker which no operation has
    unsettled: list[str] = []


async def audit(api: Api, control: Control, traffic: Traffic) -> Books:
    """Holds every write that was answered with 2xx against the effect logs of both ERPs."""
    books = Books(effects=dict.fromkeys(SYSTEMS, 0), applied=dict.fromkeys(SYSTEMS, 0))
    seen: dict[str, Counter[str]] = {}
    for system in SYSTEMS:
        entries = [one for one in await control.effects(system) if one["action"] != "direct_edit"]
        books.effects[system] = len(entries)
        seen[system] = Counter(str(one["marker"]) for one in entries)
    answered = {write.operation: write for write in traffic.writes}
    markers: set[str] = set()
    told: set[str] = set()
    places = asyncio.Semaphore(AT_ONCE)

    async def one(record: str) -> dict[str, Any]:
        async with places:
            return await api.get(f"/admin/v1/records/{record}/journey")

    for journey in await asyncio.gather(*(one(record) for record in traffic.owned)):
        _held(books, journey, answered)
        newest = max((operation["seq"] for operation in journey["operations"]), default=0)
        for operation in journey["operations"]:
            told.add(operation["id"])
            markers.add(operation["marker"])
            _operation(books, operation, newest, seen)
    books.operations = len(told)
    books.lost += [f"{operation} is not in the journal" for operation in answered if operation not in told]
    for system in SYSTEMS:
        books.foreign += [f"{system}: {marker}" for marker in seen[system] if marker not in markers]
    return books


def _operation(books: Books, operation: dict[str, Any], newest: int, seen: dict[str, Counter[str]]) -> None:
    """One operation: applied means once, and anything else means never."""
    name, marker = operation["id"], operation["marker"]
    if operation["state"] != "settled":
        books.unsettled.append(f"{name} is {operation['state']}")
    expected = dict.fromkeys(SYSTEMS, 0)
    for delivery in operation["deliveries"]:
        if delivery["state"] == "applied":
            expected[delivery["system"]] = 1
            books.applied[delivery["system"]] += 1
        elif delivery["state"] == "superseded":
            books.superseded += 1
            if operation["seq"] >= newest:
                books.lost.append(f"{name} in {delivery['system']}: nothing newer went in its place")
        elif delivery["state"] == "skipped" and operation["stage"] in ALONE:
            # Accepted for both, held by a move, and released into a stage that has no mirror.
            books.skipped += 1
        else:
            books.unsettled.append(f"{name} in {delivery['system']} is {delivery['state']}")
    if expected[operation["authority"]] != 1:
        books.lost.append(f"{name}: {operation['authority']}, which answers, has not applied it")
    for system in SYSTEMS:
        times = seen[system][marker]
        if times < expected[system]:
            books.lost.append(f"{name} in {system}: {marker} has no effect")
        elif times > expected[system]:
            books.doubled.append(
                f"{name} in {system}: {marker} has {times} effects instead of {expected[system]}"
            )


def _held(books: Books, journey: dict[str, Any], answered: dict[str, Any]) -> None:
    for event in journey["events"]:
        write = answered.get(event["operation"])
        if event["event"] == "held" and write is not None:
            books.held[event["operation"]] = write.ended - write.began


def first(found: list[str], most: int = 3) -> str:
    """The first of what was found, for one line."""
    more = len(found) - most
    return "; ".join(found[:most]) + (f"; and {more} more" if more > 0 else "")
