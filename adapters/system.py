"""One system behind one profile: the ``Adapter`` that the gateway holds, whatever protocol stands below.

The calls are written here once, with their mapping and markers. A call makes its request (pure),
has it sent once by ``exchange``, and reads the reply (pure).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, cast

from adapters.contract import Capability, Facts, Fields, Found, Health, Page, Query, Receipt, Write
from adapters.converters import CONVERTERS
from adapters.dates import moment, rfc3339
from adapters.door import Door
from adapters.errors import (
    AdapterError,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
    Unreadable,
)
from adapters.exchange import Exchange
from adapters.installation import Installation
from adapters.mapping import EntityMap, compile_profile
from adapters.profile import EntityProfile, Profile
from adapters.record import Unmappable
from adapters.transport import Carrier, Reply
from adapters.values import Native, getter
from adapters.wire import Broken, Change, Condition, Search, Wire, Written

#: A look-up by marker gives at most this many: two are already one too many.
FIND_LIMIT = 10
#: Seconds that a request may still take effect in a product of which nobody has looked it up.
PROCESSING_S = 600.0
#: Converters whose native text is written without quotes in a query language.
_BARE = frozenset({"date_iso", "instant_iso"})


class System:
    """Implements ``contract.Adapter``."""

    def __init__(
        self,
        *,
        name: str,
        profile: Profile,
        wire: Wire,
        carrier: Carrier,
        auth: Mapping[str, Any],
        installation: Installation | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        door: Door | None = None,
    ) -> None:
        self._name = name
        self._profile = profile
        self._wire = wire
        self._exchange = Exchange(
            name=name, profile=profile, wire=wire, carrier=carrier, auth=auth, now=now, door=door
        )
        self._installation = installation
        self._maps = compile_profile(profile)
        self._facts = {entity: _facts(spec, self._maps[entity]) for entity, spec in profile.entities.items()}
        self._readers = {entity: _Reader(entity_map) for entity, entity_map in self._maps.items()}

    def __repr__(self) -> str:
        return f"System({self._name!r}, {self._profile.product!r})"

    @property
    def name(self) -> str:
        return self._name

    @property
    def product(self) -> str:
        return self._profile.product

    def supports(self, entity: str) -> bool:
        return entity in self._maps

    def facts(self, entity: str) -> Facts:
        return self._facts.get(entity) or self._no_entity(entity)

    def expect(self, entity: str, fields: Fields) -> Fields:
        try:
            return self._map(entity).expect(fields)
        except Unmappable as error:
            raise self._refused(error) from error

    async def probe(self) -> Health:
        begun = time.perf_counter()
        try:
            reply = await self._exchange.reply(self._wire.probe(), None)
        except AdapterError as error:
            return Health(
                ok=False, latency_s=time.perf_counter() - begun, detail=f"{type(error).__name__}: {error}"
            )
        return Health(ok=True, latency_s=time.perf_counter() - begun, server_time=_date(reply))

    async def fetch(self, entity: str, native_id: str, *, headers: Mapping[str, str] | None = None) -> Found:
        entity_map = self._able(entity, Capability.FETCH)
        reply = await self._exchange.reply(self._wire.fetch(entity_map, native_id), entity_map, headers)
        try:
            native = self._wire.fetched(entity_map, reply)
            if native is None:
                raise NotFound(system=self._name)
            return self._readers[entity].found(native, reply)
        except (Broken, Unmappable) as error:
            raise self._unreadable(error) from error

    async def search(self, entity: str, query: Query, *, headers: Mapping[str, str] | None = None) -> Page:
        entity_map = self._able(entity, Capability.SEARCH)
        spec = entity_map.spec
        conditions = [self._where(entity_map, name, value) for name, value in query.where.items()]
        if query.updated_since is not None:
            if spec.modified is None:
                raise Misconfigured(f"the profile names no `modified` for {entity}", system=self._name)
            since = CONVERTERS[spec.modified_convert].write(rfc3339(query.updated_since))
            conditions.append(Condition(name=spec.modified, values=(since,), how="since", bare=True))
        limit = max(1, min(query.limit, self._profile.limits.page_size))
        return await self._page(entity, entity_map, conditions, limit, query.cursor, headers)

    async def find(
        self, entity: str, *, marker: str | None = None, external_id: str | tuple[str, ...] | None = None
    ) -> tuple[Found, ...]:
        entity_map = self._able(entity, Capability.FIND)
        spec = entity_map.spec
        conditions: list[Condition] = []
        limit = FIND_LIMIT
        if marker is not None:
            if spec.marker is None:
                raise Misconfigured(f"the profile names no marker for {entity}", system=self._name)
            how = "contains" if spec.marker.style == "suffix" else "is"
            name = spec.marker.filter or spec.marker.path
            conditions.append(Condition(name=name, values=(entity_map.kept_marker(marker),), how=how))
        if external_id is not None:
            external = spec.external
            if external is None:
                raise Misconfigured(f"the profile names no external_id for {entity}", system=self._name)
            ids = external_id if isinstance(external_id, tuple) else (external_id,)
            kept = tuple(entity_map.kept_external_id(one) for one in ids)
            conditions.append(Condition(name=external.filter or external.path, values=kept))
            limit = max(limit, 2 * len(ids))
        if not conditions:
            raise ValueError("find needs a marker or an external id")
        return (await self._page(entity, entity_map, conditions, limit, None, None)).items

    async def create(self, write: Write) -> Receipt:
        entity_map = self._able(write.entity, Capability.CREATE)
        change = self._change(entity_map, write, creating=True)
        used = await self._exchange.refer(entity_map, change, write.headers)
        with self._exchange.forgetting(used):
            reply = await self._exchange.reply(
                self._wire.create(entity_map, change), entity_map, write.headers
            )
        return self._receipt(entity_map, write, reply)

    async def update(self, write: Write) -> Receipt:
        entity_map = self._able(write.entity, Capability.UPDATE)
        fields = await self._with_text(entity_map, write)
        change = self._change(entity_map, write, creating=False, fields=fields)
        return await self._update(entity_map, write, change)

    async def transition(self, write: Write) -> Receipt:
        entity_map = self._able(write.entity, Capability.TRANSITION)
        if write.to_state is None:
            raise ValueError("a transition needs to_state")
        action = entity_map.spec.transitions.get(write.to_state)
        state = entity_map.spec.form("state")
        if action is None and state is not None and not state.writable:
            raise Rejected(
                f"this product does not let us move a record to {write.to_state}",
                system=self._name,
                code="transition_unavailable",
                field="state",
            )
        fields = {} if action else {**await self._with_text(entity_map, write), "state": write.to_state}
        change = self._change(entity_map, write, creating=False, fields=fields, action=action)
        if not action:
            return await self._update(entity_map, write, change)
        reply = await self._exchange.reply(self._wire.act(entity_map, change), entity_map, write.headers)
        return self._receipt(entity_map, write, reply)

    async def close(self) -> None:
        await self._exchange.close()

    async def _update(self, entity_map: EntityMap, write: Write, change: Change) -> Receipt:
        used = await self._exchange.refer(entity_map, change, write.headers)
        first = self._wire.prepare(entity_map, change)
        prepared = (
            await self._exchange.before(first, entity_map, write.headers) if first is not None else None
        )
        try:
            request = self._wire.update(entity_map, change, prepared)
        except Broken as error:
            # Only the read before the update could not be understood: nothing has been changed yet.
            raise Unavailable(str(error), system=self._name) from error
        with self._exchange.forgetting(used):
            reply = await self._exchange.reply(request, entity_map, write.headers)
        return self._receipt(entity_map, write, reply)

    async def _with_text(self, entity_map: EntityMap, write: Write) -> Fields:
        """The fields of an update, with the text that shares its place with the marker as the product has it: the
        new marker would take its place otherwise."""
        name = entity_map.beside_marker
        if name is None or name in write.fields or not write.native_id:
            return write.fields
        reply = await self._exchange.before(
            self._wire.fetch(entity_map, write.native_id), entity_map, write.headers
        )
        try:
            native = self._wire.fetched(entity_map, reply)
            if native is None:
                raise NotFound(system=self._name)
            return {**write.fields, name: entity_map.decode(native)[name]}
        except (Broken, Unmappable) as error:
            raise Unavailable(str(error), system=self._name) from error

    async def _page(
        self,
        entity: str,
        entity_map: EntityMap,
        conditions: list[Condition],
        limit: int,
        cursor: str | None,
        headers: Mapping[str, str] | None,
    ) -> Page:
        always = [
            Condition(
                name=name, values=tuple(cast("list[Any]", value)) if isinstance(value, list) else (value,)
            )
            for name, value in entity_map.spec.where.items()
        ]
        search = Search(conditions=(*always, *conditions), limit=limit, cursor=cursor)
        reply = await self._exchange.reply(self._wire.search(entity_map, search), entity_map, headers)
        found = self._readers[entity].found
        try:
            listing = self._wire.listed(entity_map, search, reply)
            items = tuple(found(native, None) for native in listing.records)
        except (Broken, Unmappable) as error:
            raise self._unreadable(error) from error
        return Page(items=items, next_cursor=listing.next_cursor)

    def _change(
        self,
        entity_map: EntityMap,
        write: Write,
        *,
        creating: bool,
        fields: Fields | None = None,
        action: str | None = None,
    ) -> Change:
        spec = entity_map.spec
        if not creating and not write.native_id:
            raise ValueError("an update needs the native id")
        try:
            native = entity_map.encode(
                write.fields if fields is None else fields, creating=creating, beside=write.beside
            )
        except Unmappable as error:
            raise self._refused(error) from error
        if creating:
            entity_map.stamp(native, write.external_id)
        if self._installation is not None:
            known = {**write.beside, **write.fields}
            self._installation.complete(write.entity, native, known, creating=creating)
        entity_map.mark(native, write.marker)
        return Change(
            record=native,
            marker=write.marker,
            external_id=write.external_id,
            native_id=write.native_id or "",
            version=write.native_version if spec.conditional else None,
            action=action,
        )

    def _receipt(self, entity_map: EntityMap, write: Write, reply: Reply) -> Receipt:
        try:
            written: Written = self._wire.written(entity_map, reply)
            fields = {} if written.record is None else entity_map.decode(written.record)
        except (Broken, Unmappable) as error:
            raise self._unreadable(error) from error
        native_id = written.native_id or write.native_id
        if not native_id:
            raise Unreadable("the answer does not say which record was made", system=self._name)
        return Receipt(native_id=native_id, native_version=written.version, fields=fields)

    def _where(self, entity_map: EntityMap, name: str, value: str | tuple[str, ...]) -> Condition:
        native_name = entity_map.spec.filter_names.get(name)
        if native_name is None:
            raise Misconfigured(f"the profile names no filter for {name}", system=self._name)
        form = entity_map.spec.form(name)
        values = value if isinstance(value, tuple) else (value,)
        try:
            natives = tuple(entity_map.filter_value(name, one) for one in values)
        except Unmappable as error:
            raise self._refused(error) from error
        return Condition(name=native_name, values=natives, bare=form is not None and form.convert in _BARE)

    def _map(self, entity: str) -> EntityMap:
        return self._maps.get(entity) or self._no_entity(entity)

    def _able(self, entity: str, capability: Capability) -> EntityMap:
        entity_map = self._map(entity)
        if capability not in entity_map.spec.capabilities:
            raise Misconfigured(f"{self.product} does not offer {capability} for {entity}", system=self._name)
        return entity_map

    def _no_entity(self, entity: str) -> NoReturn:
        raise Misconfigured(f"the profile of {self.product} has no entity {entity!r}", system=self._name)

    def _refused(self, error: Unmappable) -> Rejected:
        return Rejected(error.reason, system=self._name, code="unmappable", field=error.path)

    def _unreadable(self, error: Exception) -> OutcomeUnknown:
        field = error.path if isinstance(error, Unmappable) else None
        return Unreadable(str(error), system=self._name, field=field)


class _Reader:
    """Makes a ``Found`` of a native record; what the profile decides is decided once."""

    def __init__(self, entity_map: EntityMap) -> None:
        spec = entity_map.spec
        self._map = entity_map
        self._key = getter(spec.key)
        self._etag = spec.version == "etag"
        self._version = getter(spec.version) if spec.version and not self._etag else None
        self._modified = getter(spec.modified) if spec.modified else None
        self._modified_read = CONVERTERS[spec.modified_convert].read
        self._external = getter(spec.external.path) if spec.external else None

    def found(self, native: Native, reply: Reply | None) -> Found:
        key = self._key(native)
        if key is None or key == "":
            raise Broken(f"the record has no {self._map.spec.key}")
        version = self._version(native) if self._version else None
        if self._etag and reply is not None:
            version = reply.headers.get("ETag")
        modified = self._modified(native) if self._modified else None
        external = self._external(native) if self._external else None
        try:
            modified_at = (
                None if modified is None or modified == "" else moment(self._modified_read(modified))
            )
        except (ValueError, TypeError, KeyError) as error:
            raise Unmappable("modified_at", str(error)) from error
        return Found(
            native_id=str(key),
            native_version=None if version is None or version == "" else str(version),
            marker=self._map.marker_of(native),
            external_id=str(external) if external else None,
            modified_at=modified_at,
            fields=self._map.decode(native),
        )


def _date(reply: Reply) -> datetime | None:
    try:
        return parsedate_to_datetime(reply.headers.get("Date") or "")
    except ValueError:
        return None


def _facts(spec: EntityProfile, entity_map: EntityMap) -> Facts:
    return Facts(
        capabilities=spec.capabilities,
        idempotency=spec.idempotency,
        conditional=spec.conditional,
        max_processing_s=PROCESSING_S if spec.max_processing_s is None else spec.max_processing_s,
        read_lag_s=spec.read_lag_s,
        search_lag_s=spec.search_lag_s,
        mapped=entity_map.mapped,
        assigned=entity_map.assigned,
        filters=frozenset(spec.filter_names),
    )
