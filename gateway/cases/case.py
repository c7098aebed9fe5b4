"""A case as the rest of the program sees it. Moments are microseconds UTC."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from gateway.cases.kinds import Kind, Resolution, offered

State = Literal["open", "closed"]
STATES: tuple[State, ...] = ("open", "closed")


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What a case is opened with. ``document`` is the operation's image; the money at stake is read from it."""

    kind: Kind
    operation_id: str
    record_id: str
    entity: str
    region: str
    delivery_id: str | None = None
    system: str | None = None
    role: str | None = None
    code: str | None = None
    message: str | None = None
    document: Mapping[str, Any] | None = None

    @property
    def subject(self) -> str:
        return self.delivery_id or self.operation_id


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What one person has decided and a second one has to."""

    resolution: Resolution
    by: str
    reason: str
    at: int


class Case(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    kind: Kind
    state: State
    owner: str
    entity: str
    region: str
    record_id: str
    operation_id: str
    delivery_id: str | None
    system: str | None
    role: str | None
    code: str | None
    message: str | None
    amount: Decimal | None
    currency: str | None
    opened_at: int
    due_at: int
    updated_at: int
    closed_at: int | None
    closed_by: str | None
    resolution: str | None  #: a Resolution, or what the ledger saw when it closed the case by itself
    reason: str | None
    accepted_until: int | None
    proposal: Proposal | None
    operation_state: str | None
    delivery_state: str | None

    @property
    def offers(self) -> tuple[Resolution, ...]:
        """The decisions that fit now."""
        if self.state != "open":
            return ()
        return offered(self.kind, role=self.role, delivery_state=self.delivery_state)


class CaseEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a case's history."""

    at: int
    actor: str
    event: str  #: opened, again, assigned, commented, proposed, looked_for, decided, closed
    detail: str | None
