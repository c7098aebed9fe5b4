"""The queue as HTTP, console and command line use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec
from sqlalchemy import Connection

from gateway.audit import reason_of
from gateway.audit import record as audited
from gateway.cases import queries, store
from gateway.cases.case import Case, CaseEvent
from gateway.cases.queries import Attempt, Filter
from gateway.cases.resolve import LONGEST_REASON, Decision, Edited, Release, decide, locked, visible
from gateway.cases.tables import case_
from gateway.database import Database
from gateway.errors import DecisionStale, FieldError, Invalid

T = TypeVar("T")

LONGEST_OWNER = 255


class Detail(msgspec.Struct, frozen=True, kw_only=True):
    """A case with its history, and every send of its delivery."""

    case: Case
    events: tuple[CaseEvent, ...]
    attempts: tuple[Attempt, ...]


class Cases:
    """``release`` gives up the numbers that a refused write had reserved; ``edited`` does what is decided about an edit
    made in a system itself; ``told`` hears when a decision has left something to be sent."""

    def __init__(
        self, *, database: Database, release: Release, edited: Edited, told: Callable[[], None]
    ) -> None:
        self._database = database
        self._release = release
        self._edited = edited
        self._told = told

    async def page(
        self, narrowed: Filter, *, after: tuple[int, str] | None = None, limit: int = 50
    ) -> list[Case]:
        """Cases by their deadline; ``after`` is deadline and id of the last one of the page before."""
        return await self._database.read(lambda conn: queries.page(conn, narrowed, after=after, limit=limit))

    async def one(
        self, case_id: str, *, regions: frozenset[str] | None = None, entities: frozenset[str] | None = None
    ) -> Detail:
        """Raises NotFoundHere, also outside the caller's reach."""
        return await self._database.read(
            lambda conn: _detail(conn, visible(conn, case_id, regions=regions, entities=entities))
        )

    async def open_by_kind(self) -> dict[str, int]:
        return await self._database.read(store.open_by_kind)

    async def resolve(self, decision: Decision) -> Detail:
        """Carries the decision out, or keeps it as a proposal where a second person has to decide the same. Raises
        NotFoundHere, Invalid and DecisionStale."""
        decision = msgspec.structs.replace(decision, reason=reason_of(decision.reason, most=LONGEST_REASON))

        def unit(connection: Connection) -> Detail:
            at = self._database.now(connection)
            decide(connection, decision, at=at, release=self._release, edited=self._edited)
            return _again(connection, decision.case_id)

        detail = await self._database.transaction(unit)
        self._told()
        return detail

    async def assign(
        self,
        case_id: str,
        owner: str,
        *,
        by: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Detail:
        """Gives the case to a person or a role. Raises NotFoundHere, Invalid, and DecisionStale when it is closed."""
        named = " ".join(owner.split())
        if not named or len(named) > LONGEST_OWNER:
            message = f"name who has it, in 1 to {LONGEST_OWNER} characters"
            raise Invalid(message, errors=[FieldError(pointer="/owner", code="owner", message=message)])

        def change(connection: Connection, case: Case, at: int) -> None:
            if case.state != "open":
                raise DecisionStale(f"the case was closed by {case.closed_by}: {case.resolution}")
            connection.execute(case_.update().where(case_.c.id == case.id).values(owner=named, updated_at=at))
            detail = f"{case.owner} → {named}"
            store.add_event(connection, case_id, at=at, actor=by, event="assigned", detail=detail)
            audited(
                connection,
                at=at,
                actor=by,
                action="case.assign",
                subject=case_id,
                detail={"before": case.owner, "after": named},
            )

        return await self._change(case_id, change, regions=regions, entities=entities)

    async def comment(
        self,
        case_id: str,
        text: str,
        *,
        by: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Detail:
        """Adds a line to the history, also of a closed case. Raises NotFoundHere and Invalid."""
        said = reason_of(text, most=LONGEST_REASON)

        def change(connection: Connection, case: Case, at: int) -> None:
            store.add_event(connection, case.id, at=at, actor=by, event="commented", detail=said)

        return await self._change(case_id, change, regions=regions, entities=entities)

    async def _change(
        self,
        case_id: str,
        change: Callable[[Connection, Case, int], None],
        *,
        regions: frozenset[str] | None,
        entities: frozenset[str] | None,
    ) -> Detail:
        def unit(connection: Connection) -> Detail:
            visible(connection, case_id, regions=regions, entities=entities)
            change(connection, locked(connection, case_id), self._database.now(connection))
            return _again(connection, case_id)

        return await self._database.transaction(unit)


def _again(connection: Connection, case_id: str) -> Detail:
    return _detail(connection, visible(connection, case_id, regions=None, entities=None))


def _detail(connection: Connection, case: Case) -> Detail:
    return Detail(
        case=case,
        events=queries.events(connection, case.id),
        attempts=queries.attempts(connection, case.delivery_id),
    )
