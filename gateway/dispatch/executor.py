"""One upstream write from its acceptance to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from gateway.canonical import BY_NAME, Entity
from gateway.clock import Clock
from gateway.crash import crash_point
from gateway.database import Database, GroupCommit, to_micros
from gateway.database.rows import rows_by_id
from gateway.dispatch.admission import Admission
from gateway.dispatch.command import Answer, Command, Document
from gateway.dispatch.conclusion import Concluded
from gateway.dispatch.deliver import Deliverer
from gateway.dispatch.idempotency import Intent, KeptRefusal, Twin, intent_of
from gateway.dispatch.intake import Accepted, Intake
from gateway.dispatch.queues import COUNTED_AHEAD, WAITS, ahead_of
from gateway.dispatch.reads import Reads
from gateway.dispatch.records import Records
from gateway.dispatch.translate import references
from gateway.dispatch.waiting import LOOK_S, Waiting
from gateway.errors import (
    FieldError,
    GatewayError,
    Invalid,
    NotAccepted,
    RecordNotFound,
    ReferenceUnknown,
    Refused,
    StoreUnavailable,
    TwinRunning,
    by_name,
)
from gateway.ids import Ids
from gateway.ledger.slices import Slices
from gateway.ledger.states import OPERATION_ANSWERED, OperationState
from gateway.ledger.tables import operation
from gateway.routing.cohort import NewRoot, named, pinned, plain
from gateway.routing.ruleset import Ruleset
from gateway.routing.stage import Stage, System

#: Seconds between two looks for a write whose COMMIT was not answered.
LOOK_AGAIN_S = 0.25


class Executor:
    def __init__(
        self,
        *,
        database: Database,
        intake: Intake,
        deliverer: Deliverer,
        waiting: Waiting,
        records: Records,
        reads: Reads,
        slices: Slices,
        admission: Admission,
        ruleset: Ruleset,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._database = database
        self._intake: GroupCommit[Intent, Any] = GroupCommit(database, intake.step)
        self._looks: GroupCommit[str, Concluded | None] = GroupCommit(
            database, answered, limit=200, read_only=True
        )
        self._deliverer = deliverer
        self._waiting = waiting
        self._records = records
        self._reads = reads
        self._slices = slices
        self._admission = admission
        self._ruleset = ruleset
        self._clock = clock
        self._ids = ids
        #: Set where deliveries of this process may also be sent by others: then waiting callers also look.
        self.shared = not database.sqlite

    @property
    def crowded(self) -> bool:
        """Whether there is a system at which no caller can even wait any more."""
        return bool(self._admission.crowded())

    def without_room(self, entity: str, regions: frozenset[str] | None) -> NotAccepted | None:
        """Why no write of this entity can be taken now, in whichever of these regions it is, however long its caller
        would wait, and whatever is in it; or None."""
        leading = self._slices.authorities(entity, regions)
        if not leading or not leading <= self._admission.crowded():
            return None
        return self._admission.turned_away(min(leading))

    async def write(self, command: Command) -> Answer:
        """The answer for this write, or a GatewayError. Once accepted it goes on, whatever becomes of its caller."""
        entity = BY_NAME[command.entity]
        self._check_create(command)
        view = None if command.kind == "create" else await self._records.one(command.record_id or "")
        region = command.region if view is None else view.region
        if region is None or (command.regions is not None and plain(region) not in command.regions):
            # It is not there for this caller; intake has the words for that.
            return await self._write(entity, command)
        minted = None
        if view is None and len(self._slices.within(command.entity, region)) > 1:
            minted = self._ids.new(entity.prefix)
            region = await self._foreseen(command, region, minted)
        slice_ = self._slices.cached(command.entity, region)
        async with self._admission.place(slice_.authority.value, command.wait_s):
            refused = self._admission.refusal(slice_, view)
            if refused is not None:
                return await self._told_again(entity, command, refused)
            if view is not None and view.image is None and view.merged_into is None:
                await self._reads.ensure_image(entity, view.id, regions=command.regions)
            if slice_.storable and self._admission.hopeless(slice_.authority.value, command.wait_s):
                # Nobody waits for it, and the journal is to know that: a refusal later on is told to a person.
                command = msgspec.structs.replace(command, wait_s=0.0)
            return await self._write(entity, command, minted)

    async def _foreseen(self, command: Command, region: str, minted: str) -> str:
        """The place that intake will give a new record, as far as can be seen from here; it decides anew."""
        roots = named(command.entity, command.body)
        views = await self._records.views(record_id for ids in roots for record_id in ids)
        number = command.body.get("number")
        new = NewRoot(
            entity=command.entity,
            record_id=minted,
            number=None if number is None else str(number),
            legal_entity=command.legal_entity or self._ruleset.default_legal_entity(region),
        )
        known = {one.id: one.region for one in views.values()}
        there = {(command.entity, place) for place in self._slices.within(command.entity, region)}
        return pinned(self._ruleset.cohorts, region, new, roots, known, there)

    async def _told_again(self, entity: Entity, command: Command, refused: NotAccepted) -> Answer:
        """What is not accepted now may have been accepted before, under the same key: then that is told."""
        known = await self._admission.known(intent_of(command, entity_prefix=entity.prefix, ids=self._ids))
        if isinstance(known, Twin):
            return await self._replay(known.operation_id, command)
        if known is not None:
            raise retold(known.problem, replayed=True)
        raise refused

    async def _write(self, entity: Entity, command: Command, minted: str | None = None) -> Answer:
        body = await self._meant(entity, command)
        intent = intent_of(command, entity_prefix=entity.prefix, ids=self._ids, minted=minted)
        if body is not command.body:
            # Under its key it stays what its caller has sent.
            intent = msgspec.structs.replace(intent, command=msgspec.structs.replace(command, body=body))
        future = self._waiting.expect(intent.operation_id)
        accepting = self._intake.put(intent)
        # Sending begins with the commit and not with the caller, who may hang up in between.
        accepting.add_done_callback(self._begin)
        try:
            outcome = await asyncio.shield(accepting)
        except StoreUnavailable:
            self._waiting.forget(intent.operation_id)
            return await self._perhaps_accepted(intent, self._clock.monotonic() + command.wait_s)
        except BaseException:
            future.cancel()
            self._waiting.forget(intent.operation_id)
            raise
        if isinstance(outcome, Accepted):
            return await self._follow(outcome, command, future)
        self._waiting.forget(intent.operation_id)
        if isinstance(outcome, Twin):
            return await self._replay(outcome.operation_id, command)
        assert isinstance(outcome, KeptRefusal)
        raise retold(outcome.problem, replayed=True)

    # --- before ----------------------------------------------------------------------------------------------

    def _check_create(self, command: Command) -> None:
        if command.kind != "create":
            return
        region = self._ruleset.region(command.region or "")
        companies = [company.code for company in region.legal_entities]
        if command.legal_entity is not None and command.legal_entity not in companies:
            allowed = ", ".join(companies)
            raise Invalid(
                f"{command.legal_entity!r} is not a legal entity of {region.code}",
                errors=[FieldError(pointer="/legal_entity", code="unknown", message=f"allowed: {allowed}")],
            )
        taken = [name for name in command.external_refs if name in (System.LEGACY, System.CLOUD)]
        if taken:
            raise Invalid(
                "the references of the two systems are set by the gateway",
                errors=[
                    FieldError(
                        pointer=f"/external_refs/{name}",
                        code="read_only",
                        message=f"find a record that {name} already holds with GET …/by-ref/{name}/{{native_id}}",
                    )
                    for name in taken
                ],
            )

    async def _meant(self, entity: Entity, command: Command) -> Document:
        """The body with references to the records that are meant: a tombstone is taken for another one. Raises
        ReferenceUnknown."""
        body = command.body
        if command.kind == "transition":
            return body
        named = list(references(entity, body))
        if not named:
            return body
        known = await self._records.known([record_id for _, _, record_id in named])
        wrong = [
            FieldError(pointer=pointer, code="unknown_reference", message=f"there is no {owner} {record_id}")
            for pointer, owner, record_id in named
            if record_id not in known or known[record_id].entity != owner
        ]
        if wrong:
            raise ReferenceUnknown(f"{wrong[0].pointer}: {wrong[0].message}", errors=wrong)
        return await self._records.meant_in(entity, body)

    # --- after -----------------------------------------------------------------------------------------------

    async def _follow(
        self, accepted: Accepted, command: Command, future: asyncio.Future[Concluded]
    ) -> Answer:
        # What this process sends it also hears of; only another's deliveries have to be looked for.
        look = self._look(accepted.operation_id) if self.shared or accepted.claim is None else None
        first_look_s = LOOK_S if accepted.claim is None else 1.0
        wait_s = command.wait_s
        if accepted.slice.storable and self._admission.hopeless(accepted.slice.authority.value, wait_s):
            wait_s = 0.0
        concluded = await self._waiting.outcome(
            accepted.operation_id, future, wait_s, look=look, every_s=first_look_s
        )
        stage = accepted.slice.stage
        if concluded is None:
            return await self._pending(accepted.operation_id, accepted.record_id, stage)
        return _answer(concluded, command, accepted.record_id, stage, accepted.slice.authority)

    def _begin(self, accepting: asyncio.Future[Any]) -> None:
        if accepting.cancelled() or accepting.exception() is not None:
            return
        outcome = accepting.result()
        if not isinstance(outcome, Accepted):
            return
        crash_point("CP02")
        if outcome.claim is not None:
            self._deliverer.start(outcome.claim)
        else:
            self._deliverer.work_left.set()

    async def _perhaps_accepted(self, intent: Intent, until: float) -> Answer:
        """The answer to COMMIT was lost. What is on disk was accepted, and nobody here sends it: its lease runs out
        and the resolver takes it up. What is not, was not. It is looked for as long as the caller waits, ``until`` on
        the monotonic clock. Raises StoreUnavailable, which says so when it could not be found out."""

        def unit(connection: Connection) -> Any:
            return connection.execute(
                select(operation).where(operation.c.id == intent.operation_id)
            ).one_or_none()

        while True:
            try:
                row = await self._database.read(unit)
                if row is not None:
                    return await self._pending(row.id, row.record_id, Stage(row.stage))
                break
            except StoreUnavailable as lost:
                if self._clock.monotonic() + LOOK_AGAIN_S > until:
                    raise StoreUnavailable(
                        "nobody knows yet whether it was accepted: send it again with the same Idempotency-Key",
                        retry_after_s=1,
                        accepted="unknown",
                    ) from lost
            await self._clock.sleep(LOOK_AGAIN_S)
        raise StoreUnavailable(retry_after_s=1)

    def _look(self, operation_id: str) -> Any:
        return lambda: self._looks.submit(operation_id)

    async def _replay(self, operation_id: str, command: Command) -> Answer:
        def unit(connection: Connection) -> Any:
            return connection.execute(select(operation).where(operation.c.id == operation_id)).one()

        row = await self._database.read(unit)
        concluded = _concluded(row)
        if concluded is None:
            if to_micros(self._clock.now()) < row.waited_until:
                raise TwinRunning(
                    "its answer will be under the same key",
                    retry_after_s=1,
                    operation=operation_id,
                    location=f"/v1/operations/{operation_id}",
                )
            pending = await self._pending(operation_id, row.record_id, Stage(row.stage))
            return msgspec.structs.replace(pending, replayed=True)
        if concluded.refusal is not None:
            concluded.refusal.facts["replayed"] = True
        answer = _answer(concluded, command, row.record_id, Stage(row.stage), System(row.authority))
        return msgspec.structs.replace(answer, replayed=True)

    async def _pending(self, operation_id: str, record_id: str, stage: Stage) -> Answer:
        def unit(connection: Connection) -> tuple[Any, int]:
            row = connection.execute(
                select(
                    operation.c.state,
                    operation.c.confirming,
                    operation.c.entity,
                    operation.c.region,
                    operation.c.authority,
                ).where(operation.c.id == operation_id)
            ).one()
            if row.state not in WAITS:
                return row, 0
            return row, ahead_of(connection, operation_id, row.entity, row.region, most=COUNTED_AHEAD)

        queued: dict[str, Any] = {"queue_position": None, "expected_at": None}
        try:
            row, ahead = await self._database.read(unit)
        except StoreUnavailable:
            # It is on disk, so the answer is 202 also while the journal cannot be read.
            state, confirming = OperationState.ACCEPTED.value, False
        else:
            state, confirming = row.state, row.confirming
            if state in WAITS:
                now = self._clock.now()
                queued = self._admission.queued(row.entity, row.region, row.authority, now, ahead=ahead)
        return Answer(
            status=202,
            operation=operation_id,
            record_id=record_id,
            stage=stage,
            body={
                "operation": operation_id,
                "record": record_id,
                "state": state,
                "confirming": confirming,
                "href": f"/v1/operations/{operation_id}",
                **queued,
            },
        )


def _answer(
    concluded: Concluded, command: Command, record_id: str, stage: Stage, authority: System
) -> Answer:
    if concluded.refusal is not None:
        concluded.refusal.facts.setdefault("operation", concluded.operation_id)
        concluded.refusal.facts.setdefault("stage", stage.value)
        raise concluded.refusal
    if concluded.answer is None:
        raise RecordNotFound
    return Answer(
        status=201 if command.kind == "create" else 200,
        operation=concluded.operation_id,
        record_id=record_id,
        stage=stage,
        answered_by=authority,
        version=concluded.version,
        body=concluded.answer,
    )


def answered(connection: Connection, operation_ids: Any) -> list[Concluded | None]:
    """What became of operations, for those whose authority has spoken."""
    rows = rows_by_id(connection, operation, set(operation_ids))
    return [None if (row := rows.get(one)) is None else _concluded(row) for one in operation_ids]


def _concluded(row: Any) -> Concluded | None:
    state = OperationState(row.state)
    if state not in OPERATION_ANSWERED:
        return None
    answer: Document | None = None if row.answer is None else msgspec.json.decode(row.answer)
    refusal = None if row.problem is None or answer is not None else retold(msgspec.json.decode(row.problem))
    if state is OperationState.CANCELLED and refusal is None:
        refusal = Refused("the operation was cancelled before anything was sent")
    return Concluded(
        operation_id=row.id, state=state, counted=True, answer=answer, version=row.version, refusal=refusal
    )


def retold(problem: Mapping[str, Any], *, replayed: bool = False) -> GatewayError:
    """A kept refusal as the error that it was."""
    kind = by_name(problem["kind"])
    facts = {**problem["facts"], **({"replayed": True} if replayed else {})}
    return kind(problem["detail"], errors=msgspec.convert(problem["errors"], list[FieldError]), **facts)
