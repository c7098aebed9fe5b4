"""Merges and splits as people see them: requested with what they would change, approved by another person, aborted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import Connection

from gateway.access import within
from gateway.audit import reason_of
from gateway.audit import record as audited
from gateway.crash import crash_point
from gateway.crosswalk import merges
from gateway.crosswalk.merges import Merge, MergeKind, MergeState, Problem
from gateway.database import Database
from gateway.dispatch.claim import MICROS
from gateway.errors import (
    EvidenceChanged,
    FieldError,
    MergeOver,
    NotFoundHere,
    RecordNotFound,
    SecondPersonNeeded,
)
from gateway.ids import MERGE, Ids
from gateway.merging import doing, judging
from gateway.merging.pair import Pair, dependants, hold, owners, pair_of
from gateway.merging.wish import MergeWish
from gateway.switchover.evidence import agreed, changed
from gateway.switchover.switches import VALID_S

Scope = frozenset[str] | None  #: what a caller may see; None: all


class Merging:
    """``forget`` is called when who is meant by an id has changed; ``told`` when something is left to be sent."""

    def __init__(
        self, *, database: Database, ids: Ids, forget: Callable[[], Awaitable[int]], told: Callable[[], None]
    ) -> None:
        self._database = database
        self._ids = ids
        self._forget = forget
        self._told = told

    async def request(
        self, wish: MergeWish, *, actor: str, regions: Scope = None, entities: Scope = None
    ) -> Merge:
        """Asks for a merge that another person is to approve. Raises RecordNotFound, Invalid without a reason, and
        MergeRefused with each condition that does not hold."""
        reason = reason_of(wish.reason)
        ids = (wish.loser, wish.winner)

        def look(connection: Connection) -> tuple[dict[str, tuple[str, str]], dict[str, int]]:
            found = owners(connection, ids)
            there = found.get(wish.loser)
            return found, {} if there is None else dependants(connection, there[0], wish.loser)

        found, refer = await self._database.read(look)
        for id_ in ids:
            if id_ not in found or not within(*found[id_], entities, regions):
                raise RecordNotFound(f"there is no record {id_}")
        if failures := judging.apart(wish.loser, wish.winner, found):
            raise judging.refused(failures, "they are not one")

        def unit(connection: Connection) -> Merge:
            slice_ = hold(connection, found[wish.loser])
            now = self._database.now(connection)
            failures = self._waiting(connection, ids, now=now)
            pair = pair_of(connection, slice_, wish.loser, wish.winner)
            failures += judging.against_merge(pair, both=wish.both)
            if failures:
                raise judging.refused(failures, "they cannot be merged now")
            evidence = {**judging.of_merge(pair, both=wish.both), "dependants": refer}
            return self._add(
                connection, MergeKind.MERGE, pair, evidence, reason=reason, both=wish.both, actor=actor, now=now
            )

        return await self._database.transaction(unit)

    async def split(
        self, id_: str, *, reason: str, actor: str, regions: Scope = None, entities: Scope = None
    ) -> Merge:
        """Asks for the way back from a merge that is done. Raises NotFoundHere, Invalid without a reason, MergeOver for
        one that is not done or was taken back, and MergeRefused with what stands against it."""
        reason = reason_of(reason)
        done = await self.one(id_, regions=regions, entities=entities)

        def look(connection: Connection) -> tuple[tuple[str, str], dict[str, int]]:
            # Both may have come into a cohort since they were merged.
            place = owners(connection, (done.loser,))[done.loser]
            return place, dependants(connection, done.entity, done.loser)

        key, refer = await self._database.read(look)

        def unit(connection: Connection) -> Merge:
            slice_ = hold(connection, key)
            now = self._database.now(connection)
            there = self._done(connection, id_)
            failures = self._waiting(connection, (there.loser, there.winner), now=now)
            pair = pair_of(connection, slice_, there.loser, there.winner)
            failures += judging.against_split(connection, pair, there)
            if failures:
                raise judging.refused(failures, "they cannot be parted")
            evidence = {**judging.of_split(pair, there), "dependants": refer}
            return self._add(
                connection, MergeKind.SPLIT, pair, evidence, reason=reason, both=there.both, actor=actor, now=now,
                undoes=there.id,
            )  # fmt: skip

        return await self._database.transaction(unit)

    async def approve(
        self, id_: str, *, evidence_hash: str, actor: str, regions: Scope = None, entities: Scope = None
    ) -> Merge:
        """Approves what ``evidence_hash`` stands for, and does it. To approve it twice is no error. Raises
        NotFoundHere, SecondPersonNeeded for whoever asked for it, MergeOver when it has ended or was not approved in
        time, MergeRefused with what stands against it by now, and EvidenceChanged, with what would be changed renewed,
        when that is not what it was."""
        asked = await self.one(id_, regions=regions, entities=entities)
        if asked.state is MergeState.REQUESTED and asked.requested_by == actor:
            raise SecondPersonNeeded(
                f"{actor} has asked for this {asked.kind.value}; another person has to approve it",
                requested_by=actor,
            )

        def unit(connection: Connection) -> Merge | EvidenceChanged:
            slice_ = hold(connection, asked.key)
            there = self._held(connection, id_)
            if there.state is MergeState.DONE and there.approved_by == actor:
                return there
            if there.state is not MergeState.REQUESTED:
                raise MergeOver(f"it is {there.state.value}", state=there.state.value)
            now = self._database.now(connection)
            if now >= there.expires_at:
                raise MergeOver("the time to approve it is over; ask for it again", state=there.state.value)
            pair = pair_of(connection, slice_, there.loser, there.winner)
            done = None if there.undoes is None else self._done(connection, there.undoes)
            seen, failures = self._judged(connection, there, done, pair)
            if failures:
                raise judging.refused(failures, "it cannot be done now")
            hashed = judging.hash_of(seen)
            if hashed != there.evidence_hash:
                moved = ", ".join(changed(there.evidence, seen))
                renewed = {**seen, "dependants": there.evidence["dependants"]}
                merges.change(connection, there, evidence=renewed, evidence_hash=hashed)
                return EvidenceChanged(f"what has moved since the request: {moved}", evidence_hash=hashed)
            agreed("evidence_hash", evidence_hash, hashed, f"hash of this {there.kind.value}")
            changes = None
            if done is None:
                changes = doing.merge(connection, there, pair, by=actor, ids=self._ids, at=now)
            else:
                doing.split(connection, there, done, pair, by=actor, at=now)
                merges.change(connection, done, undone_by=there.id)
            self._audit(connection, there, at=now, actor=actor, act="approve")
            ended = merges.change(
                connection, there, state=MergeState.DONE, approved_by=actor, approved_at=now, moved=changes,
                ended_at=now, ended_by=actor,
            )  # fmt: skip
            crash_point("CP33")
            return ended

        ended = await self._database.transaction(unit)
        if isinstance(ended, EvidenceChanged):
            raise ended
        await self._forget()
        self._told()
        return ended

    async def abort(
        self, id_: str, *, reason: str, actor: str, regions: Scope = None, entities: Scope = None
    ) -> Merge:
        """Ends one that is not done; both records stay as they are. To abort it twice is no error. Raises NotFoundHere,
        and MergeOver when it is done."""
        words = reason_of(reason)
        asked = await self.one(id_, regions=regions, entities=entities)

        def unit(connection: Connection) -> Merge:
            hold(connection, asked.key)
            there = self._held(connection, id_)
            if there.state is MergeState.DONE:
                raise MergeOver("it is done; ask for the way back", state=there.state.value)
            if there.state is MergeState.ABORTED:
                return there
            now = self._database.now(connection)
            self._audit(connection, there, at=now, actor=actor, act="abort")
            return self._ended(connection, there, Problem(code="aborted", message=words), by=actor, at=now)

        return await self._database.transaction(unit)

    async def one(self, id_: str, *, regions: Scope = None, entities: Scope = None) -> Merge:
        """Raises NotFoundHere; a merge outside ``regions`` and ``entities`` is not there."""
        found = await self._database.read(lambda conn: merges.one(conn, id_))
        if found is None or not within(found.entity, found.region, entities, regions):
            raise NotFoundHere(f"there is no merge {id_}")
        return found

    async def page(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        state: str | None = None,
        regions: Scope = None,
        entities: Scope = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Sequence[Merge]:
        """The newest first."""
        return await self._database.read(
            lambda conn: merges.page(
                conn,
                entity=entity,
                region=region,
                state=state,
                regions=regions,
                entities=entities,
                after=after,
                limit=limit,
            )
        )

    # --- in a commit -----------------------------------------------------------------------------------------------

    def _waiting(self, connection: Connection, ids: tuple[str, ...], *, now: int) -> list[FieldError]:
        """What waits already for another person. One whose time is over is ended here."""
        failures: list[FieldError] = []
        for one in merges.waiting(connection, ids):
            if now >= one.expires_at:
                problem = Problem(code="expired", message="nobody has approved it in time")
                self._ended(connection, one, problem, by="gateway", at=now)
            else:
                message = f"{one.requested_by} has asked for {one.id}, which is about one of them: approve or abort it"
                failures.append(FieldError(pointer="/into", code="waiting", message=message))
        return failures

    @staticmethod
    def _ended(connection: Connection, one: Merge, problem: Problem, *, by: str, at: int) -> Merge:
        return merges.change(
            connection, one, state=MergeState.ABORTED, problem=problem, ended_at=at, ended_by=by
        )

    @staticmethod
    def _held(connection: Connection, id_: str) -> Merge:
        there = merges.one(connection, id_, lock=True)
        assert there is not None
        return there

    def _done(self, connection: Connection, id_: str) -> Merge:
        there = self._held(connection, id_)
        if there.kind is not MergeKind.MERGE or there.state is not MergeState.DONE:
            raise MergeOver("only a merge that is done can be taken back", state=there.state.value)
        if there.undone_by is not None:
            raise MergeOver(f"it was taken back by {there.undone_by}", state=there.state.value)
        return there

    @staticmethod
    def _judged(
        connection: Connection, there: Merge, done: Merge | None, pair: Pair
    ) -> tuple[dict[str, Any], list[FieldError]]:
        if done is None:
            return judging.of_merge(pair, both=there.both), judging.against_merge(pair, both=there.both)
        return judging.of_split(pair, done), judging.against_split(connection, pair, done)

    def _add(
        self,
        connection: Connection,
        kind: MergeKind,
        pair: Pair,
        evidence: dict[str, Any],
        *,
        reason: str,
        both: bool,
        actor: str,
        now: int,
        undoes: str | None = None,
    ) -> Merge:
        made = Merge(
            id=self._ids.new(MERGE),
            kind=kind,
            entity=pair.entity,
            region=pair.slice.region,
            loser=pair.loser.id,
            winner=pair.winner.id,
            state=MergeState.REQUESTED,
            reason=reason,
            both=both,
            evidence=evidence,
            evidence_hash=judging.hash_of(evidence),
            undoes=undoes,
            requested_by=actor,
            requested_at=now,
            expires_at=now + VALID_S * MICROS,
        )
        merges.add(connection, made)
        self._audit(connection, made, at=now, actor=actor, act="request")
        return made

    @staticmethod
    def _audit(connection: Connection, one: Merge, *, at: int, actor: str, act: str) -> None:
        audited(
            connection,
            at=at,
            actor=actor,
            action=f"{one.kind.value}.{act}",
            subject=one.id,
            detail={
                "slice": f"{one.entity}/{one.region}",
                "loser": one.loser,
                "winner": one.winner,
                "links": one.evidence["links"],
                "number": one.evidence["number"],
                "reason": one.reason,
                "evidence": one.evidence_hash,
            },
        )
