"""The business side: the calls of one collection, made once for each of ENTITIES."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway import errors
from gateway.access import Cursors
from gateway.canonical import ENTITIES, Entity, decode_draft, decode_patch, decode_transition, encode
from gateway.dispatch.command import Answer, Command, Kind, ListQuery, Read
from gateway.errors import FieldError, RecordNotFound, UnknownRegion, VersionMissing
from gateway.http import addresses, headers, parameters, query
from gateway.http.examples import EXAMPLES, PATCHES, TRANSITIONS
from gateway.http.exchange import PATCH, Exchange
from gateway.http.filters import Filters
from gateway.http.ports import ExecutorPort, ReadsPort, SlicesPort
from gateway.http.reply import Reply
from gateway.http.route import Body, Gives, Parameter, Route, Schema

_JSON = ("application/json",)
_MOST_NATIVE = 255

# What a call can be refused with; the rim adds what holds for every call (401, 403 and a lost store).
_READS = (errors.SystemUnavailable, errors.SystemUnreadable, errors.NotConfigured)
_WRITES = (
    errors.Invalid,
    errors.ReferenceUnknown,
    errors.Refused,
    errors.TwinRunning,
    errors.KeyReused,
    errors.Collision,
    errors.DependencyRefused,
    errors.NotAccepted,
    errors.SystemUnavailable,
    errors.NotConfigured,
)
_WRITTEN = ("Twinrun-Operation", "Twinrun-Stage", "Idempotent-Replayed", "Preference-Applied", "Location")


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
        self._systems = systems
        self._wait_default_s = wait_default_s
        self._wait_max_s = wait_max_s

    async def create(self, exchange: Exchange, entity: Entity) -> Reply:
        exchange.query()
        exchange.may_see(entity.name)
        key = headers.idempotency_key(exchange.header("Idempotency-Key"), required=entity.key_required)
        draft = decode_draft(entity, await exchange.body())
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
                f'send If-Match with the version that the change is based on, such as "3"; read the {entity.label.lower()} '
                "first",
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
        preference = headers.preference(
            exchange.listed("Prefer"), default_s=self._wait_default_s, most_s=self._wait_max_s
        )
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
        read = await self._reads.one(entity, record_id, regions=exchange.caller.regions, trace=exchange.trace)
        return _read(exchange, read)

    async def by_ref(self, exchange: Exchange, entity: Entity) -> Reply:
        exchange.query()
        exchange.must_find(entity.name)
        system, native_id = exchange.path["system"], exchange.path["native_id"]
        if len(native_id) > _MOST_NATIVE or not native_id.isprintable():
            raise RecordNotFound("no system has such an id")
        if system not in self._systems:
            raise RecordNotFound(
                f"no system is called {system[:40]!r}; there are {', '.join(sorted(self._systems))}"
            )
        read = await self._reads.by_ref(
            entity, system, native_id, regions=exchange.caller.regions, trace=exchange.trace
        )
        return _read(exchange, read).header("content-location", addresses.record(entity, read.document["id"]))

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
        if asked is not None:
            self._known(entity, asked, "region")
            exchange.may_use_region(asked)
            return (asked,)
        return tuple(region for region in self._slices.regions() if exchange.caller.sees_region(region))

    def routes(self, components: Mapping[str, Any], regions: tuple[str, ...]) -> tuple[Route, ...]:
        """Every route of the business side but the operations."""
        return tuple(route for entity in ENTITIES for route in self._of(entity, components, regions))

    def _of(
        self, entity: Entity, components: Mapping[str, Any], regions: tuple[str, ...]
    ) -> tuple[Route, ...]:
        filters = Filters(entity)
        base = f"/v1/{entity.collection}"
        label = entity.label.lower()
        tag = entity.collection
        record: Schema = {"$ref": f"#/components/schemas/{entity.record.__name__}"}
        page: Schema = {
            "type": "object",
            "required": ["items", "next_cursor"],
            "properties": {
                "items": {"type": "array", "items": record},
                "next_cursor": {"type": ["string", "null"]},
            },
        }
        own_id = parameters.path(
            "id",
            {"type": "string", "pattern": f"^{entity.prefix}{addresses.ID}$"},
            f"The id of the {label}.",
            f"{entity.prefix}0198f0c2-5b7e-7cc1-9d2a-6d2f5a1f3b10",
        )
        read = Gives(
            status=200,
            description=f"The {label}",
            schema=record,
            headers=("ETag", "Twinrun-Stage", "Twinrun-Answered-By", "Pending-Operations"),
        )
        unchanged = Gives(status=304, description="The caller has this version already", headers=("ETag",))
        waiting = Gives(
            status=202,
            description="Accepted and durable, not yet confirmed: follow the operation in Location",
            schema={"$ref": "#/components/schemas/Operation"},
            headers=_WRITTEN,
        )
        written = Gives(
            status=200,
            description="The system that answers for the slice has applied it",
            schema=record,
            headers=(*_WRITTEN, "ETag", "Twinrun-Answered-By"),
        )
        key = parameters.idempotency_key(required=entity.key_required)
        optional_key = parameters.idempotency_key(required=False)
        prefer: tuple[Parameter, ...] = (parameters.PREFER,)
        trace = parameters.TRACE
        moves = "; ".join(
            f"{now} → {', '.join(then)}" for now, then in entity.lifecycle.moves.items() if then
        )
        return (
            Route(
                method="GET",
                path=base,
                name=f"list_{entity.name}s",
                tag=tag,
                summary=f"A page of {entity.collection}",
                scope="read",
                handle=lambda exchange: self.page(exchange, entity, filters),
                parameters=(
                    *filters.parameters(components, regions),
                    parameters.since("updated_since", "Only records changed at or after this moment."),
                    *parameters.PAGED,
                    *trace,
                ),
                gives=(
                    Gives(status=200, description="A page", schema=page, headers=("Twinrun-Answered-By",)),
                ),
                refuses=(errors.UnknownRegion, errors.ForeignCursor, *_READS),
            ),
            Route(
                method="POST",
                path=base,
                name=f"create_{entity.name}",
                tag=tag,
                summary=f"Create a {label}",
                scope="write",
                handle=lambda exchange: self.create(exchange, entity),
                parameters=(key, *prefer, *trace),
                body=Body(
                    schema={"$ref": f"#/components/schemas/{entity.draft.__name__}"},
                    media=_JSON,
                    example=EXAMPLES[entity.name],
                ),
                gives=(
                    Gives(
                        status=201,
                        description="The system that answers for the slice has applied it",
                        schema=record,
                        headers=(*_WRITTEN, "ETag", "Twinrun-Answered-By"),
                        links={
                            f"get_{entity.name}": {"id": "$response.body#/id"},
                            f"update_{entity.name}": {
                                "id": "$response.body#/id",
                                "If-Match": "$response.header.ETag",
                            },
                            f"transition_{entity.name}": {"id": "$response.body#/id"},
                            "get_operation": {"id": "$response.header.Twinrun-Operation"},
                            "get_journey": {"id": "$response.body#/id"},
                        },
                    ),
                    waiting,
                ),
                refuses=(
                    errors.UnknownRegion,
                    *((errors.KeyMissing,) if entity.key_required else ()),
                    errors.NaturalKeyTaken,
                    *_WRITES,
                ),
            ),
            Route(
                method="GET",
                path=base + "/{id}",
                name=f"get_{entity.name}",
                tag=tag,
                summary=f"One {label}",
                scope="read",
                handle=lambda exchange: self.one(exchange, entity),
                parameters=(own_id, parameters.IF_NONE_MATCH, *trace),
                gives=(read, unchanged),
                refuses=(errors.RecordNotFound, *_READS),
            ),
            Route(
                method="PATCH",
                path=base + "/{id}",
                name=f"update_{entity.name}",
                tag=tag,
                summary=f"Change a {label}",
                description="JSON Merge Patch (RFC 7396): null takes a value away, arrays are replaced whole.",
                scope="write",
                handle=lambda exchange: self.update(exchange, entity),
                parameters=(
                    own_id,
                    parameters.if_match(required=entity.if_match_required),
                    optional_key,
                    *prefer,
                    *trace,
                ),
                body=Body(
                    schema={"$ref": f"#/components/schemas/{entity.patch.__name__}"},
                    media=("application/merge-patch+json", "application/json"),
                    example=PATCHES[entity.name],
                ),
                gives=(written, waiting),
                refuses=(
                    errors.RecordNotFound,
                    errors.NaturalKeyTaken,
                    errors.VersionStale,
                    *((errors.VersionMissing,) if entity.if_match_required else ()),
                    errors.PendingWrite,
                    *_WRITES,
                ),
            ),
            Route(
                method="GET",
                path=base + "/by-ref/{system}/{native_id}",
                name=f"get_{entity.name}_by_ref",
                tag=tag,
                summary=f"The {label} that a system knows by its own id",
                description="A slash in the id may be sent as it is or as %2F.",
                scope="read",
                handle=lambda exchange: self.by_ref(exchange, entity),
                parameters=(
                    parameters.path(
                        "system",
                        {"type": "string", "enum": sorted(self._systems)},
                        "The name of the system.",
                        "legacy",
                    ),
                    parameters.path(
                        "native_id",
                        {"type": "string", "minLength": 1, "maxLength": _MOST_NATIVE},
                        "The id that this system gave it.",
                        "100042",
                    ),
                    parameters.IF_NONE_MATCH,
                    *trace,
                ),
                gives=(read, unchanged),
                refuses=(errors.RecordNotFound, *_READS),
            ),
            Route(
                method="POST",
                path=base + "/{id}/transitions",
                name=f"transition_{entity.name}",
                tag=tag,
                summary=f"Move a {label} to another state",
                description=f"The legal moves: {moves}.",
                scope="write",
                handle=lambda exchange: self.transition(exchange, entity),
                parameters=(own_id, key, parameters.if_match(required=False), *prefer, *trace),
                body=Body(
                    schema={"$ref": "#/components/schemas/Transition"},
                    media=_JSON,
                    example=TRANSITIONS[entity.name],
                ),
                gives=(written, waiting),
                refuses=(
                    errors.RecordNotFound,
                    *((errors.KeyMissing,) if entity.key_required else ()),
                    errors.IllegalTransition,
                    errors.VersionStale,
                    errors.PendingWrite,
                    *_WRITES,
                ),
            ),
        )


def _record_id(exchange: Exchange, entity: Entity) -> str:
    exchange.must_find(entity.name)
    record_id = exchange.path["id"]
    if not addresses.is_id(record_id, entity.prefix):
        raise RecordNotFound(f"an id of a {entity.label.lower()} begins with {entity.prefix}")
    return record_id


def _read(exchange: Exchange, read: Read) -> Reply:
    if headers.none_match(exchange.listed("If-None-Match"), read.version):
        reply = Reply(304)
    else:
        reply = Reply(200, encode(read.document))
    reply.header("etag", f'"{read.version}"')
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
