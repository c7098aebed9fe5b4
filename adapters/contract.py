"""The one interface that the gateway knows of a system, whatever product and protocol stand behind it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

import msgspec

#: Canonical field names with JSON-like values in canonical wire form. ``state`` and ``legal_entity`` are
#: fields.
#: A reference (``customer_id``, ``lines[].project_id``) carries the *native* id of the system it goes to or
#: came from.
Fields = dict[str, Any]


class Capability(StrEnum):
    """What a profile says an entity can do in this product."""

    FETCH = "fetch"
    SEARCH = "search"
    CREATE = "create"
    UPDATE = "update"
    TRANSITION = "transition"
    FIND = "find"  #: look a record up by our marker or external id
    CHANGES = "changes"


class Idempotency(StrEnum):
    """What a system offers against doing a write twice (reliability classes A to E)."""

    A_NATIVE_KEY = "A"  #: accepts an idempotency key
    B_EXTERNAL_ID = "B"  #: upserts on an external id that we set
    C_UNIQUE_KEY = "C"  #: refuses a second record with the same natural key
    D_SEARCHABLE = "D"  #: has a searchable reference field, not unique
    E_NOTHING = "E"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the profile declares about one entity in this product."""

    capabilities: frozenset[Capability]
    idempotency: Idempotency = Idempotency.E_NOTHING
    conditional: bool = False  #: an update carries a version and is refused when it is stale
    max_processing_s: float = 600.0  #: how long a request that we gave up on may still take effect
    read_lag_s: float = 0.0  #: how long after a write a read by id may still answer the old state
    search_lag_s: float = 0.0  #: the same for a search
    mapped: frozenset[str]  #: canonical fields that the product holds (top-level names)
    assigned: frozenset[str] = frozenset()  #: fields that the product numbers itself when we send none
    filters: frozenset[str] = frozenset()  #: canonical fields that the product can search by

    @property
    def lag_s(self) -> float:
        """How long after a write the system may not show it yet, however it is asked."""
        return max(self.read_lag_s, self.search_lag_s)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One record as the system holds it."""

    native_id: str
    native_version: str | None = None  #: etag or timestamp to send back with a conditional update
    marker: str | None = None  #: our reference of the last write that the system remembers on this record
    external_id: str | None = None  #: our canonical id, where the product keeps it
    modified_at: datetime | None = None
    fields: Fields


class Page(msgspec.Struct, frozen=True, kw_only=True):
    items: tuple[Found, ...]
    next_cursor: str | None = None  #: opaque; hand it back to go on


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A search. ``where`` holds canonical field names; a tuple means any of these values."""

    where: Mapping[str, str | tuple[str, ...]] = msgspec.field(
        default_factory=dict[str, "str | tuple[str, ...]"]
    )
    updated_since: datetime | None = None
    limit: int = 50
    cursor: str | None = None


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One mutating call. The same ``marker`` goes with every attempt of the same operation."""

    entity: str
    marker: str
    external_id: str  #: the canonical id
    #: absolute values; an update touches only the fields given, and leaves the others as they are
    fields: Fields
    #: the record as it is to be, without its references: what a product may need to know for the fields given (whose
    #: books, which currency) and does not write by itself
    beside: Fields = msgspec.field(default_factory=dict[str, Any])
    native_id: str | None = None  #: None on create
    native_version: str | None = None
    to_state: str | None = None  #: set on a transition
    #: trace context to carry along
    headers: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The system has applied a write."""

    native_id: str
    native_version: str | None = None
    #: what it answered, mapped back; may be empty
    fields: Fields = msgspec.field(default_factory=dict[str, Any])


class Health(msgspec.Struct, frozen=True, kw_only=True):
    ok: bool
    latency_s: float
    detail: str = ""
    server_time: datetime | None = None


class Adapter(Protocol):
    """One system, reached through one profile. Every call tries once, within the profile's deadline."""

    @property
    def name(self) -> str:
        """``legacy`` or ``cloud`` (or another name from the settings)."""
        ...

    @property
    def product(self) -> str: ...

    def supports(self, entity: str) -> bool: ...

    def facts(self, entity: str) -> Facts: ...

    def expect(self, entity: str, fields: Fields) -> Fields:
        """How these fields would read after a round trip through this product: its declared losses (shorter
        text, fewer decimals, coarser codes) applied; unmapped fields, and values that it cannot hold, left
        out. Pure; sends nothing."""
        ...

    async def probe(self) -> Health: ...

    async def fetch(self, entity: str, native_id: str, *, headers: Mapping[str, str] | None = None) -> Found:
        """Raises NotFound, Unavailable, Throttled, OutcomeUnknown (a read that got no answer), Unreadable."""
        ...

    async def search(
        self, entity: str, query: Query, *, headers: Mapping[str, str] | None = None
    ) -> Page: ...

    async def find(
        self, entity: str, *, marker: str | None = None, external_id: str | tuple[str, ...] | None = None
    ) -> tuple[Found, ...]:
        """Records that carry our marker (or external id; a tuple means any of these). At most ten are returned, or
        two for each of several external ids."""
        ...

    async def create(self, write: Write) -> Receipt: ...

    async def update(self, write: Write) -> Receipt: ...

    async def transition(self, write: Write) -> Receipt: ...

    async def close(self) -> None: ...
