"""Writes of unknown outcome: look first, send again only when that cannot make a second effect.

What may be done depends on what the system offers (idempotency class): A and B take the same request again without a
second effect; C refuses a second record, and the refusal is then looked into; D is sent again only after the
quarantine and two looks that found nothing, because a request that we gave up on may still land; E is never sent
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Integer, bindparam, select

from adapters.contract import Adapter, Idempotency
from adapters.errors import AdapterError, NotFound, Throttled
from gateway.canonical import BY_NAME
from gateway.canonical.lifecycle import in_the_books
from gateway.crash import crash_point
from gateway.crosswalk.store import links_of
from gateway.database import Database, GroupCommit, among
from gateway.database.rows import rows_by_id
from gateway.dispatch.claim import MICROS, Claim
from gateway.dispatch.command import Document
from gateway.dispatch.conclusion import Concluded, Conclusion
from gateway.dispatch.effect import Open, early_s, is_ours
from gateway.dispatch.prepare import look
from gateway.dispatch.sender import Sender
from gateway.dispatch.waiting import Waiting
from gateway.ledger import decisions, journal, stranded
from gateway.ledger.retry import failed_look_s, probe_s
from gateway.ledger.states import DeliveryEvent, DeliveryState
from gateway.ledger.tables import delivery, operation, record
from gateway.telemetry import Log

GIVE_UP_S = 24 * 3600.0  #: after this long a person decides
POISONED = 3  #: leases of one delivery that ran out in a row before a person looks at it
NEEDED_LOOKS = 2  #: looks that must have found nothing before a class D write is sent again

_UNKNOWN = (
    select(delivery)
    .where(
        delivery.c.state == DeliveryState.UNKNOWN.value,
        among(delivery.c.system, "systems"),
        delivery.c.wake_at <= bindparam("now"),
    )
    .order_by(delivery.c.wake_at)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_EXPIRED = (
    select(delivery)
    .where(delivery.c.state == DeliveryState.SENDING.value, delivery.c.lease_until <= bindparam("now"))
    .order_by(delivery.c.lease_until)
    .limit(200)
)
_IMAGES = select(record.c.id, record.c.image).where(among(record.c.id, "ids"))
_LAST_APPLIED = journal.last_applied(
    delivery.c.record_id, delivery.c.system, delivery.c.updated_at, operation.c.image
).where(among(delivery.c.record_id, "ids"))


class Resolver:
    def __init__(
        self,
        *,
        database: Database,
        adapters: Mapping[str, Adapter],
        sender: Sender,
        outcomes: GroupCommit[Conclusion, Concluded],
        waiting: Waiting,
        log: Log,
        lease_s: Mapping[str, float],
        go_on: Callable[[Concluded], None],
    ) -> None:
        """``lease_s``: for how long one process looks while no other does, by system; one that dies meanwhile holds
        its lanes up for no longer. ``go_on`` takes up what a conclusion leaves to be done."""
        self._database = database
        self._lease_s = lease_s
        self._adapters = adapters
        self._sender = sender
        self._outcomes = outcomes
        self._waiting = waiting
        self._log = log
        self._go_on = go_on

    async def run_once(self, limit: int = 32) -> int:
        """Looks for what is due to be looked for. Safe to run twice and in many processes."""
        open_ = await self._database.transaction(lambda conn: self._due(conn, limit))
        # All at once: a system that hangs holds up no look at the other.
        ended = await asyncio.gather(*(self._settle(one) for one in open_), return_exceptions=True)
        failed = [one for one in ended if one is not None]
        if failed:
            # The others are settled; what failed is looked for again when its look's lease has run out.
            raise failed[0]
        return len(open_)

    async def _settle(self, one: Open) -> None:
        concluded = await self._outcomes.submit(await self._resolve(one))
        if concluded.counted and one.claim.role == "authority":
            self._waiting.tell(concluded)
        self._go_on(concluded)

    async def reap(self) -> int:
        """Leases that ran out: whoever held them may have sent, so their outcome is unknown."""
        expired = await self._database.transaction(self._expired)
        for claim in expired:
            adapter = self._adapters.get(claim.system)
            quarantine = 0.0 if adapter is None else self._sender.quarantine_s(adapter, claim.entity)
            await self._outcomes.submit(
                Conclusion(
                    claim=claim,
                    event=DeliveryEvent.LEASE_EXPIRED,
                    code="lease_expired",
                    message="the process that was sending it was not heard of again",
                    quarantine_s=quarantine,
                )
            )
        return len(expired)

    async def recover(self) -> int:
        """At the start of the only process of a SQLite journal: nobody else can be sending, so nothing is."""

        def unit(connection: Connection) -> int:
            now = self._database.now(connection)
            return connection.execute(
                delivery.update()
                .where(delivery.c.state == DeliveryState.SENDING.value, delivery.c.lease_until > now)
                .values(lease_until=now)
            ).rowcount

        recovered = await self._database.transaction(unit) if self._database.sqlite else 0
        crash_point("CP25")
        return recovered

    # --- one -------------------------------------------------------------------------------------------------

    async def _resolve(self, one: Open) -> Conclusion:
        claim = one.claim
        adapter = self._adapters.get(claim.system)
        if adapter is None:
            return _again(one, "no such system in the settings")
        if pause := self._sender.pause_left_s(claim.system):
            return _again(one, "the system asked for a pause", wait_s=pause)
        try:
            mine = [found for found in await look(adapter, claim) if is_ours(adapter, one, found)]
        except NotFound:
            mine = []
        except Throttled as throttled:
            return _again(one, throttled.message, wait_s=self._sender.paused(throttled))
        except AdapterError as failed:
            if one.now - one.since > GIVE_UP_S * MICROS:
                code = stranded.CUT_OFF if one.stranded else "unresolved"
                return _park(claim, code, f"{claim.system} could not be asked for a day: {failed.message}")
            return _again(one, failed.message, wait_s=failed_look_s((one.now - one.since) / MICROS))
        crash_point("CP12")
        if len(mine) > 1:
            return _park(claim, "duplicate_effect", f"{claim.system} holds it {len(mine)} times")
        if mine and (left_s := early_s(adapter, one, mine[0])) > 0:
            return _again(one, "what is shown may be from before the write before it", wait_s=left_s)
        if mine and one.stranded and not one.asked and in_the_books(claim.entity, claim.image):
            message = f"{claim.system} has it as {mine[0].native_id}; it stands in the books, so a person decides"
            return _park(claim, stranded.PERSON, message)
        if mine:
            return await self._sender.applied(adapter, claim, mine[0], event=DeliveryEvent.FOUND)
        return self._absent(adapter, one)

    def _absent(self, adapter: Adapter, one: Open) -> Conclusion:
        claim = one.claim
        if one.stranded:
            return _stranded(adapter, one)
        if one.asked:
            return _park(claim, "unresolved", "looked for once more, as a person asked; it is not there")
        if one.lease_expiries >= POISONED:
            message = f"{one.lease_expiries} processes in a row ended, or failed, while they sent it"
            return _park(claim, "poison", message)
        match _offered(adapter, claim):
            case Idempotency.A_NATIVE_KEY | Idempotency.B_EXTERNAL_ID | Idempotency.C_UNIQUE_KEY:
                # The same request again has no second effect, so it need not be waited for.
                return _ready(claim)
            case Idempotency.D_SEARCHABLE:
                if one.probes + 1 >= NEEDED_LOOKS and one.now >= one.quarantine_until:
                    return _ready(claim)
                return _not_yet(one)
            case Idempotency.E_NOTHING:
                return _park(
                    claim, "unresolved", f"{claim.system} cannot be asked whether it took this write"
                )

    # --- the journal -----------------------------------------------------------------------------------------

    def _due(self, connection: Connection, limit: int) -> list[Open]:
        now = self._database.now(connection)
        rows = connection.execute(
            _UNKNOWN, {"systems": list(self._adapters), "now": now, "most": limit}
        ).all()
        journal.update_rows(
            connection,
            delivery,
            [{"id": row.id, "wake_at": now + int(self._lease_s[row.system] * MICROS)} for row in rows],
            "id",
        )
        stated = decisions.stated(connection, [row.id for row in rows if row.code == decisions.CONFIRMING])
        left = stranded.among_operations(connection, [row.operation_id for row in rows])
        claims = self._claims(connection, rows, stated)
        ids = {row.record_id for row in rows}
        images, last = _images(connection, ids), _last_applied(connection, ids)
        return [
            Open(
                claim=claims[row.id],
                before=_before(row, images.get(row.record_id, {}), applied),
                last_at=0 if applied is None else applied.updated_at,
                probes=row.probes,
                lease_expiries=row.lease_expiries,
                quarantine_until=row.quarantine_until or 0,
                since=row.created_at,
                now=now,
                asked=row.code == decisions.CONFIRMING,
                stated=row.id in stated,
                stranded=row.operation_id in left and row.role == "authority",
            )
            for row in rows
            for applied in (last.get((row.record_id, row.system)),)
        ]

    def _expired(self, connection: Connection) -> list[Claim]:
        now = self._database.now(connection)
        rows = connection.execute(_EXPIRED, {"now": now}).all()
        return list(self._claims(connection, rows).values())

    def _claims(
        self, connection: Connection, rows: Sequence[Any], stated: Mapping[str, str] | None = None
    ) -> dict[str, Claim]:
        """The claims as they were made, for deliveries that are being looked for. ``stated``: what a person says that
        the system calls the record, for those that are linked to none."""
        said: Mapping[str, str] = {} if stated is None else stated
        if not rows:
            return {}
        operations = rows_by_id(connection, operation, {row.operation_id for row in rows})
        records = rows_by_id(connection, record, {row.record_id for row in rows})
        links = links_of(connection, records)
        claims: dict[str, Claim] = {}
        for row in rows:
            op, owner = operations[row.operation_id], records[row.record_id]
            link = links.get((row.record_id, row.system))
            claims[row.id] = Claim(
                delivery_id=row.id,
                attempt=row.attempt,
                maybe_sent=row.maybe_sent,
                operation_id=op.id,
                record_id=row.record_id,
                entity=row.entity,
                region=row.region,
                legal_entity=owner.legal_entity,
                system=row.system,
                role=row.role,
                seq=row.seq,
                kind=op.kind,
                marker=op.marker,
                accepted_at=op.created_at,
                image={} if op.image is None else msgspec.json.decode(op.image),
                change=msgspec.json.decode(op.change),
                native_id=said.get(row.id) if link is None else link.native_id,
                native_version=None if link is None else link.native_version,
                lease_until=row.lease_until or 0,
                storable=True,
                trace=msgspec.json.decode(op.trace),
            )
        return claims


def _offered(adapter: Adapter, claim: Claim) -> Idempotency:
    """What the system offers for this very write. One that only refuses the same number twice takes a record without a
    number as often as it is sent, and a change of a record as well, unless it is told which version is to be changed:
    sent again too early, such a change would undo what somebody has done there in between."""
    facts = adapter.facts(claim.entity)
    if facts.idempotency is not Idempotency.C_UNIQUE_KEY:
        return facts.idempotency
    if claim.kind == "create":
        name = BY_NAME[claim.entity].natural_key
        guarded = name is not None and claim.image.get(name) is not None
    else:
        guarded = facts.conditional and claim.native_version is not None
    return Idempotency.C_UNIQUE_KEY if guarded else Idempotency.D_SEARCHABLE


def _again(one: Open, message: str, *, wait_s: float | None = None) -> Conclusion:
    return Conclusion(
        claim=one.claim,
        event=DeliveryEvent.LOOKED,
        code=decisions.CONFIRMING if one.asked else "looking",
        message=message[:2000],
        wait_s=probe_s(one.probes + 1) if wait_s is None else wait_s,
    )


def _not_yet(one: Open) -> Conclusion:
    """The next look is no earlier than it can decide something, and no later than a landing would show."""
    until = (one.quarantine_until - one.now) / MICROS
    wait = probe_s(one.probes)
    return msgspec.structs.replace(
        _again(one, "not found yet"), found_nothing=True, wait_s=min(wait, until + 0.01) if until > 0 else wait
    )


def _stranded(adapter: Adapter, one: Open) -> Conclusion:
    """Not there. Whatever the system offers, nothing is sent to it again: a proof of absence is written down, and who
    has the slice's authority now may be sent it."""
    claim = one.claim
    if one.asked:
        message = "looked for once more, as a person asked; it is not there"
        return _park(claim, stranded.PERSON, message)
    if _offered(adapter, claim) is Idempotency.E_NOTHING:
        message = f"{claim.system} cannot be asked whether it took this write"
        return _park(claim, stranded.PERSON, message)
    if one.probes + 1 < NEEDED_LOOKS or one.now < one.quarantine_until:
        return _not_yet(one)
    if in_the_books(claim.entity, claim.image):
        message = f"{claim.system} does not have it; it would stand in the books, so a person decides"
        return _park(claim, stranded.PERSON, message)
    return _park(claim, stranded.ABSENT, f"{claim.system} does not have it")


def _ready(claim: Claim) -> Conclusion:
    crash_point("CP13")
    return Conclusion(
        claim=claim, event=DeliveryEvent.PROVEN_ABSENT, code="absent", message="looked for and not there"
    )


def _images(connection: Connection, record_ids: set[str]) -> dict[str, Document]:
    """The committed documents of these records, those that have one."""
    if not record_ids:
        return {}
    rows = connection.execute(_IMAGES, {"ids": sorted(record_ids)})
    return {row.id: msgspec.json.decode(row.image) for row in rows if row.image is not None}


def _last_applied(connection: Connection, record_ids: set[str]) -> dict[tuple[str, str], Any]:
    """When the last write that is applied was known to be, and what it made of the record, by (record, system)."""
    if not record_ids:
        return {}
    rows = connection.execute(_LAST_APPLIED, {"ids": sorted(record_ids)})
    return {(row.record_id, row.system): row for row in rows}


def _before(row: Any, image: Document, last: Any) -> Document:
    """What is committed is what the authority has; a mirror may be some writes behind."""
    if row.role == "authority" or last is None or last.image is None:
        return image
    return msgspec.json.decode(last.image)


def _park(claim: Claim, code: str, message: str) -> Conclusion:
    return Conclusion(claim=claim, event=DeliveryEvent.GAVE_UP, code=code, message=message[:2000])
