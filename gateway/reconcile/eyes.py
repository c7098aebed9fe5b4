"""How the two sides of a run are looked at, when one of them is read from a source.

A source has fewer or more fields than its system's adapter, and it is read once: the second look takes a record as the
run has kept it. The losses that the system's profile declares are in its export too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from adapters.contract import Facts
from adapters.errors import NotFound
from gateway.compare.look import ExpectOf, Eye, FactsOf
from gateway.compare.observation import Fence, Held, Reading, Sides
from gateway.database import Database
from gateway.reconcile.sources import Source
from gateway.reconcile.store import Work
from gateway.reconcile.tables import reconcile_row
from gateway.reconcile.tally import Side


class Eyes:
    """``sources`` are those of the settings, by name."""

    def __init__(
        self,
        *,
        sides: Sides,
        expect: ExpectOf,
        facts: FactsOf,
        database: Database,
        sources: Mapping[str, Source],
        key: bytes,
    ) -> None:
        self._sides = sides
        self._expect = expect
        self._facts = facts
        self._database = database
        self._sources = sources
        self._key = key
        self._both = Eye(sides=sides, expect=expect, facts=facts, key=key)

    def of(self, work: Work) -> Eye:
        """The eye of a run."""
        read_once = {system_of(work, side): self._sources[use.name] for side, use in work.sources.items()}
        if not read_once:
            return self._both

        def facts(system: str, entity: str) -> Facts | None:
            declared = self._facts(system, entity)
            source = read_once.get(system)
            if declared is None or source is None:
                return declared
            mapped = source.mapped(entity)
            return msgspec.structs.replace(declared, mapped=mapped, assigned=declared.assigned & mapped)

        def expect(system: str, entity: str, fields: dict[str, Any]) -> Mapping[str, Any]:
            expected = self._expect(system, entity, fields)
            declared = self._facts(system, entity)
            if system not in read_once or declared is None:
                return expected
            # What the adapter does not know of, its profile says nothing about.
            beside = {name: value for name, value in fields.items() if name not in declared.mapped}
            return {**expected, **beside}

        return Eye(sides=self.sides(work), expect=expect, facts=facts, key=self._key)

    def sides(self, work: Work) -> Sides:
        """The sides of a run as its second look reads them."""
        read_once = frozenset(system_of(work, side) for side in work.sources)
        return _ReadOnce(work, self._sides, self._database, read_once) if read_once else self._sides


def system_of(work: Work, side: Side) -> str:
    return work.authority if side == "authority" else work.other


class _ReadOnce:
    """The sides of a run, those from a source as the run has kept them."""

    def __init__(self, work: Work, sides: Sides, database: Database, systems: frozenset[str]) -> None:
        self._work = work
        self._sides = sides
        self._database = database
        self._systems = systems

    async def read(self, system: str, entity: str, record_id: str, *, held: Held | None = None) -> Reading:
        if system not in self._systems:
            return await self._sides.read(system, entity, record_id, held=held)
        side = "authority" if system == self._work.authority else "mirror"

        def unit(connection: Connection) -> str | None:
            rows = reconcile_row.c
            return connection.execute(
                select(rows.document).where(
                    rows.run_id == self._work.id, rows.record_id == record_id, rows.side == side
                )
            ).scalar_one_or_none()

        kept = await self._database.read(unit)
        if kept is None:
            raise NotFound(f"the source does not hold {record_id}", system=system)
        return Reading(document=msgspec.json.decode(kept))

    async def fence(self, record_id: str) -> Fence:
        return await self._sides.fence(record_id)

    async def unshown(self, record_id: str, shown: Mapping[str, str | None]) -> int | None:
        """A source shows no marker, so nothing follows from its silence."""
        return await self._sides.unshown(
            record_id, {system: marker for system, marker in shown.items() if system not in self._systems}
        )
