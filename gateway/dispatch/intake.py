"""T1: a write is accepted. One commit, shared by all writes that wait, and nothing has been sent yet.

The rule is read inside the transaction, under the slice's shared lock, so a changed rule is in force for the very
next write. What is refused here leaves nothing behind but, where a key was given, the refusal under that key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from gateway.canonical import BY_NAME
from gateway.crosswalk.store import links_of
from gateway.database import Database, among
from gateway.dispatch import natural_keys
from gateway.dispatch.change import post_image, whole_change
from gateway.dispatch.claim import MICROS, Claim
from gateway.dispatch.command import Command, Document, Kind
from gateway.errors import (
    FieldError,
    GatewayError,
    KeyReused,
    NaturalKeyTaken,
    PendingWrite,
    RecordNotFound,
    TwinRunning,
    UnknownRegion,
    VersionStale,
)
from gateway.ids import DELIVERY, OPERATION, Ids
from gateway.ledger import journal, slices
from gateway.ledger.slices import Slice
from gateway.ledger.states import DeliveryState, OperationState
from gateway.ledger.tables import attempt, delivery, idem, lane, operation, record
from gateway.routing.plan import PLANS

KEPT_S = 7 * 24 * 3600  #: how long an idempotency key is remembered


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A command with everything minted that the journal will know it by."""

    command: Command
    operation_id: str
    record_id: str
    authority_delivery: str
    mirror_delivery: str
    marker: str
    scope: str | None
    fingerprint: str


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The write is on disk. ``claim`` is set when the caller's own process is to send it now."""

    operation_id: str
    record_id: str
    slice: Slice
    claim: Claim | None


class Twin(msgspec.Struct, frozen=True, kw_only=True):
    """The same request was accepted before, as this operation."""

    operation_id: str


class KeptRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """The same request was refused before, with this."""

    problem: dict[str, Any]


Outcome = Accepted | Twin | KeptRefusal


def intent_of(command: Command, *, entity_prefix: str, ids: Ids) -> Intent:
    """Mints ids and marker, and hashes the key's scope and the request's fingerprint."""
    scope = None
    if command.idempotency_key is not None:
        scope = _digest(command.client, command.method, command.route, command.idempotency_key)
    fingerprint = _digest(
        command.method,
        command.route,
        command.record_id or "",
        "" if command.if_match is None else str(command.if_match),
        msgspec.json.encode(
            [command.region, command.legal_entity, command.external_refs, command.body], order="deterministic"
        ).decode(),
    )
    return Intent(
        command=command,
        operation_id=ids.new(OPERATION),
        record_id=command.record_id or ids.new(entity_prefix),
        authority_delivery=ids.new(DELIVERY),
        mirror_delivery=ids.new(DELIVERY),
        marker=ids.marker(),
        scope=scope,
        fingerprint=fingerprint,
    )


def _digest(*parts: str) -> str:
    whole = hashlib.sha256()
    for part in parts:
        # The length keeps ("ab", "c") apart from ("a", "bc").
        whole.update(f"{len(part)}:".encode())
        whole.update(part.encode("utf-8", "surrogatepass"))
    return whole.hexdigest()


class Intake:
    """The T1 step. ``lease_s`` is each system's lease; ``default_legal_entity`` gives a region's first."""

    def __init__(
        self, *, database: Database, lease_s: Mapping[str, float], default_legal_entity: Mapping[str, str]
    ) -> None:
        self._database = database
        self._lease_s = lease_s
        self._default_legal_entity = default_legal_entity

    def step(self, connection: Connection, intents: Sequence[Intent]) -> list[Outcome | Exception]:
        return _Batch(self, connection, intents).run()

    @property
    def database(self) -> Database:
        return self._database

    def lease_until(self, system: str, now: int) -> int:
        return now + int(self.lease_s(system) * MICROS)

    def lease_s(self, system: str) -> float:
        return self._lease_s.get(system, 60.0)

    def legal_entity(self, region: str) -> str | None:
        return self._default_legal_entity.get(region)


class _Rows:
    """What one batch will write, table by table."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.record_updates: dict[str, dict[str, Any]] = {}
        self.operations: list[dict[str, Any]] = []
        self.deliveries: list[dict[str, Any]] = []
        self.lanes: dict[journal.LaneKey, dict[str, Any]] = {}
        self.lane_updates: dict[journal.LaneKey, dict[str, Any]] = {}
        self.attempts: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []


class _Batch:
    def __init__(self, intake: Intake, connection: Connection, intents: Sequence[Intent]) -> None:
        self.intake = intake
        self.connection = connection
        self.intents = intents
        self.outcomes: list[Outcome | Exception | None] = [None] * len(intents)
        self.rows = _Rows()
        self.now = 0

    def run(self) -> list[Outcome | Exception]:
        known = self._known_regions()
        keys = {key for key in (self._slice_key(intent, known) for intent in self.intents) if key is not None}
        slices.lock_shared(self.connection, keys)
        # A new statement after the lock: a rule that changed while we waited for it is the one that we see.
        self.slices = slices.read(self.connection, keys)
        self.began = self.intake.database.clock.monotonic()
        self.now = self.intake.database.now(self.connection)
        self._keys()
        live = [index for index, outcome in enumerate(self.outcomes) if outcome is None]
        self.records = journal.records_for_update(
            self.connection,
            [self.intents[index].record_id for index in live if self.intents[index].command.kind != "create"],
        )
        lane_keys = [(record_id, system) for record_id in self.records for system in ("legacy", "cloud")]
        self.lanes = journal.lanes_for_update(self.connection, lane_keys)
        self.links = links_of(self.connection, self.records)
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
                self.outcomes[index] = self._accept(intent, known)
            except GatewayError as refused:
                self.outcomes[index] = refused
        refused = self._forget_keys(live)
        self._write()
        natural_keys.release(self.connection, refused)
        return [outcome for outcome in self.outcomes if outcome is not None]

    # --- what is there already -------------------------------------------------------------------------------

    def _known_regions(self) -> dict[str, str]:
        """Regions of the records that are to be changed. A record's region never changes, so this needs no lock."""
        wanted = {intent.record_id for intent in self.intents if intent.command.kind != "create"}
        if not wanted:
            return {}
        rows = self.connection.execute(select(record.c.id, record.c.region).where(among(record.c.id, wanted)))
        return {row.id: row.region for row in rows}

    def _slice_key(self, intent: Intent, known: Mapping[str, str]) -> tuple[str, str] | None:
        command = intent.command
        region = command.region if command.kind == "create" else known.get(intent.record_id)
        return None if region is None else (command.entity, region)

    def _keys(self) -> None:
        """Idempotency keys: a new one is reserved for its operation; a known one answers for it."""
        rows: dict[str, dict[str, Any]] = {}
        for intent in self.intents:
            if intent.scope is not None and intent.scope not in rows:
                rows[intent.scope] = {
                    "scope": intent.scope,
                    "fingerprint": intent.fingerprint,
                    "operation_id": intent.operation_id,
                    "created_at": self.now,
                    "expires_at": self.now + KEPT_S * MICROS,
                }
        if not rows:
            return
        fresh = journal.insert_new(self.connection, idem, [rows[scope] for scope in sorted(rows)], "scope")
        old = set(rows) - fresh
        before = {}
        if old:
            before = {
                row.scope: row
                for row in self.connection.execute(select(idem).where(among(idem.c.scope, old)))
            }
        owners: dict[str, str] = {}
        for index, intent in enumerate(self.intents):
            if intent.scope is None:
                continue
            if intent.scope in fresh and intent.scope not in owners:
                owners[intent.scope] = intent.operation_id
                continue
            there = before.get(intent.scope)
            fingerprint = rows[intent.scope]["fingerprint"] if there is None else there.fingerprint
            if fingerprint != intent.fingerprint:
                self.outcomes[index] = KeyReused(
                    "this key was first used with another body, record or condition"
                )
            elif there is None:
                # Its twin is in this very batch, or was given back between our insert and our look.
                owner = owners.get(intent.scope)
                self.outcomes[index] = (
                    TwinRunning(retry_after_s=1) if owner is None else TwinRunning(retry_after_s=1, operation=owner)
                )
            elif there.problem is not None:
                self.outcomes[index] = KeptRefusal(problem=msgspec.json.decode(there.problem))
            else:
                self.outcomes[index] = Twin(operation_id=there.operation_id)

    def _natural_keys(self, live: Sequence[int]) -> dict[int, tuple[str, str]]:
        """Reserves the keys of creates, and says which were taken: index -> (value, id of the holder)."""
        wanted: dict[tuple[str, str, str], int] = {}
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
            if key in wanted and self.intents[wanted[key]].record_id != intent.record_id:
                taken[index] = (key[2], self.intents[wanted[key]].record_id)
            else:
                wanted[key] = index
        if not wanted:
            return taken
        holders = natural_keys.reserve(
            self.connection, {key: self.intents[index].record_id for key, index in wanted.items()}
        )
        for key, index in wanted.items():
            holder = holders.get(key)
            if holder is not None and holder != self.intents[index].record_id:
                taken[index] = (key[2], holder)
        return taken

    # --- one write -------------------------------------------------------------------------------------------

    def _accept(self, intent: Intent, known: Mapping[str, str]) -> Accepted:
        command = intent.command
        key = self._slice_key(intent, known)
        if key is None:
            raise RecordNotFound
        if command.regions is not None and key[1] not in command.regions:
            raise (
                RecordNotFound
                if command.kind != "create"
                else UnknownRegion(f"{key[1]!r} is not one of yours")
            )
        slice_ = self.slices.get(key)
        if slice_ is None:
            raise UnknownRegion(f"{key[1]!r} has no rule for {command.entity}")
        if command.kind == "create":
            legal_entity = command.legal_entity or self.intake.legal_entity(key[1])
            owner = self._new_record(intent, key, legal_entity)
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
        plan = PLANS[slice_.stage]
        claimed = self._lane(intent, plan.authority.value, slice_, idle=image is not None)
        if claimed:
            assert image is not None
            change = whole_change(command.kind, base, image, change)
        self._journal(intent, slice_, seq, image, claimed, change)
        claim = None
        if claimed:
            assert image is not None
            claim = self._claim(intent, slice_, seq, image, change, legal_entity)
        return Accepted(
            operation_id=intent.operation_id, record_id=intent.record_id, slice=slice_, claim=claim
        )

    def _new_record(self, intent: Intent, key: tuple[str, str], legal_entity: str | None) -> dict[str, Any]:
        entity = BY_NAME[key[0]]
        value = intent.command.body.get(entity.match_key)
        row = {
            "id": intent.record_id,
            "entity": key[0],
            "region": key[1],
            "legal_entity": legal_entity,
            "version": 0,
            "seq": 0,
            "open_writes": 0,
            "image": None,
            "match_key": None if value is None else str(value),
            "external_refs": journal.encode(intent.command.external_refs),
            "created_at": self.now,
            "updated_at": self.now,
        }
        self.rows.records.append(row)
        return row

    def _known_record(self, intent: Intent) -> dict[str, Any]:
        row = self.records.get(intent.record_id)
        if row is None or row.entity != intent.command.entity or (row.version == 0 and row.open_writes == 0):
            raise RecordNotFound
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

    def _lane(self, intent: Intent, authority: str, slice_: Slice, *, idle: bool) -> bool:
        """Takes the authority's lane for this write if it is free, and says whether it did."""
        key = (intent.record_id, authority)
        if intent.command.kind == "create":
            for system in ("legacy", "cloud"):
                self.rows.lanes[intent.record_id, system] = {
                    "record_id": intent.record_id,
                    "system": system,
                    "inflight": None,
                    "applied_seq": 0,
                    "wake_at": None,
                }
            if slice_.draining:
                return False
            self.rows.lanes[key]["inflight"] = intent.authority_delivery
            return True
        there = self.lanes.get(key)
        for system in ("legacy", "cloud"):
            if (intent.record_id, system) not in self.lanes:
                self.rows.lanes.setdefault(
                    (intent.record_id, system),
                    {
                        "record_id": intent.record_id,
                        "system": system,
                        "inflight": None,
                        "applied_seq": 0,
                        "wake_at": None,
                    },
                )
        free = there is None or (
            there.inflight is None
            and there.wake_at is None
            and (there.quiet_until is None or there.quiet_until <= self.now)
        )
        if slice_.draining:
            return False
        if idle and free and key not in self.rows.lane_updates:
            self.rows.lane_updates[key] = {
                "record_id": key[0],
                "system": key[1],
                "inflight": intent.authority_delivery,
                "wake_at": None,
            }
            return True
        if there is None or there.inflight is None:
            # Nobody will wake this lane by ending something in it, so it is made due now.
            self.rows.lane_updates.setdefault(
                key, {"record_id": key[0], "system": key[1], "inflight": None, "wake_at": self.now}
            )
        return False

    def _journal(
        self,
        intent: Intent,
        slice_: Slice,
        seq: int,
        image: Document | None,
        claimed: bool,
        change: Document,
    ) -> None:
        command = intent.command
        plan = PLANS[slice_.stage]
        held = slice_.draining
        self.rows.operations.append(
            {
                "id": intent.operation_id,
                "record_id": intent.record_id,
                "entity": slice_.entity,
                "region": slice_.region,
                "seq": seq,
                "kind": command.kind,
                "state": (OperationState.HELD if held else OperationState.ACCEPTED).value,
                "confirming": False,
                "epoch": slice_.epoch,
                "stage": slice_.stage.value,
                "authority": plan.authority.value,
                "mirror": None if plan.mirror is None else plan.mirror.value,
                "change": journal.encode(change),
                "image": None if image is None or not claimed else journal.encode(image),
                "marker": intent.marker,
                "client": command.client,
                "trace": journal.encode(command.trace),
                "waited_until": self.now + int(command.wait_s * MICROS),
                "created_at": self.now,
                "updated_at": self.now,
            }
        )
        base = {
            "operation_id": intent.operation_id,
            "record_id": intent.record_id,
            "entity": slice_.entity,
            "region": slice_.region,
            "seq": seq,
            "epoch": slice_.epoch,
            "maybe_sent": 0,
            "probes": 0,
            "lease_expiries": 0,
            "created_at": self.now,
            "updated_at": self.now,
        }
        state = DeliveryState.BLOCKED if held else DeliveryState.SENDING if claimed else DeliveryState.READY
        self.rows.deliveries.append(
            {
                **base,
                "id": intent.authority_delivery,
                "system": plan.authority.value,
                "role": "authority",
                "state": state.value,
                "attempt": 1 if claimed else 0,
                "lease_until": self.intake.lease_until(plan.authority.value, self.now) if claimed else None,
                "wake_at": None if claimed else self.now,
            }
        )
        if plan.mirror is not None:
            self.rows.deliveries.append(
                {
                    **base,
                    "id": intent.mirror_delivery,
                    "system": plan.mirror.value,
                    "role": "mirror",
                    "state": DeliveryState.BLOCKED.value,
                    "attempt": 0,
                    "lease_until": None,
                    "wake_at": None,
                }
            )
        if claimed:
            self.rows.attempts.append(journal.attempt_row(intent.authority_delivery, 1, self.now))
        self.rows.events.append(
            journal.event_row(
                at=self.now,
                operation_id=intent.operation_id,
                record_id=intent.record_id,
                name="held" if held else "accepted",
                detail=f"{command.kind} by {command.client}",
            )
        )

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
            image=image,
            change=change,
            native_id=None if held is None else held.native_id,
            native_version=None if held is None else held.native_version,
            lease_until=self.intake.lease_until(authority, self.now),
            ends_at=self.began + self.intake.lease_s(authority),
            storable=slice_.storable,
            trace=intent.command.trace,
        )

    # --- to disk ---------------------------------------------------------------------------------------------

    def _forget_keys(self, live: Sequence[int]) -> set[str]:
        """A refusal that would come again is kept under its key; one that may pass frees the key. Returns the
        records of refused writes that may have reserved a number."""
        kept: list[dict[str, Any]] = []
        freed: list[str] = []
        reserved: set[str] = set()
        for index in live:
            outcome, intent = self.outcomes[index], self.intents[index]
            if not isinstance(outcome, GatewayError):
                continue
            if intent.command.body.get(BY_NAME[intent.command.entity].natural_key or "") is not None:
                reserved.add(intent.record_id)
            if intent.scope is None:
                continue
            if outcome.retryable or isinstance(outcome, RecordNotFound | UnknownRegion):
                freed.append(intent.scope)
            else:
                kept.append(
                    {"scope": intent.scope, "operation_id": None, "problem": journal.encode(told(outcome))}
                )
        journal.update_rows(self.connection, idem, kept, "scope")
        if freed:
            self.connection.execute(idem.delete().where(among(idem.c.scope, freed)))
        return reserved

    def _write(self) -> None:
        rows = self.rows
        made = {outcome.record_id for outcome in self.outcomes if isinstance(outcome, Accepted)}
        journal.insert_rows(self.connection, record, [row for row in rows.records if row["id"] in made])
        journal.update_rows(
            self.connection,
            record,
            [
                {"id": row["id"], "seq": row["seq"], "open_writes": row["open_writes"]}
                for row in rows.record_updates.values()
                if row["id"] in made
            ],
            "id",
        )
        journal.insert_missing(
            self.connection, lane, [row for key, row in rows.lanes.items() if key[0] in made]
        )
        journal.update_rows(
            self.connection,
            lane,
            [rows.lane_updates[key] for key in sorted(rows.lane_updates) if key[0] in made],
            "record_id",
            "system",
        )
        journal.insert_rows(self.connection, operation, rows.operations)
        journal.insert_rows(self.connection, delivery, rows.deliveries)
        journal.insert_rows(self.connection, attempt, rows.attempts)
        journal.add_events(self.connection, rows.events)


def told(refused: GatewayError) -> dict[str, Any]:
    """A refusal as it is kept, so that a replay tells it again in the same words."""
    return {
        "kind": type(refused).__name__,
        "detail": refused.detail,
        "errors": msgspec.to_builtins(refused.errors),
        "facts": refused.facts,
    }
