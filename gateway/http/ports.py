"""What only the routes ask of the rest of the gateway; what both faces ask stands in ``gateway.ports``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.canonical import Entity
from gateway.change_feed.hints import Signed, WebhookTaken
from gateway.dispatch.command import Answer, Command, ListQuery, Read, ReadPage
from gateway.errors import NotAccepted


class ExecutorPort(Protocol):
    @property
    def crowded(self) -> bool:
        """Whether anything is to be asked with ``without_room``."""
        ...

    def without_room(self, entity: str, regions: frozenset[str] | None) -> NotAccepted | None:
        """Why no write of this entity can be taken now, whatever is in it; None where one may be."""
        ...

    async def write(self, command: Command) -> Answer: ...


class ReadsPort(Protocol):
    async def one(
        self, entity: Entity, record_id: str, *, regions: frozenset[str] | None, trace: Mapping[str, str]
    ) -> Read: ...

    async def by_ref(
        self,
        entity: Entity,
        system: str,
        native_id: str,
        *,
        regions: frozenset[str] | None,
        trace: Mapping[str, str],
    ) -> Read: ...

    async def page(self, entity: Entity, query: ListQuery, *, trace: Mapping[str, str]) -> ReadPage: ...


class OperationsPort(Protocol):
    async def get(
        self, operation_id: str, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> dict[str, Any]: ...

    async def cancel(
        self, operation_id: str, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> dict[str, Any]: ...


class DeliveriesPort(Protocol):
    async def list(
        self,
        *,
        state: str | None = None,
        system: str | None = None,
        entity: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Sequence[Mapping[str, Any]]: ...

    async def replay(
        self,
        delivery_id: str,
        actor: str,
        *,
        regions: frozenset[str] | None,
        entities: frozenset[str] | None,
    ) -> Mapping[str, Any]: ...


class HintsPort(Protocol):
    """Webhooks that say that something has changed in a system."""

    def expects(self, system: str) -> None:
        """Raises NotFoundHere where none are taken from this system."""
        ...

    async def hear(self, system: str, sent: Signed) -> WebhookTaken: ...
