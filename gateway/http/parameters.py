"""Parameters and answer headers that more than one route has, with the words that the document uses for
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.canonical import BY_NAME
from gateway.http.query import LIMIT, MOST_LIMIT, MOST_TOKEN
from gateway.http.route import Parameter, Schema

#: Headers in which what cannot be understood is ignored, as their standards say; so any text is fine.
_ANY_TEXT: Schema = {"type": "string"}

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

#: A plain token, or the quoted string of the draft with its two escapes.
IDEMPOTENCY_KEY: Schema = {
    "type": "string",
    "pattern": r'^([!#-~][!-~]{0,254}|"([ !#-\[\]-~]|\\["\\]){1,255}")$',
}


def idempotency_key(*, required: bool) -> Parameter:
    return Parameter(
        name="Idempotency-Key",
        where="header",
        schema=IDEMPOTENCY_KEY,
        description="A value of the caller's own, new for each new request and the same for each retry. "
        "A plain token, or the quoted string of the IETF draft. Kept 7 days: the same key and body give the "
        "same operation.",
        required=required,
        # A literal key would be used a second time with another body by whoever tries the examples.
        example=None,
    )


def if_match(*, required: bool) -> Parameter:
    return Parameter(
        name="If-Match",
        where="header",
        schema={"type": "string", "pattern": r'^("(0|[1-9][0-9]{0,17})"|\*)$'},
        description="The version that the change is based on, as the ETag gave it; `*` for any.",
        required=required,
        example="*",
    )


IF_NONE_MATCH = Parameter(
    name="If-None-Match",
    where="header",
    schema=_ANY_TEXT,
    description='A version that the caller has already, such as `"3"`: 304 while it is still the newest.',
)
PREFER = Parameter(
    name="Prefer",
    where="header",
    schema=_ANY_TEXT,
    description="`wait=N`: seconds to wait for the ERP before a 202 (at most 25). `respond-async`: none.",
    example="wait=10",
)
TRACE: tuple[Parameter, ...] = (
    Parameter(
        name="traceparent",
        where="header",
        schema=_ANY_TEXT,
        description="W3C Trace Context; carried on to the ERPs and returned.",
        example=TRACEPARENT,
    ),
    Parameter(
        name="X-Request-Id",
        where="header",
        schema=_ANY_TEXT,
        description="The caller's own id of this request; carried on and returned. Made where absent.",
    ),
)
LIMITED = Parameter(
    name="limit",
    where="query",
    schema={"type": "integer", "minimum": 1, "maximum": MOST_LIMIT, "default": LIMIT},
    description="How many items a page has at most.",
    example=LIMIT,
)
CURSOR = Parameter(
    name="cursor",
    where="query",
    schema={"type": "string", "pattern": "^[A-Za-z0-9_-]{22,}$"},
    description="`next_cursor` of the page before, unchanged and with the same filters. Opaque and signed.",
)
PAGED = (LIMITED, CURSOR)


#: What ``query.token`` takes.
TOKEN: Schema = {"type": "string", "minLength": 1, "maxLength": MOST_TOKEN, "pattern": "^[ -~]+$"}


def since(name: str, description: str) -> Parameter:
    return Parameter(
        name=name,
        where="query",
        schema={"type": "string", "format": "date-time"},
        description=description,
        example="2026-01-31T08:00:00Z",
    )


def path(name: str, schema: Schema, description: str, example: Any = None) -> Parameter:
    return Parameter(
        name=name, where="path", schema=schema, description=description, required=True, example=example
    )


#: Headers of answers by name: schema and meaning.
ANSWER_HEADERS: Mapping[str, tuple[Schema, str]] = {
    "ETag": ({"type": "string", "pattern": '^"[0-9]+"$'}, "The version of the record, for If-Match."),
    "Location": ({"type": "string"}, "The record, or for a 202 the operation to follow."),
    "Retry-After": ({"type": "integer", "minimum": 1}, "Seconds after which to try again."),
    "Idempotent-Replayed": (
        {"type": "string", "const": "true"},
        "This is what became of an earlier request with the same Idempotency-Key.",
    ),
    "Preference-Applied": ({"type": "string"}, "What was made of Prefer (RFC 7240)."),
    "Twinrun-Operation": ({"type": "string"}, "The operation that this write became."),
    "Twinrun-Stage": ({"type": "string"}, "The stage of the slice, (entity, region)."),
    "Twinrun-Answered-By": ({"type": "string"}, "The system that answered: `legacy` or `cloud`."),
    "Pending-Operations": (
        {"type": "integer", "minimum": 0},
        "Accepted writes to this record that are not confirmed yet.",
    ),
    "WWW-Authenticate": ({"type": "string"}, "How to authenticate (RFC 6750)."),
    "X-Request-Id": ({"type": "string"}, "The id of this request in our logs and in the ERPs' calls."),
    "Allow": ({"type": "string"}, "The methods that this address takes."),
}


def slice_filters(regions: Sequence[str]) -> tuple[Parameter, Parameter]:
    """``entity`` and ``region`` of a list of the operations side."""
    schema: Schema = {"type": "string", "enum": list(regions)} if regions else {"type": "string"}
    return (
        Parameter(
            name="entity",
            where="query",
            schema={"type": "string", "enum": list(BY_NAME)},
            description="Only this entity.",
        ),
        Parameter(name="region", where="query", schema=schema, description="Only this region."),
    )
