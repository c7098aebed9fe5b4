"""The same request twice has one effect: what makes two requests the same, and what a key answers for.

A key is one caller's, for one route; the fingerprint holds whatever the outcome depends on. A key is reserved in the
commit that accepts its write. A refusal that would come again is kept under it and told again in the same words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from gateway.canonical import BY_NAME
from gateway.database import among
from gateway.database.rows import rows_among
from gateway.dispatch.claim import MICROS
from gateway.dispatch.command import Command
from gateway.errors import GatewayError, KeyReused, RecordMerged, RecordNotFound, TwinRunning, UnknownRegion
from gateway.ids import DELIVERY, OPERATION, Ids
from gateway.ledger import journal
from gateway.ledger.tables import idem

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


class Twin(msgspec.Struct, frozen=True, kw_only=True):
    """The same request was accepted before, as this operation."""

    operation_id: str


class KeptRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """The same request was refused before, with this."""

    problem: dict[str, Any]


Answered = Twin | KeptRefusal | KeyReused | TwinRunning


def intent_of(command: Command, *, entity_prefix: str, ids: Ids, minted: str | None = None) -> Intent:
    """Mints ids and marker, and hashes the key's scope and the request's fingerprint. ``minted``: the id that a record
    to be made has already."""
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
        record_id=command.record_id or minted or ids.new(entity_prefix),
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


def reserve(connection: Connection, intents: Sequence[Intent], *, now: int) -> dict[int, Answered]:
    """Idempotency keys: a new one is reserved for its operation; a known one answers for it. Returns, by its place
    among ``intents``, what has its answer already."""
    answered: dict[int, Answered] = {}
    rows: dict[str, dict[str, Any]] = {}
    for intent in intents:
        if intent.scope is not None and intent.scope not in rows:
            rows[intent.scope] = {
                "scope": intent.scope,
                "fingerprint": intent.fingerprint,
                "operation_id": intent.operation_id,
                "created_at": now,
                "expires_at": now + KEPT_S * MICROS,
            }
    if not rows:
        return answered
    fresh = journal.insert_new(connection, idem, [rows[scope] for scope in sorted(rows)], "scope")
    old = set(rows) - fresh
    before = {}
    if old:
        before = {row.scope: row for row in rows_among(connection, idem, {"scope": sorted(old)})}
    owners: dict[str, str] = {}
    for index, intent in enumerate(intents):
        if intent.scope is None:
            continue
        if intent.scope in fresh and intent.scope not in owners:
            owners[intent.scope] = intent.operation_id
            continue
        there = before.get(intent.scope)
        fingerprint = rows[intent.scope]["fingerprint"] if there is None else there.fingerprint
        if fingerprint != intent.fingerprint:
            answered[index] = KeyReused("this key was first used with another body, record or condition")
        elif there is None:
            # Its twin is in this very batch, or was given back between our insert and our look.
            owner = owners.get(intent.scope)
            answered[index] = (
                TwinRunning(retry_after_s=1)
                if owner is None
                else TwinRunning(retry_after_s=1, operation=owner)
            )
        elif there.problem is not None:
            answered[index] = KeptRefusal(problem=msgspec.json.decode(there.problem))
        else:
            answered[index] = Twin(operation_id=there.operation_id)
    return answered


def without_operation(answered: Mapping[int, Answered], accepted: Collection[str]) -> dict[int, TwinRunning]:
    """Those of ``answered`` whose twin of the same batch was refused after they were told of its operation, which is
    none that there is. Under their key they find the refusal, or that the key is free."""
    return {
        index: TwinRunning(retry_after_s=1)
        for index, answer in answered.items()
        if isinstance(answer, TwinRunning) and answer.facts.get("operation") not in (None, *accepted)
    }


def forget(connection: Connection, concluded: Iterable[tuple[Intent, object]]) -> set[str]:
    """A refusal that would come again is kept under its key; one that may pass frees the key. Returns the
    records of refused writes that may have reserved a number."""
    kept: list[dict[str, Any]] = []
    freed: list[str] = []
    reserved: set[str] = set()
    for intent, outcome in concluded:
        if not isinstance(outcome, GatewayError):
            continue
        if intent.command.body.get(BY_NAME[intent.command.entity].natural_key or "") is not None:
            reserved.add(intent.record_id)
        if intent.scope is None:
            continue
        if outcome.retryable or isinstance(outcome, RecordNotFound | RecordMerged | UnknownRegion):
            freed.append(intent.scope)
        else:
            kept.append(
                {"scope": intent.scope, "operation_id": None, "problem": journal.encode(told(outcome))}
            )
    journal.update_rows(connection, idem, kept, "scope")
    if freed:
        connection.execute(idem.delete().where(among(idem.c.scope, freed)))
    return reserved


def purge(connection: Connection, *, now: int, limit: int) -> int:
    """Forgets up to ``limit`` keys whose time is over, the oldest first. Returns how many. Safe to run by several at
    once."""
    over = list(
        connection.execute(
            select(idem.c.scope)
            .where(idem.c.expires_at <= now)
            .order_by(idem.c.expires_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).scalars()
    )
    if over:
        connection.execute(idem.delete().where(among(idem.c.scope, over)))
    return len(over)


def told(refused: GatewayError) -> dict[str, Any]:
    """A refusal as it is kept, so that a replay tells it again in the same words."""
    return {
        "kind": type(refused).__name__,
        "detail": refused.detail,
        "errors": msgspec.to_builtins(refused.errors),
        "facts": refused.facts,
    }
