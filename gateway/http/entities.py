"""The routes of the business side, made once for each of ENTITIES: a new entity needs nothing here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import errors
from gateway.canonical import ENTITIES, Entity
from gateway.http import addresses, bulk, parameters
from gateway.http.examples import EXAMPLES, PATCHES, TRANSITIONS
from gateway.http.facade import MOST_NATIVE, Facade
from gateway.http.filters import Filters
from gateway.http.route import Body, Gives, Parameter, Route, Schema

_JSON = ("application/json",)

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


def routes(facade: Facade, components: Mapping[str, Any], regions: tuple[str, ...]) -> tuple[Route, ...]:
    """Every route of the business side but the operations."""
    return tuple(route for entity in ENTITIES for route in _of(facade, entity, components, regions))


def _of(
    facade: Facade, entity: Entity, components: Mapping[str, Any], regions: tuple[str, ...]
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
    elsewhere = Gives(
        status=308, description=f"It was merged into the {label} in Location", headers=("Location",)
    )
    unchanged = Gives(status=304, description="The caller has this version already", headers=("ETag",))
    waiting = Gives(
        status=202,
        description="Accepted and durable, not yet confirmed: follow the operation in Location",
        schema={"$ref": "#/components/schemas/Accepted"},
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
    refused = (
        errors.UnknownRegion,
        *((errors.KeyMissing,) if entity.key_required else ()),
        errors.NaturalKeyTaken,
        *_WRITES,
    )
    moves = "; ".join(f"{now} → {', '.join(then)}" for now, then in entity.lifecycle.moves.items() if then)
    return (
        Route(
            method="GET",
            path=base,
            name=f"list_{entity.collection.replace('-', '_')}",
            tag=tag,
            summary=f"A page of {entity.collection}",
            scope="read",
            handle=lambda exchange: facade.page(exchange, entity, filters),
            parameters=(
                *filters.parameters(components, regions),
                parameters.since("updated_since", "Only records changed at or after this moment."),
                *parameters.PAGED,
                *trace,
            ),
            gives=(Gives(status=200, description="A page", schema=page, headers=("Twinrun-Answered-By",)),),
            refuses=(errors.UnknownRegion, errors.ForeignCursor, *_READS),
        ),
        Route(
            method="POST",
            path=base,
            name=f"create_{entity.name}",
            tag=tag,
            summary=f"Create a {label}",
            scope="write",
            handle=lambda exchange: facade.create(exchange, entity),
            writes=entity.name,
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
            refuses=refused,
        ),
        bulk.route(bulk.Bulk(facade), entity, regions, refused),
        Route(
            method="GET",
            path=base + "/{id}",
            name=f"get_{entity.name}",
            tag=tag,
            summary=f"One {label}",
            scope="read",
            handle=lambda exchange: facade.one(exchange, entity),
            parameters=(own_id, parameters.IF_NONE_MATCH, *trace),
            gives=(read, unchanged, elsewhere),
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
            handle=lambda exchange: facade.update(exchange, entity),
            writes=entity.name,
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
                errors.RecordMerged,
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
            handle=lambda exchange: facade.by_ref(exchange, entity),
            parameters=(
                parameters.path(
                    "system",
                    {"type": "string", "enum": sorted(facade.systems)},
                    "The name of the system.",
                    "legacy",
                ),
                parameters.path(
                    "native_id",
                    {"type": "string", "minLength": 1, "maxLength": MOST_NATIVE},
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
            handle=lambda exchange: facade.transition(exchange, entity),
            writes=entity.name,
            parameters=(own_id, key, parameters.if_match(required=False), *prefer, *trace),
            body=Body(
                schema={
                    "allOf": [{"$ref": "#/components/schemas/Transition"}],
                    "properties": {"to": {"enum": list(entity.lifecycle.states)}},
                },
                media=_JSON,
                example=TRANSITIONS[entity.name],
            ),
            gives=(written, waiting),
            refuses=(
                errors.RecordNotFound,
                errors.RecordMerged,
                *((errors.KeyMissing,) if entity.key_required else ()),
                errors.IllegalTransition,
                errors.VersionStale,
                errors.PendingWrite,
                *_WRITES,
            ),
        ),
    )
