"""Reads one page of one side's set through its adapter, as canonical documents.

The set is what the system lists for the companies of the slice's region. Requests go in by the system's door as the
least urgent of all, so they keep to its rate and wait behind callers, mirrors and backfills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, select

from adapters.contract import Adapter, Capability, Query
from adapters.door import Urgency, urgent
from gateway.canonical import BY_NAME
from gateway.compare.look import Eye
from gateway.compare.verdict import keyed_hash
from gateway.database import Database, among
from gateway.dispatch.adoption import Adoption
from gateway.errors import FieldError, Invalid
from gateway.ledger.tables import record
from gateway.reconcile.measures import placed
from gateway.reconcile.store import Row, Work
from gateway.reconcile.tally import Side
from gateway.routing.ruleset import Ruleset

#: Records asked for at once; a product that gives fewer says so by its page.
PAGE = 200
_encode = msgspec.json.Encoder(order="sorted").encode


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A page. ``next_cursor`` None: the set has been read."""

    rows: tuple[Row, ...]
    next_cursor: str | None


class Reader:
    def __init__(
        self,
        *,
        adapters: Mapping[str, Adapter],
        adoption: Adoption,
        ruleset: Ruleset,
        database: Database,
        eye: Eye,
        key: bytes,
    ) -> None:
        self._adapters = adapters
        self._adoption = adoption
        self._ruleset = ruleset
        self._database = database
        self._eye = eye
        self._key = key

    def able(self, entity: str, systems: Sequence[str]) -> None:
        """Raises Invalid, with the remedy, for a system that cannot show its whole set."""
        for system in systems:
            adapter = self._adapters.get(system)
            collection = BY_NAME[entity].collection
            if adapter is None:
                message = f"{system} is not configured: set [systems.{system}] in the settings"
            elif not adapter.supports(entity):
                message = f"{system} ({adapter.product}) does not hold {collection}: its profile would have to map them"
            elif Capability.SEARCH not in adapter.facts(entity).capabilities:
                message = f"{system} ({adapter.product}) cannot list {collection}: its profile has no search for them"
            else:
                continue
            raise Invalid(message, errors=[FieldError(pointer="/entity", code="not_listed", message=message)])

    def held(self, entity: str, systems: Sequence[str]) -> dict[str, frozenset[str]]:
        """The fields that each of these systems holds."""
        return {system: self._adapters[system].facts(entity).mapped for system in systems}

    async def page(self, work: Work, side: Side) -> Read:
        """The page at the run's cursor. Raises the errors of ``adapters.errors``."""
        adapter = self._adapters[work.authority if side == "authority" else work.other]
        entity = work.entity
        where: dict[str, str | tuple[str, ...]] = {}
        if "legal_entity" in adapter.facts(entity.name).filters:
            companies = self._ruleset.region(work.region).legal_entities
            where["legal_entity"] = tuple(company.code for company in companies)
        with urgent(Urgency.COMPARE):
            read_at = await self._database.read(self._database.now)
            page = await adapter.search(entity.name, Query(where=where, limit=PAGE, cursor=work.cursor))
            found = await self._adoption.documents(adapter, entity.name, page.items, region=work.region)
        ours = await self._of_region([record_id for record_id, _ in found], work.region)
        rows = [
            Row(
                record_id=record_id,
                side=side,
                read_at=read_at,
                digest=keyed_hash(
                    self._eye.values(entity, work.authority, work.other, document) + placed(entity, document),
                    self._key,
                    digits=32,
                ),
                document=_encode(document).decode(),
            )
            for record_id, document in found
            if record_id in ours
        ]
        return Read(rows=tuple(rows), next_cursor=page.next_cursor)

    async def _of_region(self, ids: Sequence[str], region: str) -> frozenset[str]:
        """Which of these records belong to the slice: a product may keep some of them for all companies at once."""

        def unit(connection: Connection) -> frozenset[str]:
            wanted = select(record.c.id).where(among(record.c.id, ids), record.c.region == region)
            return frozenset(connection.execute(wanted).scalars())

        return await self._database.read(unit) if ids else frozenset()
