"""T1: a write is accepted. One commit, shared by all writes that wait, and nothing has been sent yet.

The rule is read inside the transaction, under the slice's shared lock, so a changed rule is in force for the very
next write. A new record gets its place here, under the same lock: where its region has cohorts, one more statement
reads those of the records that it names. What is refused here leaves nothing behind but, where a key was given, the
refusal under that key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from gateway.canonical import BY_NAME
from gateway.crash import crash_point
from gateway.crosswalk.store import links_of
from gateway.database import Database
from gateway.database.rows import rows_among
from gateway.dispatch import idempotency, natural_keys
from gateway.dispatch.accepted import Rows
from gateway.dispatch.change import post_image, whole_change
from gateway.dispatch.claim import MICROS, Claim
from gateway.dispatch.command import Document, Kind
from gateway.dispatch.idempotency import Intent, KeptRefusal, Twin
from gateway.dispatch.known_records import merged
from gateway.errors import (
    FieldError,
    GatewayError,
    NaturalKeyTaken,
    PendingWrite,
    RecordNotFound,
    UnknownRegion,
    VersionStale,
)
from gateway.ledger import journal, slices
from gateway.ledger.slices import Slice
from gateway.ledger.tables import record
from gateway.routing.cohort import Cohorts, NewRoot, cohort_of, named, pinned, plain
from gateway.routing.plan import PLANS


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The write is on disk. ``claim`` is set when the caller's own process is to send it now."""

    operation_id: str
    record_id: str
    slice: Slice
    claim: Claim | None


Outcome = Accepted | Twin | KeptRefusal


class Intake:
    """The T1 step. ``lease_s`` is each system's lease; ``default_legal_entity`` gives a region's first; ``cohorts``
    say which new roots begin in one."""

    def __init__(
        self,
        *,
        database: Database,
        lease_s: Mapping[str, float],
        default_legal_entity: Mapping[str, str],
        cohorts: Cohorts = Cohorts(),  # noqa: B008 - frozen
    ) -> None:
        self.cohorts = cohorts
        self._database = database
        self._lease_s = lease_s
        self._default_legal_entity = default_legal_entity

    def step(self, connection: Connection, intents: Sequence[Intent]) -> list[Outcome | Exception]:
        outcomes = _Batch(self, connection, intents).run()
        crash_point("CP01")
        return outcomes

    @property
    def database(self) -> Database:
        return self._database

    def lease_until(self, system: str, now: int) -> int:
        return now + int(self.lease_s(system) * MICROS)

    def lease_s(self, system: str) -> float:
        return self._lease_s.get(system, 60.0)

    def legal_entity(self, region: str) -> str | None:
        return self._default_legal_entity.get(region)


class _Batch:
    def __init__(self, intake: Intake, connection: Connection, intents: Sequence[Intent]) -> None:
        self.intake = intake
        self.connection = connection
        self.intents = intents
        self.outcomes: list[Outcome | Exception | None] = [None] * len(intents)
        self.now = 0

    def run(self) -> list[Outcome | Exception]:
        known = self._known_regions()
        keys = {key for key in (self._slice_key(intent, known) for intent in self.intents) if key is not None}
        slices.lock_shared(self.connection, keys)
        # A new statement after the lock: a rule that changed while we waited for it is the one that we see.
        self.slices = slices.read_regions(self.connection, keys)
        self.narrowed = {(entity, plain(place)) for entity, place in self.slices if cohort_of(place) is not None}
        self.began = self.intake.database.clock.monotonic()
        self.now = self.intake.database.now(self.connection)
        self.rows = Rows(now=self.now)
        answered = idempotency.reserve(self.connection, self.intents, now=self.now)
        for index, answer in answered.items():
            self.outcomes[index] = answer
        live = [index for index, outcome in enumerate(self.outcomes) if outcome is None]
        self.records = journal.records_for_update(
            self.connection,
            [self.intents[index].record_id for index in live if self.intents[index].command.kind != "create"],
        )
        self.lanes = journal.lanes_for_update(self.connection, self.records)
        self.behind = self._behind()
        self.links = links_of(self.connection, self.records)
        self.places = self._places(live)
        taken = self._natural_keys(live)
        for index in live:
            intent = self.intents[index]
            try:
                if index in taken:
                    raise NaturalKeyTaken(
                        f"{taken[index][0]!r} is the number of another record",
                        errors=[
                            FieldError(pointer="/number", code="taken", message="use the record that has it")
                        ],
                        location=taken[index][1],
                    )
                self.outcomes[index] = self._accept(intent)
            except GatewayError as refused:
                self.outcomes[index] = refused
        refused = idempotency.forget(
            self.connection, [(self.intents[index], self.outcomes[index]) for index in live]
        )
        accepted = [outcome for outcome in self.outcomes if isinstance(outcome, Accepted)]
        operations = {one.operation_id for one in accepted}
        for index, twin in idempotency.without_operation(answered, operations).items():
            self.outcomes[index] = twin
        self.rows.write(self.connection, {one.record_id for one in accepted})
        natural_keys.release(self.connection, refused)
        return [outcome for outcome in self.outcomes if outcome is not None]

    # --- what is there already -------------------------------------------------------------------------------

    def _known_regions(self) -> dict[str, str]:
        """Where the records are that are to be changed, so that their slices can be locked. A record's region never
        changes, and its cohorts share its lock, so this needs none."""
        wanted = {intent.record_id for intent in self.intents if intent.command.kind != "create"}
        if not wanted:
            return {}
        rows = rows_among(self.connection, record, {"id": sorted(wanted)}, columns=("id", "region"))
        return {row.id: row.region for row in rows}

    def _slice_key(self, intent: Intent, known: Mapping[str, str]) -> tuple[str, str] | None:
        command = intent.command
        region = command.region if command.kind == "create" else known.get(intent.record_id)
        return None if region is None else (command.entity, region)

    def _places(self, live: Sequence[int]) -> dict[str, str]:
        """Where the records are that creates in a region with cohorts name. Nobody moves one while the lock is held."""
        wanted = {
            record_id
            for index in live
            if (command := self.intents[index].command).kind == "create"
            and (command.entity, command.region) in self.narrowed
            for ids in named(command.entity, command.body)
            for record_id in ids
        }
        if not wanted:
            return {}
        rows = rows_among(self.connection, record, {"id": sorted(wanted)}, columns=("id", "region"))
        return {row.id: row.region for row in rows}

    def _place(self, intent: Intent) -> str | None:
        """Where the record is, or is to be; None: it is not there."""
        command = intent.command
        if command.kind != "create":
            row = self.records.get(intent.record_id)
            return None if row is None or row.entity != command.entity else row.region
        region = command.region or ""
        if (command.entity, region) not in self.narrowed:
            return region
        number = command.body.get("number")
        new = NewRoot(
            entity=command.entity,
            record_id=intent.record_id,
            number=None if number is None else str(number),
            legal_entity=command.legal_entity or self.intake.legal_entity(region),
        )
        roots = named(command.entity, command.body)
        return pinned(self.intake.cohorts, region, new, roots, self.places, self.slices)

    def _behind(self) -> set[journal.LaneKey]:
        """Lanes in which something is open that a write may not pass. An authority that has come to the record's last
        write has nothing open, so there are few to look for: where a write was refused, or where, before a move of
        authority, a mirror's delivery came to wait for a person."""
        wanted: set[str] = set()
        for row in self.records.values():
            slice_ = self.slices.get((row.entity, row.region))
            lane = None if slice_ is None else self.lanes.get((row.id, slice_.authority.value))
            if lane is not None and row.open_writes == 0 and lane.applied_seq < row.seq:
                wanted.add(row.id)
        return set(journal.open_deliveries(self.connection, wanted))

    def _natural_keys(self, live: Sequence[int]) -> dict[int, tuple[str, str]]:
        """Reserves the keys of creates, and says which were taken: index -> (value, id of the holder)."""
        wanted: dict[natural_keys.Key, list[int]] = {}  # all of one record: it may be wanted more than once
        taken: dict[int, tuple[str, str]] = {}
        for index in live:
            intent = self.intents[index]
            command = intent.command
            name = BY_NAME[command.entity].natural_key
            if command.kind == "transition" or name is None or not command.body.get(name):
                continue
            if command.kind == "create":
                scope = command.legal_entity or self.intake.legal_entity(command.region or "") or ""
            else:
                row = self.records.get(intent.record_id)
                if row is None:
                    continue
                scope = row.legal_entity or ""
            key = (command.entity, scope, str(command.body[name]))
            before = wanted.setdefault(key, [])
            first = self.intents[before[0]].record_id if before else intent.record_id
            if first != intent.record_id:
                taken[index] = (key[2], first)
            else:
                before.append(index)
        if not wanted:
            return taken
        holders = natural_keys.reserve(
            self.connection, {key: self.intents[indexes[0]].record_id for key, indexes in wanted.items()}
        )
        for key, indexes in wanted.items():
            holder = holders.get(key)
            if holder is not None and holder != self.intents[indexes[0]].record_id:
                taken.update(dict.fromkeys(indexes, (key[2], holder)))
        return taken

    # --- one write -------------------------------------------------------------------------------------------

    def _accept(self, intent: Intent) -> Accepted:
        command = intent.command
        place = self._place(intent)
        if place is None:
            raise RecordNotFound
        key = (command.entity, place)
        if command.regions is not None and plain(place) not in command.regions:
            raise (
                RecordNotFound
                if command.kind != "create"
                else UnknownRegion(f"{command.region!r} is not one of yours")
            )
        slice_ = self.slices.get(key)
        if slice_ is None:
            raise UnknownRegion(f"{place!r} has no rule for {command.entity}")
        if command.kind == "create":
            legal_entity = command.legal_entity or self.intake.legal_entity(plain(place))
            owner = self.rows.new_record(intent, key, legal_entity)
            base: Document | None = None
        else:
            owner = self._known_record(intent)
            legal_entity = owner["legal_entity"]
            base = None if owner["image"] is None else msgspec.json.decode(owner["image"])
        change = command.body
        if command.kind == "create":
            change = {**change, "legal_entity": legal_entity}
        image: Document | None = None
        if owner["open_writes"] == 0:
            image = post_image(BY_NAME[command.entity], command.kind, base, change)
        seq = owner["seq"] + 1
        owner["seq"] = seq
        owner["open_writes"] += 1
        authority = PLANS[slice_.stage].authority.value
        idle = image is not None and (intent.record_id, authority) not in self.behind
        claimed = self.rows.take_lane(intent, authority, slice_, self.lanes, idle=idle)
        if claimed:
            assert image is not None
            change = whole_change(command.kind, base, image, change)
        lease_until = self.intake.lease_until(authority, self.now)
        self.rows.accept(intent, slice_, seq, image, change, claimed=claimed, lease_until=lease_until)
        claim = None
        if claimed:
            assert image is not None
            claim = self._claim(intent, slice_, seq, image, change, legal_entity)
        return Accepted(
            operation_id=intent.operation_id, record_id=intent.record_id, slice=slice_, claim=claim
        )

    def _known_record(self, intent: Intent) -> dict[str, Any]:
        row = self.records.get(intent.record_id)
        if row is None or row.entity != intent.command.entity or (row.version == 0 and row.open_writes == 0):
            raise RecordNotFound
        if row.merged_into is not None:
            raise merged(row.merged_into)
        state = self.rows.record_updates.get(intent.record_id)
        if state is None:
            state = dict(row._mapping)  # pyright: ignore[reportPrivateUsage] - a Row's public mapping view
        if intent.command.if_match is not None:
            if state["open_writes"] > 0:
                raise PendingWrite(retry_after_s=1)
            if state["version"] != intent.command.if_match:
                raise VersionStale(
                    f"it is at version {state['version']}; read it again and decide anew",
                    version=state["version"],
                )
        self.rows.record_updates[intent.record_id] = state
        return state

    def _claim(
        self,
        intent: Intent,
        slice_: Slice,
        seq: int,
        image: Document,
        change: Document,
        legal_entity: str | None,
    ) -> Claim:
        kind: Kind = intent.command.kind
        authority = PLANS[slice_.stage].authority.value
        held = self.links.get((intent.record_id, authority))
        return Claim(
            delivery_id=intent.authority_delivery,
            attempt=1,
            maybe_sent=0,
            operation_id=intent.operation_id,
            record_id=intent.record_id,
            entity=slice_.entity,
            region=slice_.region,
            legal_entity=legal_entity,
            system=authority,
            role="authority",
            seq=seq,
            kind=kind,
            marker=intent.marker,
            accepted_at=self.now,
            image=image,
            change=change,
            native_id=None if held is None else held.native_id,
            native_version=None if held is None else held.native_version,
            lease_until=self.intake.lease_until(authority, self.now),
            ends_at=self.began + self.intake.lease_s(authority),
            storable=slice_.storable,
            trace=intent.command.trace,
        )
