"""The OpenAPI 3.1 document, built from the same routes that are served."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from gateway import errors
from gateway.access import SCOPES
from gateway.errors import GatewayError
from gateway.http.parameters import ANSWER_HEADERS
from gateway.http.problems import PROBLEMS, TYPE, row
from gateway.http.route import Gives, Route
from gateway.http.schemas import Json, components
from gateway.routing.cohort import plain_regions
from gateway.routing.plan import PLANS

_BODY = (errors.BodyTooLarge, errors.MediaTypeUnsupported)
_KEYED = (errors.Unauthenticated, errors.Forbidden, errors.StoreUnavailable)
#: Any call can meet these: an unknown query parameter, and what nobody expected.
_ANY = (errors.Malformed, GatewayError)

_SCOPE_WORDS = {
    "read": "read records and operations",
    "write": "create, change and move records",
    "admin:read": "see rules, diffs, deliveries, cases, journeys and the audit",
    "admin:write": "change rules, replay deliveries, reconcile, repair, backfill, merge records and decide cases",
    "admin:approve": "approve what another person has asked for",
}

_TAGS = {
    "operations": "What became of a write.",
    "rules": "Which system answers for which slice, (entity, region).",
    "diffs": "Where the two systems part.",
    "readiness": "Whether a slice may go on, and whether it can go back.",
    "switches": "Moves of authority, requested, approved and followed.",
    "waivers": "Differences that are accepted for a time.",
    "reconciliations": "Whole sets of the two systems held against each other.",
    "repairs": "Differences of a reconciliation written over in the mirror, once another person has approved.",
    "backfills": "What one system of a slice holds brought into the other.",
    "feeds": "Edits made in the systems themselves, and how far they are carried over.",
    "webhooks": "Systems say that something has changed in them; a signature stands for the key.",
    "cases": "What waits for a person.",
    "deliveries": "Writes on their way to one system.",
    "records": "One record's whole journey.",
    "merges": "Two records that are one, merged and parted again by two persons.",
    "audit": "Who did what.",
    "health": "For probes and figures; no key is needed.",
}


def document(routes: Sequence[Route], places: Sequence[str], *, version: str) -> Json:
    """The document of ``routes``. ``places``: the regions and their cohorts."""
    regions = plain_regions(places)
    paths: dict[str, Json] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, regions)
    tags = list(dict.fromkeys(route.tag for route in routes))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Twinrun",
            "version": version,
            "summary": "One canonical API in front of an old and a new ERP.",
            "description": _description(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag, "description": _TAGS.get(tag, f"The collection {tag}.")} for tag in tags],
        "paths": dict(paths),
        "components": {
            "schemas": components(tuple(places)),
            "headers": {
                name: {"schema": schema, "description": words}
                for name, (schema, words) in ANSWER_HEADERS.items()
            },
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "twk_…",
                    "description": "An API key made with `twinrun keys create`. Scopes: "
                    + "; ".join(f"`{scope}`: {_SCOPE_WORDS[scope]}" for scope in SCOPES)
                    + ".",
                }
            },
        },
    }


def _operation(route: Route, regions: Sequence[str]) -> Json:
    description = route.description
    if route.scope is not None:
        description = f"{description}\n\nNeeds the scope `{route.scope}`.".strip()
    found: Json = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "description": description,
        "parameters": [_parameter(parameter) for parameter in route.parameters],
        # The key carries its scopes; OpenAPI 3.1 lets a bearer scheme name those that a call needs.
        "security": [] if route.scope is None else [{"key": [route.scope]}],
        "responses": {},
    }
    if not description:
        del found["description"]
    if route.body is not None:
        content: Json = {"schema": route.body.schema}
        if route.body.example is not None:
            content["example"] = _placed(route, route.body.example, regions)
        found["requestBody"] = {
            "required": route.body.required,
            "content": dict.fromkeys(route.body.media, content),
        }
    for gives in route.gives:
        found["responses"][str(gives.status)] = _given(gives)
    for status, kinds in sorted(_refused(route).items()):
        there = found["responses"].get(str(status))
        told = _problem(status, kinds)
        if there is None:
            found["responses"][str(status)] = told
        else:
            # Readiness answers 503 in a form of its own, and its store can be lost as well.
            there["content"].update(told["content"])
    return found


def _placed(route: Route, example: Any, regions: Sequence[str]) -> Any:
    """The example of a create begins with a region that the rules know."""
    if route.name.startswith("create_") and regions:
        return {"region": regions[0], **example}
    return example


def _parameter(parameter: Any) -> Json:
    found: Json = {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }
    if parameter.example is not None:
        found["example"] = parameter.example
    return found


def _given(gives: Gives) -> Json:
    found: Json = {"description": gives.description, "headers": _headers((*gives.headers, "X-Request-Id"))}
    if gives.schema is not None:
        content: Json = {"schema": gives.schema}
        if gives.example is not None:
            content["example"] = gives.example
        found["content"] = {gives.media: content, **{media: {"schema": {"type": "string"}} for media in gives.also}}
    if gives.links:
        found["links"] = {
            name: {"operationId": name, "parameters": parameters} for name, parameters in gives.links.items()
        }
    return found


def _refused(route: Route) -> dict[int, list[type[GatewayError]]]:
    kinds = [
        *_ANY,
        *(_KEYED if route.scope is not None else ()),
        *(_BODY if route.body else ()),
        *route.refuses,
    ]
    found: dict[int, list[type[GatewayError]]] = defaultdict(list)
    for kind in dict.fromkeys(kinds):
        found[row(kind).status].append(kind)
    return found


def _problem(status: int, kinds: Sequence[type[GatewayError]]) -> Json:
    headers: tuple[str, ...] = ("X-Request-Id",)
    if status == 401:
        headers = ("WWW-Authenticate", *headers)
    if status == 503:
        headers = ("Retry-After", *headers)
    types = [TYPE + row(kind).slug for kind in kinds]
    return {
        "description": "; ".join(kind.title() for kind in kinds),
        "headers": _headers(headers),
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [{"$ref": "#/components/schemas/Problem"}],
                    "properties": {"type": {"enum": types}, "status": {"const": status}},
                },
                "example": {
                    "type": types[-1],
                    "title": kinds[-1].title(),
                    "status": status,
                    "detail": f"{kinds[-1].title()}.",
                    "instance": "/v1/customers",
                    "retryable": kinds[-1].retryable,
                },
            }
        },
    }


def _headers(names: Sequence[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in dict.fromkeys(names)}


def _description() -> str:
    rows = [
        "| stage | reads answered by | compared read | writes go first to | and then, durably, to |",
        "|---|---|---|---|---|",
    ]
    for stage, plan in PLANS.items():
        shadow, mirror = plan.shadow_read or "–", plan.mirror or "–"
        rows.append(f"| {stage} | {plan.authority} | {shadow} | {plan.authority} | {mirror} |")
    problems = ["| type | status | title |", "|---|---|---|"]
    problems += [
        f"| `{TYPE}{found.slug}` | {found.status} | {kind.title()} |" for kind, found in PROBLEMS.items()
    ]
    conventions = (
        "Every answer that is not a success is `application/problem+json` (RFC 9457). A path that is not "
        "here is 404; a method that it does not take is 405 with `Allow`. `HEAD` is `GET` without the body. "
        "Money and quantities are decimal strings. Unknown members and query parameters are refused."
    )
    return "\n".join(
        [
            "Upstream systems call one API. Behind it, each slice, (entity, region), is in a stage:",
            "",
            *rows,
            "",
            conventions,
            "",
            *problems,
        ]
    )
