"""What a rim hands to dispatch, and what it gets back. No HTTP words beyond the status code that the contract names."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from gateway.routing.stage import Stage, System

Document = dict[str, Any]
Kind = Literal["create", "update", "transition"]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream write, decoded and validated as far as its own body allows."""

    kind: Kind
    entity: str
    client: str  #: the caller's stable name; part of the scope of an idempotency key
    method: str  #: POST, PATCH
    route: str  #: the route's pattern with its collection, without ids: part of the key's scope
    body: Document  #: create: the document; update: the merge patch; transition: {"to", "reason"}
    region: str | None = None  #: create only
    legal_entity: str | None = None  #: create only; None: the region's first
    external_refs: dict[str, str] = {}  #: create only
    record_id: str | None = None  #: update and transition
    regions: frozenset[str] | None = None  #: the regions that the caller may write; None: all
    idempotency_key: str | None = None
    if_match: int | None = None
    wait_s: float = 5.0
    trace: dict[str, str] = {}  #: traceparent, tracestate, X-Request-Id


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command by the time its caller stopped waiting. A refusal is raised, not returned."""

    status: Literal[200, 201, 202]
    operation: str
    record_id: str
    stage: Stage
    answered_by: System | None = None  #: None while the authority has not answered
    version: int | None = None
    body: Document = {}  #: the record; for a 202 the operation
    replayed: bool = False


class Read(msgspec.Struct, frozen=True, kw_only=True):
    document: Document  #: the whole record of the contract
    version: int
    stage: Stage
    answered_by: System
    pending: int = 0  #: accepted writes to it that are not confirmed yet


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    regions: tuple[str, ...]  #: the regions asked for with their cohorts, as far as the caller may read them
    where: dict[
        str, str
    ] = {}  #: filters of the entity by canonical name, ``state`` and ``legal_entity`` included
    updated_since: datetime | None = None
    limit: int = 50
    cursor: str | None = None


class ReadPage(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[Document, ...]
    next_cursor: str | None
    answered_by: tuple[System, ...]
