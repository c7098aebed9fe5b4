"""The business side: what each call of a collection does, whichever entity it is for."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.access import Cursors
from gateway.canonical import Entity, decode_draft, decode_patch, decode_transition, encode
from gateway.dispatch.command import Answer, Command, Kind, ListQuery, Read
from gateway.errors import FieldError, RecordMerged, RecordNotFound, UnknownRegion, VersionMissing
from gateway.http import addresses, headers, query
from gateway.http.exchange import PATCH, Exchange
from gateway.http.filters import Filters
from gateway.http.ports import ExecutorPort, ReadsPort
from gateway.http.reply import Reply
from gateway.ports import SlicesPort

#: Characters of the longest id that a system may have given a record.
MOST_NATIVE = 255


class Facade:
    """The handlers of the business side."""

    def __init__(
        self,
        *,
        executor: ExecutorPort,
        reads: ReadsPort,
        slices: SlicesPort,
        cursors: Cursors,
        systems: frozenset[str],
        wait_default_s: float,
        wait_max_s: float,
    ) -> None:
        self._executor = executor
        self._reads = reads
        self._slices = slices
        self._cursors = cursors
        self.systems = systems
        self._wait_default_s = wait_default_s
        self._wait_max_s = wait_max_s

    async def create(self, exchange: Exchange, entity: Entity) -> Reply:
        exchange.query()
        exchange.may_see(entity.name)
        key = headers.idempotency_key(exchange.header("Idempotency-Key"), required=entity.key_required)
        return await self.create_one(exchange, entity, await exchange.body(), key)

    async def create_one(self, exchange: Exchange, entity: Entity, body: bytes, key: str | None) -> Reply:
        """The answer to the create in ``body``, which came alone or as one line of many."""
        draft = decode_draft(entity, body)
        self._known(entity, draft.region, "/region")
        exchange.may_use_region(draft.region)
        return await self._write(
            exchange,
            entity,
            "create",
            route=f"/v1/{entity.collection}",
            body=draft.document,
            key=key,
            region=draft.region,
            legal_entity=draft.legal_entity,
            external_refs=draft.external_refs,
        )

    async def update(self, exchange: Exchange, entity: Entity) -> Reply:
        exchange.query()
        record_id = _record_id(exchange, entity)
        key = headers.idempotency_key(exchange.header("Idempotency-Key"), required=False)
        base = headers.if_match(exchange.header("If-Match"))
        patch = decode_patch(entity, await exchange.body(PATCH))
        if base is None and entity.if_match_required:
            raise VersionMissing(
                'send If-Match with the version that the change is based on, such as "3", as the ETag said',
                errors=[FieldError(pointer="If-Match", code="missing", message="is required here")],
            )
        return await self._write(
            exchange,
            entity,
            "update",
            route=f"/v1/{entity.collection}/{{id}}",
            body=patch,
            key=key,
            record_id=record_id,
            if_match=base if isinstance(base, int) else None,
        )

    async def transition(self, exchange: Exchange, entity: Entity) -> Reply:
        exchange.query()
        record_id = _record_id(exchange, entity)
        key = headers.idempotency_key(exchange.header("Idempotency-Key"), required=entity.key_required)
        base = headers.if_match(exchange.header("If-Match"))
        wish = decode_transition(await exchange.body())
        return await self._write(
            exchange,
            entity,
            "transition",
            route=f"/v1/{entity.collection}/{{id}}/transitions",
            body={name: value for name, value in msgspec.structs.asdict(wish).items() if value is not None},
            key=key,
            record_id=record_id,
            if_match=base if isinstance(base, int) else None,
        )

    def preference(self, exchange: Exchange) -> headers.Preference:
        """How long the caller wants to wait for a write."""
        return headers.preference(
            exchange.listed("Prefer"), default_s=self._wait_default_s, most_s=self._wait_max_s
        )

    async def _write(
        self,
        exchange: Exchange,
        entity: Entity,
        kind: Kind,
        *,
        route: str,
        body: dict[str, Any],
        key: str | None,
        region: str | None = None,
        legal_entity: str | None = None,
        external_refs: dict[str, str] | None = None,
        record_id: str | None = None,
        if_match: int | None = None,
    ) -> Reply:
        preference = self.preference(exchange)
        answer = await self._executor.write(
            Command(
                kind=kind,
                entity=entity.name,
                client=exchange.caller.name,
                method=exchange.scope["method"],
                route=route,
                body=body,
                region=region,
                legal_entity=legal_entity,
                external_refs=external_refs or {},
                record_id=record_id,
                regions=exchange.caller.regions,
                idempotency_key=key,
                if_match=if_match,
                wait_s=preference.wait_s,
                trace=exchange.trace,
            )
        )
        reply = _written(entity, answer)
        if preference.applied is not None:
            reply.header("preference-applied", preference.applied)
        return reply

    async def one(self, exchange: Exchange, entity: Entity) -> Reply:
        exchange.query()
        record_id = _record_id(exchange, entity)
        known = headers.none_match(exchange.listed("If-None-Match"))
        try:
            read = await self._reads.one(
                entity, record_id, regions=exchange.caller.regions, trace=exchange.trace
            )
        except RecordMerged as moved:
            return Reply(308).header("location", addresses.record(entity, moved.facts["merged_into"]))
        return _read(read, known)

    async def by_ref(self, exchange: Exchange, entity: Entity) -> Reply:
        exchange.query()
        exchange.must_find(entity.name)
        system, native_id = exchange.path["system"], exchange.path["native_id"]
        if len(native_id) > MOST_NATIVE or not native_id.isprintable():
            raise RecordNotFound("no system has such an id")
        known = headers.none_match(exchange.listed("If-None-Match"))
        if system not in self.systems:
            raise RecordNotFound(
                f"no system is called {system[:40]!r}; there are {', '.join(sorted(self.systems))}"
            )
        read = await self._reads.by_ref(
            entity, system, native_id, regions=exchange.caller.regions, trace=exchange.trace
        )
        return _read(read, known).header("content-location", addresses.record(entity, read.document["id"]))

    async def page(self, exchange: Exchange, entity: Entity, filters: Filters) -> Reply:
        asked = exchange.query(filters.names)
        exchange.may_see(entity.name)
        where = filters.read(asked)
        regions = self._regions(exchange, entity, asked.get("region"))
        since = query.moment(asked, "updated_since")
        limit = query.limit(asked)
        context = msgspec.json.encode(
            [entity.name, regions, sorted(where.items()), asked.get("updated_since")]
        ).decode()
        cursor = asked.get("cursor")
        page = await self._reads.page(
            entity,
            ListQuery(
                regions=regions,
                where=where,
                updated_since=since,
                limit=limit,
                cursor=None if cursor is None else self._cursors.open(context, cursor),
            ),
            trace=exchange.trace,
        )
        following = None if page.next_cursor is None else self._cursors.sign(context, page.next_cursor)
        reply = Reply(200, encode({"items": page.items, "next_cursor": following}))
        if page.answered_by:
            reply.header("twinrun-answered-by", ", ".join(page.answered_by))
        return reply

    def _known(self, entity: Entity, region: str, pointer: str) -> None:
        """Raises UnknownRegion naming the place in the request."""
        try:
            self._slices.cached(entity.name, region)
            if region not in self._slices.regions():
                raise UnknownRegion(f"{region[:40]!r} is not one of {', '.join(self._slices.regions())}")
        except UnknownRegion as unknown:
            raise UnknownRegion(
                unknown.detail,
                errors=[
                    FieldError(
                        pointer=pointer, code="unknown_region", message="is no region that a rule knows"
                    )
                ],
            ) from None

    def _regions(self, exchange: Exchange, entity: Entity, asked: str | None) -> tuple[str, ...]:
        """The regions that are asked for, or all that the caller may see, each with its cohorts."""
        if asked is not None:
            self._known(entity, asked, "region")
            exchange.may_use_region(asked)
            return self._slices.within(entity.name, asked)
        return tuple(place for place in self._slices.places(entity.name) if exchange.caller.sees_region(place))


def _record_id(exchange: Exchange, entity: Entity) -> str:
    exchange.must_find(entity.name)
    record_id = exchange.path["id"]
    if not addresses.is_id(record_id, entity.prefix):
        raise RecordNotFound(f"an id of a {entity.label.lower()} begins with {entity.prefix}")
    return record_id


def _read(read: Read, known: frozenset[str]) -> Reply:
    tag = f'"{read.version}"'
    unchanged = bool(known) and (tag in known or headers.ANY_VERSION in known)
    reply = Reply(304) if unchanged else Reply(200, encode(read.document))
    reply.header("etag", tag)
    reply.header("twinrun-stage", read.stage)
    reply.header("twinrun-answered-by", read.answered_by)
    return reply.header("pending-operations", str(read.pending))


def _written(entity: Entity, answer: Answer) -> Reply:
    reply = Reply(answer.status, encode(answer.body))
    reply.header("twinrun-operation", answer.operation)
    reply.header("twinrun-stage", answer.stage)
    if answer.status == 202:
        reply.header("location", addresses.of(answer.operation))
        reply.header("retry-after", "1")
    else:
        reply.header("location", addresses.record(entity, answer.record_id))
        if answer.version is not None:
            reply.header("etag", f'"{answer.version}"')
    if answer.answered_by is not None:
        reply.header("twinrun-answered-by", answer.answered_by)
    if answer.replayed:
        reply.header("idempotent-replayed", "true")
    return reply
