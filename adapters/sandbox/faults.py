"""Fault switches: what goes wrong, for which requests, how often and until when. Pure but for the dice.

A fault is *shaping* (it changes what is stored or read), a *delay*, or an *ending* (it decides how the
request ends; the first ending that matches wins).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any, Literal

import msgspec

Op = Literal["fetch", "search", "create", "update", "delete", "batch"]
How = Literal["close", "reset", "hang"]
Kind = Literal[
    "latency", "outage", "refuse", "drop", "hang", "answer_lost", "late", "error", "throttle", "garbage",
    "double", "read_lag", "rounding", "truncation", "drift",
]  # fmt: skip

READS = ("fetch", "search")
WRITES = ("create", "update", "delete", "batch")
GROUPS: dict[str, tuple[str, ...]] = {"reads": READS, "writes": WRITES}
DELAYS = frozenset({"latency"})
ENDINGS = frozenset({"drop", "hang", "answer_lost", "late", "error", "throttle", "garbage", "double"})
SHAPING = frozenset({"rounding", "truncation", "drift"})
#: Faults of the port: no request has been read when they strike.
OF_THE_PORT = frozenset({"outage", "refuse"})
#: Defaults of ``s`` by kind.
SECONDS = {"hang": 3600.0, "late": 2.0, "read_lag": 5.0, "drift": 0.0}


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    kind: Kind
    entity: list[str] | None = None
    on: list[Literal["reads", "writes", "fetch", "search", "create", "update", "delete", "batch"]] | None = (
        None
    )
    probability: float = 1.0
    count: int | None = None  #: strikes this often, then stays listed with its hits
    for_s: float | None = None
    ms: float = 0.0
    jitter_ms: float = 0.0
    s: float | None = None
    how: How = "close"
    status: int = 500
    effect: bool | None = None
    retry_after_s: float | None = None
    spelling: Literal["seconds", "date", "none"] = "seconds"
    places: int = 0
    fields: list[str] | None = None

    @property
    def seconds(self) -> float:
        return self.s if self.s is not None else SECONDS.get(self.kind, 0.0)


class Armed:
    """A fault that is switched on."""

    __slots__ = ("entities", "fault", "hits", "id", "ops", "until")

    def __init__(self, id_: str, fault: Fault, now: float) -> None:
        self.id = id_
        self.fault = fault
        self.hits = 0
        self.until = now + fault.for_s if fault.for_s is not None else math.inf
        self.entities = frozenset(fault.entity) if fault.entity else None
        self.ops = (
            frozenset(op for word in fault.on for op in GROUPS.get(word, (word,))) if fault.on else None
        )

    def live(self, now: float) -> bool:
        return now < self.until and (self.fault.count is None or self.hits < self.fault.count)

    def shown(self, now: float) -> dict[str, Any]:
        left = None if self.until is math.inf else max(0.0, round(self.until - now, 3))
        body = {k: v for k, v in msgspec.to_builtins(self.fault).items() if v is not None}
        return {"id": self.id, **body, "hits": self.hits, "active": self.live(now), "left_s": left}


class Plan:
    """What the faults have decided about one request."""

    __slots__ = ("ending", "lag_s", "shaping", "wait_s")

    def __init__(self) -> None:
        self.wait_s = 0.0
        self.lag_s = 0.0
        self.ending: Fault | None = None
        self.shaping: list[Fault] = []


class Faults:
    """The switches of one system. ``clock`` is monotonic seconds."""

    def __init__(self, rng: Random, clock: Callable[[], float]) -> None:
        self._rng = rng
        self._clock = clock
        self._armed: dict[str, Armed] = {}
        self._seen = 0
        self.on_change: list[Callable[[], None]] = []  #: called when a switch is moved

    def arm(self, fault: Fault) -> Armed:
        self._seen += 1
        armed = Armed(f"f{self._seen}", fault, self._clock())
        self._armed[armed.id] = armed
        self._changed()
        return armed

    def disarm(self, id_: str | None = None) -> bool:
        """Switches one off, or all. False when there is no such fault."""
        if id_ is None:
            self._armed.clear()
        elif self._armed.pop(id_, None) is None:
            return False
        self._changed()
        return True

    def shown(self) -> list[dict[str, Any]]:
        now = self._clock()
        return [armed.shown(now) for armed in self._armed.values()]

    def live(self, kind: str) -> list[Armed]:
        now = self._clock()
        return [armed for armed in self._armed.values() if armed.fault.kind == kind and armed.live(now)]

    def strikes_connection(self) -> bool:
        """Whether a new connection is to be reset before a byte is read."""
        if not self._armed:
            return False
        return any(self._roll(armed) for armed in self.live("refuse"))

    def plan(self, entity: str | None, op: str) -> Plan | None:
        """None when nothing is switched on that could touch this request."""
        if not self._armed:
            return None
        now = self._clock()
        plan = Plan()
        for armed in self._armed.values():
            fault = armed.fault
            kind = fault.kind
            if (
                kind in OF_THE_PORT
                or not armed.live(now)
                or (armed.entities is not None and entity not in armed.entities and op != "batch")
                or (armed.ops is not None and op not in armed.ops)
                or (kind in ENDINGS and plan.ending is not None)
                or (kind == "read_lag" and op not in READS)
                or (kind in SHAPING and op not in WRITES)
                or not self._roll(armed)
            ):
                continue
            if kind in DELAYS:
                plan.wait_s += (
                    max(0.0, fault.ms + self._rng.uniform(-fault.jitter_ms, fault.jitter_ms)) / 1000
                )
            elif kind == "read_lag":
                plan.lag_s = max(plan.lag_s, fault.seconds)
            elif kind in SHAPING:
                plan.shaping.append(fault)
            else:
                plan.ending = fault
        return plan

    def _roll(self, armed: Armed) -> bool:
        if armed.fault.probability < 1.0 and self._rng.random() >= armed.fault.probability:
            return False
        armed.hits += 1
        return True

    def _changed(self) -> None:
        for notify in self.on_change:
            notify()
