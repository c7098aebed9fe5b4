"""One simulated ERP without its dialect: it applies writes by the rules, logs effects and obeys faults.

A dialect says what a request means (``route``), answers it, and shows a refusal in its own manner.
Everything here is synchronous: whatever waits or is cut off is the rim's business (``turns.Turn``).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from adapters.sandbox import shaping
from adapters.sandbox.effects import EffectLog, body_hash
from adapters.sandbox.endings import ended
from adapters.sandbox.faults import Fault, Faults, Plan
from adapters.sandbox.fields import Table, Values
from adapters.sandbox.refusals import Refused
from adapters.sandbox.rules import Rulebook
from adapters.sandbox.store import Row, Shelf
from adapters.sandbox.turns import Act, Reply, Request, Turn


class Route:
    """What a request is about, as far as its address and verb tell."""

    __slots__ = ("entity", "key", "op")

    def __init__(self, entity: str | None, op: str, key: Any = None) -> None:
        self.entity = entity
        self.op = op
        self.key = key


def wall_clock() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


class Simulator(ABC):
    name: str
    first_row: int  #: how error paths count the rows of a list

    def __init__(
        self,
        tables: Sequence[Table],
        *,
        seed: int = 7,
        latency_s: float = 0.0,
        effects_file: Path | None = None,
        clock: Callable[[], int] = wall_clock,
        monotonic: Callable[[], float] = time.monotonic,
        call_later: Callable[[float, Callable[[], object]], object] | None = None,
    ) -> None:
        self.tables = tuple(tables)
        self.shelves = {table.entity: Shelf(table) for table in tables}
        self.faults = Faults(Random(seed), monotonic)  # noqa: S311 - dice, not secrets
        self.faults.on_change.append(self._keep_history)
        self.effects = EffectLog(self.name, effects_file)
        self.latency_s = latency_s
        self.requests: dict[str, int] = {}
        self.call_later = call_later  #: set by the rim; needed by what happens after the answer
        self._clock = clock
        self._last = 0
        self._rules = Rulebook(self.shelves, self.first_row)
        self._undo: list[Callable[[], object]] | None = None

    # What the dialect says -------------------------------------------------------------------------

    @abstractmethod
    def route(self, request: Request) -> Route:
        """Raises Refused when there is no such address."""

    @abstractmethod
    def answer(self, request: Request, route: Route, plan: Plan | None) -> Reply:
        """Does what is asked. Raises Refused."""

    @abstractmethod
    def refusal(self, refused: Refused) -> Reply: ...

    @abstractmethod
    def failure(self, status: int, retry_after: str | None) -> Reply:
        """An error answer that no rule has caused."""

    @abstractmethod
    def new_key(self, shelf: Shelf, values: Values) -> str: ...

    @abstractmethod
    def from_edit(self, table: Table, given: dict[str, Any]) -> Values:
        """Native names and wire values of a direct edit, as plain values. Raises Refused."""

    # One request -------------------------------------------------------------------------------------

    def turn(self, request: Request) -> Turn:
        """Decides what becomes of a request; nothing is done yet."""
        try:
            route = self.route(request)
        except Refused as refused:
            reply = self.refusal(refused)
            return Turn(lambda: reply, wait_s=self.latency_s)
        counted = f"{route.entity or '-'}.{route.op}"
        self.requests[counted] = self.requests.get(counted, 0) + 1
        plan = self.faults.plan(route.entity, route.op)
        if plan is None:
            return Turn(lambda: self._act(request, route, None), wait_s=self.latency_s)
        wait_s = self.latency_s + plan.wait_s
        act: Act = lambda: self._act(request, route, plan)  # noqa: E731 - a closure like the one above
        if plan.ending is None:
            return Turn(act, wait_s=wait_s)
        return ended(plan.ending, act, wait_s, self.failure, self._clock())

    def _act(self, request: Request, route: Route, plan: Plan | None) -> Reply:
        try:
            return self.answer(request, route, plan)
        except Refused as refused:
            return self.refusal(refused)

    # Writing -----------------------------------------------------------------------------------------

    def now(self) -> int:
        """Microseconds, rising with each call, so that changes have an order."""
        self._last = max(self._clock(), self._last + 1)
        return self._last

    def create(
        self,
        table: Table,
        given: Values,
        *,
        marker: str | None,
        external_id: str | None,
        body: bytes,
        plan: Plan | None,
    ) -> Row:
        shelf = self.shelves[table.entity]
        values = shelf.blank()
        shaping.merge(values, given)
        if values[table.status.name] is None:
            values[table.status.name] = next(iter(table.word_of))
        self._rules.check(table, values, None)
        if external_id and external_id in shelf.external:
            raise Refused("duplicate_external_id", external_id)
        shaping.distort(table, values, given, plan)
        return self._insert(shelf, values, marker, external_id, body_hash(body), plan)

    def update(
        self,
        table: Table,
        old: Row,
        given: Values,
        *,
        marker: str | None,
        external_id: str | None,
        body: bytes,
        plan: Plan | None,
    ) -> Row:
        """Sets what is given, keeps the rest (marker and external id too); no change at all is no effect."""
        shelf = self.shelves[table.entity]
        values = shaping.merge(dict(old.values), given)
        self._rules.check(table, values, old)
        if external_id and shelf.external.get(external_id, old.key) != old.key:
            raise Refused("duplicate_external_id", external_id)
        shaping.distort(table, values, given, plan)
        kept = marker or old.marker
        external_id = external_id or old.external_id
        if values == old.values and kept == old.marker and external_id == old.external_id:
            return old
        row = self._replace(shelf, old, values, kept, external_id)
        self._log("update", table, row, marker, body_hash(body))
        self._drift(table, row, plan)
        return row

    def delete(self, table: Table, old: Row, body: bytes) -> None:
        if self._rules.fixed(table, old):
            raise Refused("posted", f"{table.item} {old.key}")
        shelf = self.shelves[table.entity]
        at = self.now()
        shelf.remove(old.key, at)
        self._undoable(lambda: shelf.restore(old))
        self._log("delete", table, old, None, body_hash(body))

    def edit(self, entity: str, action: str, key: str, given: dict[str, Any], *, touch: bool = True) -> Row:
        """Somebody works in the ERP itself: no business checks, no marker, and logged as what it is."""
        if entity not in self.shelves:
            raise Refused("not_found", f"entity {entity}")
        shelf = self.shelves[entity]
        values = self.from_edit(shelf.table, given)
        if action == "insert":
            blank = shelf.blank()
            shaping.merge(blank, values)
            if blank[shelf.table.status.name] is None:
                blank[shelf.table.status.name] = next(iter(shelf.table.word_of))
            return self._insert(shelf, blank, None, None, "", None, action="direct_edit")
        old = shelf.rows.get(key)
        if old is None:
            raise Refused("not_found", f"{shelf.table.item} {key}")
        if action == "delete":
            shelf.remove(key, self.now())
            self.effects.append(self._last, "direct_edit", shelf.table, old, None, "")
            return old
        merged = shaping.merge(dict(old.values), values)
        row = self._replace(shelf, old, merged, old.marker, old.external_id, touch=touch)
        self._log("direct_edit", shelf.table, row, None, "")
        return row

    def load(self, entity: str, values: Values, at: int) -> Row:
        """A row of the data load: no checks, no marker, no effect."""
        shelf = self.shelves[entity]
        row = Row(
            self.new_key(shelf, values),
            values,
            marker=None,
            external_id=None,
            created=at,
            modified=at,
            version=1,
        )
        shelf.put(row)
        return row

    def group(self, work: Callable[[], bool]) -> bool:
        """Does several writes wholly or not at all; ``work`` says whether all went well."""
        self._undo = []
        self.effects.hold()
        try:
            done = work()
        finally:
            undo, self._undo = self._undo, None
        if done:
            self.effects.release()
        else:
            for step in reversed(undo):
                step()
            self.effects.discard()
        return done

    def _insert(
        self,
        shelf: Shelf,
        values: Values,
        marker: str | None,
        external_id: str | None,
        hashed: str,
        plan: Plan | None,
        action: str = "create",
    ) -> Row:
        at = self.now()
        row = Row(
            self.new_key(shelf, values),
            values,
            marker=marker,
            external_id=external_id,
            created=at,
            modified=at,
            version=1,
        )
        shelf.put(row)
        self._undoable(lambda: shelf.remove(row.key, at))
        self._log(action, shelf.table, row, marker, hashed)
        self._drift(shelf.table, row, plan)
        return row

    def _replace(
        self,
        shelf: Shelf,
        old: Row,
        values: Values,
        marker: str | None,
        external_id: str | None,
        *,
        touch: bool = True,
    ) -> Row:
        row = Row(
            old.key,
            values,
            marker=marker,
            external_id=external_id,
            created=old.created,
            modified=self.now() if touch else old.modified,
            version=old.version + 1 if touch else old.version,
        )
        shelf.put(row)
        self._undoable(lambda: shelf.restore(old))
        return row

    def _log(self, action: str, table: Table, row: Row, marker: str | None, hashed: str) -> None:
        self.effects.append(self._last, action, table, row, marker, hashed)

    def _undoable(self, step: Callable[[], object]) -> None:
        if self._undo is not None:
            self._undo.append(step)

    def _drift(self, table: Table, row: Row, plan: Plan | None) -> None:
        """A field will change by itself, now or some time after the answer."""
        for fault in plan.shaping if plan is not None else ():
            if fault.kind != "drift":
                continue
            act = lambda fault=fault: self._drifted(table, row.key, fault)  # noqa: E731
            if fault.seconds > 0 and self.call_later is not None:
                self.call_later(fault.seconds, act)
            else:
                act()

    def _drifted(self, table: Table, key: str, fault: Fault) -> None:
        shelf = self.shelves[table.entity]
        old = shelf.rows.get(key)
        values = shaping.drifted(table, old.values, fault) if old is not None else None
        if old is not None and values is not None:
            row = self._replace(shelf, old, values, old.marker, old.external_id)
            self._log("direct_edit", table, row, None, "")

    # Reading -----------------------------------------------------------------------------------------

    def rows(self, shelf: Shelf, plan: Plan | None) -> dict[str, Row] | None:
        """The state that a lagging read sees, or None when it sees the present."""
        if plan is None or plan.lag_s <= 0:
            return None
        return shelf.as_of(self._clock() - round(plan.lag_s * 1_000_000))

    def _keep_history(self) -> None:
        """History is kept while a read may lag: a lag shows at most the state when it was switched on."""
        lags = self.faults.live("read_lag")
        lagging = bool(lags)
        # One that expires is looked at again then, lest history grows for nobody.
        for armed in lags:
            if armed.fault.for_s is not None and self.call_later is not None:
                self.call_later(armed.fault.for_s + 0.001, self._keep_history)
        for shelf in self.shelves.values():
            if not lagging:
                shelf.history = None
            elif shelf.history is None:
                shelf.history = []

    def stats(self) -> dict[str, Any]:
        return {
            "system": self.name,
            "requests": dict(self.requests),
            "records": {entity: len(shelf.rows) for entity, shelf in self.shelves.items()},
            "effects": len(self.effects.entries),
            "faults": self.faults.shown(),
        }
