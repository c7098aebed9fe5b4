"""What a route is: everything that the server and the OpenAPI document need to know of one method at one
path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from gateway.errors import GatewayError
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply

Schema = dict[str, Any]
Handler = Callable[[Exchange], Awaitable[Reply]]


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter in the path, the query or a header."""

    name: str
    where: Literal["path", "query", "header"]
    schema: Schema
    description: str
    required: bool = False
    example: Any = None


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """The body that a route takes."""

    schema: Schema
    media: tuple[str, ...]
    example: Any = None
    required: bool = True


class Gives(msgspec.Struct, frozen=True, kw_only=True):
    """One good answer."""

    status: int
    description: str
    schema: Schema | None = None
    media: str = "application/json"
    also: tuple[str, ...] = ()  #: other kinds of media that ``Accept`` may ask for
    headers: tuple[str, ...] = ()  #: names from the table of answer headers
    example: Any = None
    links: dict[
        str, dict[str, str]
    ] = {}  #: operationId -> parameter -> where in this answer its value stands


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method at one path. ``path`` is written as OpenAPI writes it; ``scope`` None means that no key
    is needed."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    name: str  #: operationId, and the label of its metrics
    tag: str
    summary: str
    description: str = ""
    scope: str | None
    handle: Handler
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    gives: tuple[Gives, ...]
    refuses: tuple[type[GatewayError], ...] = ()
    writes: str | None = None  #: the entity of which this writes one record

    def query(self) -> frozenset[str]:
        """The names of the query parameters."""
        return frozenset(parameter.name for parameter in self.parameters if parameter.where == "query")
